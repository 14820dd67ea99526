"""Sliding-window options shared by the convolutions and poolings: strides, dilation, SAME and VALID."""

from __future__ import annotations

from collections.abc import Sequence

import tflite

from ....dialect.windows import same_padding
from ..node import Node

# Far beyond any image; keeps padded extents small enough to address.
MAX_WINDOW = 1 << 15


def pair(node: Node, height: str, width: str) -> list[int]:
    """Two positive options, [height, width]."""
    values = [int(node.option(height)), int(node.option(width))]
    for name, value in zip((height, width), values, strict=True):
        if not 1 <= value <= MAX_WINDOW:
            node.malformed(f"option {name} is {value}, possible are 1 to {MAX_WINDOW}")
    return values


def explicit_padding(
    node: Node, extents: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """Padding [top, left, bottom, right] of the two spatial axes, from option `padding`.

    The option is a number of the schema, or the four themselves.
    """
    padding = node.option("padding")
    given = padding if isinstance(padding, tuple) else None
    if given is None and padding not in (tflite.Padding.SAME, tflite.Padding.VALID):
        node.malformed(f"option padding is {padding}, possible are 0 (SAME) and 1 (VALID)")
    befores, afters = [], []
    for axis, (extent, size, stride, spread) in enumerate(
        zip(extents, kernel, strides, dilation, strict=True)
    ):
        span = (size - 1) * spread + 1
        if span > MAX_WINDOW:
            node.reject(f"its window spans {span} elements, the limit is {MAX_WINDOW}")
        if given is not None:
            before, after = given[axis], given[axis + 2]
        elif padding == tflite.Padding.SAME:
            before, after = same_padding(extent, size, stride, spread)
        else:
            before, after = 0, 0
        if span > extent + before + after:
            node.malformed(f"its window of {span} elements does not fit an axis of {extent}")
        befores.append(before)
        afters.append(after)
    return [*befores, *afters]
