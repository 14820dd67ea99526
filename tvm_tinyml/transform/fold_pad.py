"""FoldPad: padding as an operator of its own becomes padding of the convolution or pooling that reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .dataflow import Call, Graph, graph_pass


def FoldPad() -> Any:  # noqa: N802
    """Needs nothing; guarantees that no spatial pad is left whose readers would all pad with the same value.

    A pad whose result is an output or has another reader stays for all of them: the copy is made anyway.
    """
    return graph_pass("FoldPad", _fold)


def _pads_with_zero_point(pad: Call, reader: Call) -> bool:
    return bool(pad.attrs["pad_value"] == reader.attrs["input_zero_point"])


def _pads_with_minimum(pad: Call, _reader: Call) -> bool:
    """The neutral element of a maximum: the window's padding is left out of it."""
    return bool(pad.attrs["pad_value"] == np.iinfo(pad.spec.dtype).min)


# Operators with an attribute `padding` for their first input, and when that padding equals the pad's.
_READERS: dict[str, Callable[[Call, Call], bool]] = {
    "conv2d": _pads_with_zero_point,
    "depthwise_conv2d": _pads_with_zero_point,
    "max_pool2d": _pads_with_minimum,
}


def _fold(graph: Graph) -> int:
    changes = 0
    # Backwards, so that a pad of a pad meets the reader both end up in.
    for pad in reversed(list(graph.calls)):
        if pad.operator.name != "pad" or graph.is_output(pad):
            continue
        readers = graph.users(pad)
        if readers and all(_folds(pad, reader) for reader in readers):
            for reader in readers:
                reader.attrs["padding"] = _joined_padding(pad, reader)
            graph.replace(pad, pad.inputs[0])
            changes += 1
    return changes


def _folds(pad: Call, reader: Call) -> bool:
    equal_value = _READERS.get(reader.operator.name)
    if equal_value is None or pad not in reader.inputs[:1] or pad in reader.inputs[1:]:
        return False
    if not equal_value(pad, reader):
        return False
    # A pad of the batch or of channels changes the type of the reader's result.
    attrs = {**reader.attrs, "padding": _joined_padding(pad, reader)}
    return reader.fits([pad.inputs[0], *reader.inputs[1:]], attrs)


def _joined_padding(pad: Call, reader: Call) -> tuple[int, ...]:
    top, bottom, left, right = pad.attrs["pad_width"][2:6]
    return tuple(
        own + added for own, added in zip(reader.attrs["padding"], (top, left, bottom, right), strict=True)
    )
