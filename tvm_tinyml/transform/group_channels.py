"""GroupChannels: a wide convolution whose channels are only summed over the image is computed a few channels at a time.

Networks end in a convolution to many channels and their means. Streamed by rows, such a pair holds one sum of four
bytes per channel from the first row on, and calls with few pixels read all weights again. By groups of channels it
holds the convolution's input and the image of one group instead, and every call has all pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dialect import operator
from .dataflow import Call, Constant, Graph, Value, graph_pass

_BLOCK = 16
"""Channels of a group are a multiple of it: those that kernels of any core handle at once."""

_MAX_GROUPS = 16
"""Each group is three calls, and each call costs code."""


def GroupChannels() -> Any:  # noqa: N802
    """Needs sums as AccumulatePixels leaves them; guarantees groups where they take no more memory than rows could.

    The convolution is the only reader of its input, the sums are that of its image, and `scale_sum` is that of the
    sums. The results of the groups are concatenated.
    """
    return graph_pass("GroupChannels", lambda graph: sum(_group(graph, node) for node in list(graph.calls)))


def _group(graph: Graph, convolution: Call) -> bool:
    total = graph.only_user(convolution) if convolution.operator.name == "conv2d" else None
    scaled = graph.only_user(total) if total is not None and total.operator.name == "sum_pixels" else None
    if total is None or scaled is None or scaled.operator.name != "scale_sum":
        return False
    channels = convolution.spec.shape[-1]
    source, *operands = convolution.inputs
    group = channels_of_group(convolution)
    alone = convolution.spec.shape[0] == 1 and graph.only_user(source) is convolution
    if group is None or not alone or not all(isinstance(value, Constant) for value in operands):
        return False
    place = graph.calls.index(convolution)
    parts: list[Call] = []
    for first in range(0, channels, group):
        made = source
        for call in (convolution, total, scaled):
            part = _part_of(graph, call, made, slice(first, first + group))
            graph.calls.insert(place, part)
            place += 1
            made = part
        parts.append(part)
    attrs = {key: scaled.attrs[key] for key in ("name", "tensor", "scale", "zero_point")}
    axis = {"axis": len(scaled.spec.shape) - 1}
    graph.replace(scaled, Call(operator("concat"), list(parts), attrs | axis))
    graph.remove_unused(total)
    return True


def channels_of_group(convolution: Call) -> int | None:
    """Most channels at a time that take no more memory than sums of all; None where there are none or too many groups.

    Rows need four bytes for the sum of each channel, and something of the convolution's input and output beside them.
    """
    _, height, width, channels = convolution.spec.shape
    pixels = height * width
    room = (4 * channels - convolution.inputs[0].spec.nbytes) // pixels
    sizes = [size for size in range(_BLOCK, channels, _BLOCK) if channels % size == 0 and size <= room]
    return sizes[-1] if sizes and channels // sizes[-1] <= _MAX_GROUPS else None


def _part_of(graph: Graph, call: Call, source: Value, channels: slice) -> Call:
    """A call for some of the channels only."""
    attrs = call.attrs | {
        "name": graph.fresh("name", f"{call.attrs['name']}_group"),
        "tensor": graph.fresh("tensor", f"{call.attrs['tensor']}#group"),
    }
    if "effective_scale" in attrs:
        attrs["effective_scale"] = tuple(attrs["effective_scale"][channels])
    return Call(call.operator, [source, *_cut(call.inputs[1:], channels)], attrs)


def _cut(operands: Sequence[Value], channels: slice) -> list[Value]:
    """Constant operands, whose first axis is that of the channels."""
    return [
        Constant.of(np.ascontiguousarray(value.array[channels]))
        for value in operands
        if isinstance(value, Constant)
    ]
