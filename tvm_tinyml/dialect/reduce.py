"""Mean over any set of axes: `mean`.

The sum of the centred elements is scaled by one multiplier, which holds the ratio of the scales and the
number of elements. Semantics: the int8 MEAN of TFLite's reference kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te

from .bounds import AxisBounds, InputBounds, Whole, Window
from .fixed_point import quantize_multiplier, requantize, requantize_expr, saturate_expr
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec

INT8_MIN, INT8_MAX = -128, 127


def mean_scaling(input_scale: float, output_scale: float, count: int) -> tuple[int, int]:
    """Attributes (multiplier, shift) of the mean of `count` elements.

    The multiplier is shifted up as far as it fits before it is divided, truncating, by `count`.
    """
    multiplier, shift = quantize_multiplier(input_scale / output_scale)
    headroom = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << headroom) // count, shift - headroom


def _reduced(rank: int, attrs: Attrs) -> tuple[int, ...]:
    """Reduced axes in ascending order, as non-negative numbers."""
    axes = attrs["axes"]
    if any(not -rank <= axis < rank for axis in axes):
        raise ValueError(f"axes {tuple(axes)} do not exist in data of rank {rank}")
    return tuple(sorted({axis % rank for axis in axes}))


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    shape = inputs[0].shape
    reduced = _reduced(len(shape), attrs)
    if attrs["keepdims"]:
        return TensorSpec(tuple(1 if axis in reduced else n for axis, n in enumerate(shape)), "int8")
    return TensorSpec(tuple(n for axis, n in enumerate(shape) if axis not in reduced), "int8")


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    data = arrays[0].astype(np.int32) - attrs["input_zero_point"]
    total = data.sum(axis=_reduced(data.ndim, attrs), keepdims=bool(attrs["keepdims"]))
    scaled = requantize(total, attrs["multiplier"], attrs["shift"], "double") + attrs["zero_point"]
    return np.asarray(np.clip(scaled, INT8_MIN, INT8_MAX), np.int8)


def _compute(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Mean over some axes."""
    (data,) = tensors
    extents = tuple(int(extent) for extent in data.shape)
    reduced = _reduced(len(extents), attrs)
    shape = _infer([TensorSpec(extents, data.dtype)], attrs).shape
    axes = {axis: te.reduce_axis((0, extents[axis]), f"k{axis}") for axis in reduced}

    def element(indices: Sequence[Any]) -> Any:
        spatial = list(indices)
        if attrs["keepdims"]:
            spatial = [index for axis, index in enumerate(spatial) if axis not in axes]
        remaining = iter(spatial)
        return data(*(axes[axis] if axis in axes else next(remaining) for axis in range(len(extents))))

    accumulator = te.compute(
        shape,
        lambda *indices: te.sum(element(indices).astype("int32"), axis=list(axes.values())),
        name="accumulate",
    )

    offset = math.prod(extents[axis] for axis in reduced) * attrs["input_zero_point"]

    def output(*indices: Any) -> Any:
        scaled = requantize_expr(
            accumulator(*indices) - offset, attrs["multiplier"], attrs["shift"], "double"
        )
        return saturate_expr(scaled + attrs["zero_point"], INT8_MIN, INT8_MAX)

    return te.compute(shape, output, name="requantize")


def _bounds(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    rank = len(inputs[0].shape)
    reduced = _reduced(rank, attrs)
    axes: list[AxisBounds] = []
    position = 0
    for axis in range(rank):
        axes.append(Whole() if axis in reduced else Window(position))
        position += 1 if attrs["keepdims"] or axis not in reduced else 0
    return (InputBounds(tuple(axes)),)


register(
    Operator(
        name="mean",
        inputs=("data",),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
    )
)
