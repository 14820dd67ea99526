"""Softmax over the last axis, in fixed point: the int8 kernel of TFLite's reference implementation.

Differences to the row's maximum are scaled to Q5.26, their exponentials (Q0.31) are summed in Q12.19, and the
output is the exponential times the reciprocal of the sum, in steps of 1/256 with zero point -128. Differences
below `diff_min` give the smallest output. Method: gemmlowp's fixed-point functions (see fixed_functions).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tvm import te, tirx

from .bounds import InputBounds, Whole, Window
from .fixed_functions import (
    count_leading_zeros,
    count_leading_zeros_expr,
    doubling_high_multiply_expr,
    exp_negative,
    exp_negative_expr,
    reciprocal,
    reciprocal_expr,
    rounding_shift_right_expr,
)
from .fixed_point import (
    doubling_high_multiply,
    quantize_multiplier,
    requantize,
    requantize_expr,
    rounding_shift_right,
    saturate_expr,
)
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec

SUM_INTEGER_BITS = 12
MAX_DEPTH = (1 << SUM_INTEGER_BITS) - 1
# The sum x, read as Q12.19, has 12 - clz(x) bits above one; the output keeps 8 of the product's 31 bits.
OUTPUT_EXPONENT = SUM_INTEGER_BITS + 31 - 8


def scaling(beta: float, input_scale: float) -> tuple[int, int, int]:
    """Attributes (multiplier, shift, diff_min) for the softmax of `beta` times the real input.

    LiteRT caps the multiplier at 2**31. From 2**30 on no exponential but that of the maximum reaches the
    output, so the lower cap used here, which keeps the shift within 30 bits, gives the same results.
    """
    multiplier, shift = quantize_multiplier(min(beta * input_scale * 2.0**26, 2.0**30 - 1))
    return multiplier, shift, -math.floor(31 * 2.0 ** (26 - shift))


def _infer(inputs: Sequence[TensorSpec], _attrs: Attrs) -> TensorSpec:
    (data,) = inputs
    if not data.shape:
        raise ValueError("softmax needs at least one axis")
    if data.shape[-1] > MAX_DEPTH:
        raise ValueError(
            f"softmax over {data.shape[-1]} elements overflows its {SUM_INTEGER_BITS}-bit sum, "
            f"at most {MAX_DEPTH} are possible"
        )
    return TensorSpec(data.shape, "int8")


def exponentials(differences: Array, attrs: Attrs) -> Array:
    """Exponentials in Q0.31 of integers up to 0, the differences to a row's maximum."""
    wide = np.asarray(differences, np.int64)
    scaled = requantize(wide, attrs["multiplier"], attrs["shift"], "double")
    result: Array = np.where(wide >= attrs["diff_min"], exp_negative(scaled), 0)
    return result


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    data = arrays[0].astype(np.int64)
    exponential = exponentials(data - data.max(axis=-1, keepdims=True), attrs)
    total = rounding_shift_right(exponential, SUM_INTEGER_BITS).sum(axis=-1, keepdims=True)
    product = doubling_high_multiply(exponential, reciprocal(total))
    scaled = rounding_shift_right(product, OUTPUT_EXPONENT - count_leading_zeros(total))
    output: Array = np.clip(scaled - 128, -128, 127).astype(np.int8)
    return output


def _compute(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Softmax over the last axis."""

    def exponential_of(difference: Any) -> Any:
        scaled = requantize_expr(difference, attrs["multiplier"], attrs["shift"], "double")
        return tirx.if_then_else(
            difference >= attrs["diff_min"], exp_negative_expr(scaled), tirx.const(0, "int32")
        )

    return softmax_of_exponentials(tensors[0], exponential_of)


def softmax_of_exponentials(data: Any, exponential_of: Callable[[Any], Any]) -> Any:
    """Softmax over the last axis of a TE tensor; `exponential_of` makes what `exponentials` says of a difference."""
    *leading, depth = (int(extent) for extent in data.shape)
    # A single row keeps an axis, at which schedules can compute the row's stages.
    rows = leading or [1]
    k = te.reduce_axis((0, depth), "k")
    maximum = te.compute(rows, lambda *row: te.max(data(*row[: len(leading)], k), axis=k), name="maximum")

    def row_of(indices: tuple[Any, ...]) -> tuple[Any, ...]:
        return indices[:-1] or (0,)

    exponential = te.compute(
        data.shape,
        lambda *indices: exponential_of(
            data(*indices).astype("int32") - maximum(*row_of(indices)).astype("int32")
        ),
        name="exponential",
    )
    j = te.reduce_axis((0, depth), "j")
    total = te.compute(
        rows,
        lambda *row: te.sum(
            rounding_shift_right_expr(exponential(*row[: len(leading)], j), SUM_INTEGER_BITS), axis=j
        ),
        name="accumulate",
    )
    inverse = te.compute(rows, lambda *row: reciprocal_expr(total(*row)), name="reciprocal")
    exponent = te.compute(
        rows, lambda *row: OUTPUT_EXPONENT - count_leading_zeros_expr(total(*row)), name="exponent"
    )

    def output(*indices: Any) -> Any:
        row = row_of(indices)
        product = doubling_high_multiply_expr(exponential(*indices), inverse(*row))
        return saturate_expr(rounding_shift_right_expr(product, exponent(*row)) - 128, -128, 127)

    return te.compute(data.shape, output, name="requantize")


def _bounds(inputs: Sequence[TensorSpec], _attrs: Attrs) -> tuple[InputBounds, ...]:
    leading = tuple(Window(axis) for axis in range(len(inputs[0].shape) - 1))
    return (InputBounds((*leading, Whole())),)


register(
    Operator(
        name="softmax",
        inputs=("data",),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
    )
)
