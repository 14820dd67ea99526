"""SplitChannels: a wide tensor that is only made to be averaged is made and averaged a few channels at a time.

The last convolution of a classifier widens a small map, and the pooling behind it leaves one value per channel: the map
between them is the largest tensor of the late network and each of its channels is needed by itself. Groups of
channels are exact, repeat no work and share one function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dialect import operator
from ..dialect.bounds import Window
from .dataflow import Call, Constant, Graph, graph_pass

GRANULE = 16
"""Groups are multiples of this many channels, which is what vector kernels work through at a time."""


def SplitChannels() -> Any:  # noqa: N802
    """Needs nothing; guarantees that no convolution makes a map larger than its input only to be reduced.

    Of a convolution and the one call that reads it, where that keeps every channel by itself and makes fewer values
    than it reads. Groups are as wide as keeps their map no larger than the convolution's input.
    """
    return graph_pass("SplitChannels", lambda graph: sum(_split(graph, node) for node in list(graph.calls)))


def _split(graph: Graph, reduction: Call) -> bool:
    convolution = reduction.inputs[0] if reduction.inputs else None
    if (
        not isinstance(convolution, Call)
        or convolution.operator.name != "conv2d"
        or not all(isinstance(value, Constant) for value in convolution.inputs[1:])
        or graph.only_user(convolution) is not reduction
        or not _reduces_by_channel(reduction)
    ):
        return False
    channels = convolution.spec.shape[-1]
    width = _group(channels, convolution.spec.nbytes, convolution.inputs[0].spec.nbytes)
    if width == channels:
        return False
    parts: list[Call] = []
    place = graph.calls.index(convolution)
    for first in range(0, channels, width):
        part = _channels_of(graph, convolution, first, first + width, len(parts))
        graph.calls[place + len(parts) * 2 : place + len(parts) * 2] = [part]
        reduced = _named(graph, reduction, [part, *reduction.inputs[1:]], dict(reduction.attrs), len(parts))
        graph.calls.insert(place + len(parts) * 2 + 1, reduced)
        parts.append(reduced)
    common = {key: reduction.attrs[key] for key in ("name", "tensor", "scale", "zero_point")}
    joined = Call(operator("concat"), [*parts], common | {"axis": len(reduction.spec.shape) - 1})
    graph.replace(reduction, joined)
    graph.remove_unused(convolution)
    return True


def _reduces_by_channel(node: Call) -> bool:
    """Whether channel c of the result depends on channel c of the one input alone, and is smaller."""
    if len(node.inputs) != 1 or node.operator.is_view or node.spec.elements >= node.inputs[0].spec.elements:
        return False
    (bounds,) = node.operator.bounds([node.inputs[0].spec], node.attrs)
    last = len(node.spec.shape) - 1
    return (
        last >= 0 and bounds.axes[-1] == Window(last) and node.spec.shape[-1] == node.inputs[0].spec.shape[-1]
    )


def _group(channels: int, nbytes: int, allowed: int) -> int:
    """Channels per group: the most that divide evenly and keep the map within `allowed` bytes, or all."""
    fitting = [
        width
        for width in range(GRANULE, channels + 1, GRANULE)
        if channels % width == 0 and nbytes // channels * width <= allowed
    ]
    return max(fitting, default=channels)


def _channels_of(graph: Graph, node: Call, first: int, end: int, number: int) -> Call:
    """The part of a convolution that makes channels `first` to `end`."""
    constants = [value.array for value in node.inputs[1:] if isinstance(value, Constant)]
    attrs = dict(node.attrs)
    if "effective_scale" in attrs:
        attrs["effective_scale"] = tuple(attrs["effective_scale"])[first:end]
    cut = [Constant.of(np.ascontiguousarray(array[first:end])) for array in constants]
    return _named(graph, node, [node.inputs[0], *cut], attrs, number)


def _named(graph: Graph, node: Call, inputs: list[Any], attrs: dict[str, Any], number: int) -> Call:
    attrs["name"] = graph.fresh("name", f"{node.attrs['name']}_part_{number}")
    attrs["tensor"] = graph.fresh("tensor", f"{node.attrs['tensor']}#{number}")
    return Call(node.operator, inputs, attrs)
