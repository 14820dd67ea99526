"""Scalar schedule of quantize to int8: one integer product per element.

For cores without a floating-point unit, and for Arm DSP, where the unit's division and rounding take 37 instructions
per element and this 26.

The quotient of a real number and the scale is rounded to single precision, then to an integer. The result grows with
the magnitude of the number, so it is known from the smallest number of each step. The integer form multiplies the
number's mantissa with a reciprocal of the scale and shifts by its exponent; it is monotone as well. Reciprocals
next to the real one are tried until both agree on both sides of every step that int8 can tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from tvm_tinyml.dialect.fixed_point import saturate_expr

from .elementwise import elementwise_function
from .kernel import Array, Candidate, Kernel, Problem

# Steps from 0 that int8 can tell apart with any zero point.
STEPS = np.arange(1, 257, dtype=np.int64)
# Reciprocals at most this far from the real one are tried.
SEARCH = 64
INSTRUCTIONS_PER_OUTPUT = 26.0
INFINITY_BITS = 0x7F800000
# Half of the last of 24 bits of a product below 2**31; twice that above. It stands for the rounding of the quotient.
HALF_UNIT = 64


@dataclass(frozen=True)
class IntegerQuotient:
    """Constants of `tinyml_quantize_fixed`: mantissa of 1 / scale in Q0.32, and an exponent."""

    reciprocal: int
    exponent: int


def schedule_quantize(problem: Problem) -> Candidate | None:
    """Schedule quantize to int8 where floating point is done by library calls, or slower; None otherwise."""
    if problem.operator != "quantize" or problem.attrs["dtype"] != "int8":
        return None
    if "fpu" in problem.features and "dsp" not in problem.features:
        return None
    quotient = fit_quotient(problem.attrs["scale"])
    if quotient is None:
        return None
    return Candidate(
        rule="integer quantize",
        instructions=INSTRUCTIONS_PER_OUTPUT * problem.outputs,
        build=lambda: _build(problem, quotient),
    )


def _build(problem: Problem, quotient: IntegerQuotient) -> Kernel:
    zero_point = problem.attrs["zero_point"]

    def element(x: Any) -> Any:
        factors = tirx.const(quotient.reciprocal, "uint32"), tirx.const(quotient.exponent, "int32")
        rounded = tirx.call_pure_extern("int32", "tinyml_quantize_fixed", x, *factors)
        return saturate_expr(rounded + zero_point, -128, 127)

    data = te.placeholder((problem.outputs,), "float32", name="data")
    return Kernel(elementwise_function([data], element, "quantize"), constants={})


def fit_quotient(scale: float) -> IntegerQuotient | None:
    """The integer form of a division by `scale`, proven equal on all single-precision numbers; None without one."""
    fraction, power = np.frexp(1.0 / float(np.float32(scale)))
    exponent = 158 - int(power)
    # Numbers below the normal range must be far below the first step, those near infinity far above the last.
    if not 64 <= exponent <= 220:
        return None
    first = _first_numbers(np.float32(scale))
    nearest = round(float(fraction) * 2**32)
    for step in sorted(range(-SEARCH, SEARCH + 1), key=abs):
        if not 2**31 <= nearest + step < 2**32:
            continue
        quotient = IntegerQuotient(nearest + step, exponent)
        reached = apply_quotient(first, quotient) >= STEPS
        early = apply_quotient(first - 1, quotient) >= STEPS
        if reached.all() and not early.any():
            return quotient
    return None


def apply_quotient(bits: Array, quotient: IntegerQuotient) -> Array:
    """What `tinyml_quantize_fixed` makes of positive numbers, given as int64 bit patterns."""
    right = quotient.exponent - (bits >> 23)
    mantissa = ((bits & 0x7FFFFF) | 0x800000) << 8
    product = (mantissa.astype(np.uint64) * np.uint64(quotient.reciprocal) >> np.uint64(32)).astype(np.int64)
    product += HALF_UNIT << (product >> 31)
    rounded = ((product >> np.clip(right - 1, 0, 31)) + 1) >> 1
    return np.where(right < 21, 512, np.where(right > 32, 0, rounded))


def _first_numbers(scale: np.float32) -> Array:
    """Bit patterns of the smallest positive numbers whose quotient rounds to each step or beyond."""
    low, high = np.zeros_like(STEPS), np.full_like(STEPS, INFINITY_BITS)
    while (low < high).any():
        middle = (low + high) >> 1
        with np.errstate(over="ignore"):
            quotient = (middle.astype(np.int32).view(np.float32) / scale).astype(np.float64)
        reached = np.floor(quotient + 0.5) >= STEPS
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    return low
