"""Fixed-point requantisation: quantised multipliers, exact NumPy semantics and the TE expressions for them.

The arithmetic is gemmlowp's (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", section 2.2): a real multiplier is `multiplier * 2**(shift - 31)` with
`multiplier` in [2**30, 2**31) and a positive `shift` meaning a left shift. Three ways to round exist in the
field: "double" (saturating doubling high multiply, then a rounding right shift), "single" (one rounding of
the 64-bit product, ties up) and "away" (one rounding, ties away from zero: what a kernel that scales in
floating point computes). The C counterparts are in runtime_c/include/tinyml_fixed_point.h.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from tvm import tirx

from .relax_api import Array

Rounding: TypeAlias = Literal["double", "single", "away"]

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
MAX_SHIFT = 30


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Split a real multiplier into (multiplier, shift); (0, 0) for zero and for values that underflow.

    Raises ValueError for values that are negative, not finite, or need a left shift of over MAX_SHIFT bits.
    """
    if not math.isfinite(real) or real < 0.0:
        raise ValueError(f"a scaling factor must be finite and not negative, found {real}")
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift > MAX_SHIFT:
        raise ValueError(
            f"a scaling factor of {real} needs a left shift of {shift} bits, at most {MAX_SHIFT} fit"
        )
    return (0, 0) if shift < -31 else (multiplier, shift)


@lru_cache(maxsize=4096)
def exact_multiplier(real: float, limit: int) -> tuple[int, int] | None:
    """(multiplier, shift) whose "away" rounding is `round(x * real)` in double precision, or None.

    Kernels that scale in double precision have a factor of 53 bits; one of 31 bits can differ from it next to
    a tie. Both functions are monotone and odd, so they agree when they step from k - 1 to k at the same x for
    all k. Each step bounds the multiplier from both sides; within all bounds, the one nearest to `real` is
    returned.

    real: factor in (0, 2**30).
    limit: largest magnitude of x. Results from 256 on are not told apart: any int8 output saturates there.
    """
    multiplier, shift = quantize_multiplier(real)
    bits = 31 - shift
    lowest, highest = 0, INT32_MAX
    for k in range(1, 256):
        tie = (2 * k - 1) << (bits - 1)
        crossing = _first_reaching(k - 0.5, real)
        if crossing > limit:
            highest = min(highest, (tie - 1) // limit) if limit else highest
            break
        lowest = max(lowest, -(-tie // crossing))
        if crossing > 1:
            highest = min(highest, (tie - 1) // (crossing - 1))
    return (min(max(multiplier, lowest), highest), shift) if lowest <= highest else None


def _first_reaching(value: float, real: float) -> int:
    """Smallest integer x with `x * real >= value` in double precision."""
    x = math.ceil(Fraction(value) / Fraction(real))
    while x * real < value:
        x += 1
    while (x - 1) * real >= value:
        x -= 1
    return x


MAX_DIVISOR = 2**21


def division_multiplier(divisor: int) -> tuple[int, int]:
    """(multiplier, shift) whose "away" rounding divides by `divisor`, ties away from zero.

    Exact where the result lies within 8 bits: the multiplier exceeds 2**k / divisor by less than one part in 2**30,
    which brings ties to the right side and is too little for anything below a tie, half a unit of at most
    128 * divisor.
    divisor: at most MAX_DIVISOR; ValueError otherwise.
    """
    if not 1 <= divisor <= MAX_DIVISOR:
        raise ValueError(f"division by {divisor}: divisors from 1 to {MAX_DIVISOR} have a proven multiplier")
    bits = 30 + (divisor - 1).bit_length()
    return min(-(-(1 << bits) // divisor), INT32_MAX), 31 - bits


def doubling_high_multiply(a: Array, b: Array | int) -> Array:
    """`round(a * b / 2**31)` on int32 values, ties up; INT32_MIN * INT32_MIN saturates."""
    wide_a, wide_b = np.asarray(a, np.int64), np.asarray(b, np.int64)
    high = (wide_a * wide_b + (1 << 30)) >> 31
    result: Array = np.where((wide_a == INT32_MIN) & (wide_b == INT32_MIN), INT32_MAX, high)
    return result


def doubling_high_multiply_16(a: Array, b: Array | int) -> Array:
    """`round(a * b / 2**15)` on int16 values, ties up; -2**15 times itself saturates."""
    wide_a, wide_b = np.asarray(a, np.int64), np.asarray(b, np.int64)
    result: Array = np.minimum((wide_a * wide_b + (1 << 14)) >> 15, 2**15 - 1)
    return result


def rounding_shift_right(x: Array, exponent: Array | int) -> Array:
    """`round(x / 2**exponent)` with ties away from zero, exponent >= 0."""
    wide, bits = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    mask = (np.int64(1) << bits) - 1
    threshold = (mask >> 1) + (wide < 0)
    result: Array = (wide >> bits) + ((wide & mask) > threshold)
    return result


def requantize(x: Array, multiplier: Array | int, shift: Array | int, rounding: Rounding) -> Array:
    """Scale int32 accumulators by `multiplier * 2**(shift - 31)`; int64 result holding int32 values.

    `multiplier` is not negative, `shift` in [-31, 30]. What leaves the range of int32 wraps around.
    """
    wide, exponent = np.asarray(x, np.int64), np.asarray(shift, np.int64)
    if rounding != "double":
        total = 31 - exponent
        half = (np.int64(1) << (total - 1)) - ((wide < 0) if rounding == "away" else 0)
        scaled = (wide * np.asarray(multiplier, np.int64) + half) >> total
        wrapped: Array = scaled.astype(np.int32).astype(np.int64)
        return wrapped
    left, right = np.maximum(exponent, 0), np.maximum(-exponent, 0)
    shifted = (wide << left).astype(np.int32)
    return rounding_shift_right(doubling_high_multiply(shifted, multiplier), right)


def requantize_expr(x: Any, multiplier: Any, shift: Any, rounding: Rounding) -> Any:
    """TE expression of `requantize`; int32 in, int32 out; printed as a call into tinyml_fixed_point.h."""
    return tirx.call_pure_extern(
        "int32", f"tinyml_requantize_{rounding}", x, _int32(multiplier), _int32(shift)
    )


def saturate_expr(x: Any, clamp_min: int, clamp_max: int, dtype: str = "int8") -> Any:
    """TE expression `cast(clamp(x, clamp_min, clamp_max))`."""
    return tirx.max(tirx.min(x, tirx.const(clamp_max, "int32")), tirx.const(clamp_min, "int32")).astype(dtype)


def _int32(value: Any) -> Any:
    return tirx.const(value, "int32") if isinstance(value, int) else value.astype("int32")
