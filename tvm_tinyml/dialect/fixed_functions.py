"""Exponential and reciprocal in fixed point: exact NumPy semantics and the TE expressions for them.

The algorithms are gemmlowp's (fixedpoint.h): a Taylor polynomial and a product of tabulated exponentials for
`exp`, Newton-Raphson division for the reciprocal. A format Qm.n has m integer and n fractional bits. The C
counterparts are in runtime_c/include/tinyml_fixed_point.h.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx

from .fixed_point import INT32_MAX, INT32_MIN, doubling_high_multiply, rounding_shift_right
from .relax_api import Array

# exp(-1/8) and 1/3 in Q0.31, exp(-(2**k)) in Q0.31 for k = -2 .. 4.
EXP_OF_MINUS_EIGHTH = 1895147668
THIRD = 715827883
POWER_EXPONENTIALS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
# 48/17 and -32/17 in Q2.29: the minimax start of the Newton-Raphson division.
_START, _SLOPE = 1515870810, -1010580540


def exp_negative(x: Array) -> Array:
    """exp(x) in Q0.31 for x <= 0 in Q5.26; int64 arrays holding int32 values."""
    wide = np.asarray(x, np.int64)
    fraction = (wide & ((1 << 24) - 1)) - (1 << 24)
    y = (fraction << 5) + (1 << 28)
    y2 = doubling_high_multiply(y, y)
    y3 = doubling_high_multiply(y2, y)
    y4_over_4 = rounding_shift_right(doubling_high_multiply(y2, y2), 2)
    high_terms = rounding_shift_right(doubling_high_multiply(y4_over_4 + y3, THIRD) + y2, 1)
    result = EXP_OF_MINUS_EIGHTH + doubling_high_multiply(y + high_terms, EXP_OF_MINUS_EIGHTH)
    powers = fraction - wide
    for index, exponential in enumerate(POWER_EXPONENTIALS):
        selected = (powers >> (24 + index)) & 1 == 1
        result = np.where(selected, doubling_high_multiply(result, exponential), result)
    return np.where(wide == 0, INT32_MAX, result)


def count_leading_zeros(x: Array) -> Array:
    """Zero bits above the highest set bit of positive int32 values; 32 for zero."""
    return 32 - np.frexp(np.asarray(x, np.float64))[1].astype(np.int64)


def reciprocal(x: Array) -> Array:
    """`2**k / x` in Q0.31, with k such that `x / 2**k` lies in [1, 2); x > 0 in any 32-bit format."""
    wide = np.asarray(x, np.int64)
    remainder = (wide << count_leading_zeros(wide)) - (1 << 31)
    half_denominator = (remainder + INT32_MAX + 1) // 2
    estimate = _START + doubling_high_multiply(half_denominator, _SLOPE)
    for _ in range(3):
        error = (1 << 29) - doubling_high_multiply(half_denominator, estimate)
        estimate = estimate + _saturate(doubling_high_multiply(estimate, error) << 2)
    return _saturate(estimate << 1)


def exp_negative_expr(x: Any) -> Any:
    """TE expression of `exp_negative`."""
    return tirx.call_pure_extern("int32", "tinyml_exp_negative", x)


def reciprocal_expr(x: Any) -> Any:
    """TE expression of `reciprocal`."""
    return tirx.call_pure_extern("int32", "tinyml_reciprocal", x)


def count_leading_zeros_expr(x: Any) -> Any:
    """TE expression of `count_leading_zeros`."""
    return tirx.call_pure_extern("int32", "tinyml_count_leading_zeros", x)


def doubling_high_multiply_expr(a: Any, b: Any) -> Any:
    """TE expression of `doubling_high_multiply`."""
    return tirx.call_pure_extern("int32", "tinyml_multiply_high", a, b)


def rounding_shift_right_expr(x: Any, exponent: Any) -> Any:
    """TE expression of `rounding_shift_right`."""
    return tirx.call_pure_extern("int32", "tinyml_shift_right_rounding", x, exponent)


def _saturate(x: Array) -> Array:
    return np.clip(x, INT32_MIN, INT32_MAX)
