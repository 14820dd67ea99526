"""`pad`: a constant border around a tensor of any rank and element type (TFLite's PAD and PADV2).

`pad_width` holds before and after of each axis in turn; `pad_value` is in the tensor's own numbers, so PAD,
whose border is the real number zero, carries the zero point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .blocks import Part, assemble
from .bounds import InputBounds, Interval, Region, Window
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec


def _widths(attrs: Attrs) -> tuple[tuple[int, int], ...]:
    flat = attrs["pad_width"]
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data, flat = inputs[0], attrs["pad_width"]
    if len(flat) != 2 * len(data.shape):
        raise ValueError(
            f"pad_width has {len(flat)} entries, rank {len(data.shape)} needs {2 * len(data.shape)}"
        )
    if any(width < 0 for width in flat):
        raise ValueError(f"pad_width must not be negative, found {tuple(flat)}")
    kind = np.dtype(data.dtype)
    if kind.kind in "iu" and not np.iinfo(kind).min <= attrs["pad_value"] <= np.iinfo(kind).max:
        raise ValueError(f"pad_value {attrs['pad_value']} does not fit {data.dtype}")
    shape = (
        extent + before + after for extent, (before, after) in zip(data.shape, _widths(attrs), strict=True)
    )
    return TensorSpec(tuple(shape), data.dtype)


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    return np.pad(arrays[0], _widths(attrs), constant_values=attrs["pad_value"])


def _borders(shape: Sequence[int], widths: Sequence[tuple[int, int]]) -> Iterator[Region]:
    """Disjoint slabs that make up the border: those of an axis span the whole of the axes behind it."""
    padded = [extent + before + after for extent, (before, after) in zip(shape, widths, strict=True)]
    inner: list[Interval] = []
    for axis, (before, after) in enumerate(widths):
        behind = [(0, extent) for extent in padded[axis + 1 :]]
        for interval in ((0, before), (padded[axis] - after, padded[axis])):
            if interval[0] < interval[1]:
                yield (*inner, interval, *behind)
        inner.append((before, before + shape[axis]))


def _compute(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Constant border around a tensor."""
    (data,) = tensors
    shape, widths = [int(extent) for extent in data.shape], _widths(attrs)
    origin = tuple(before for before, _ in widths)
    inside = tuple((before, before + extent) for extent, before in zip(shape, origin, strict=True))
    borders = [
        Part(f"border_{number}", region, value=attrs["pad_value"])
        for number, region in enumerate(_borders(shape, widths))
    ]
    padded = [extent + before + after for extent, (before, after) in zip(shape, widths, strict=True)]
    return assemble(tensors, padded, [*borders, Part("inside", inside, source=0, origin=origin)], "pad")


def _bounds(_inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    axes = (Window(axis, first=-before, last=-before) for axis, (before, _) in enumerate(_widths(attrs)))
    return (InputBounds(tuple(axes)),)


register(
    Operator(
        name="pad",
        inputs=("data",),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
    )
)
