"""Requantisation and fixed-point functions against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tvm_tinyml.dialect.fixed_functions import count_leading_zeros, exp_negative, reciprocal
from tvm_tinyml.dialect.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    Rounding,
    doubling_high_multiply,
    doubling_high_multiply_16,
    exact_multiplier,
    quantize_multiplier,
    requantize,
    rounding_shift_right,
)

EDGES = (INT32_MIN, INT32_MIN + 1, -(2**30), -1, 0, 1, 2**30, INT32_MAX - 1, INT32_MAX)
INT32 = st.one_of(st.sampled_from(EDGES), st.integers(INT32_MIN, INT32_MAX), st.integers(-1000, 1000))
MULTIPLIERS = st.one_of(st.sampled_from((0, 1, 2**30, INT32_MAX)), st.integers(0, INT32_MAX))
SHIFTS = st.integers(-31, 30)


def wrapped(value: int) -> int:
    """`value` modulo 2**32, as a signed number."""
    return (value + 2**31) % 2**32 - 2**31


def ties_up(value: Fraction) -> int:
    """Nearest integer, ties towards positive infinity."""
    return math.floor(value + Fraction(1, 2))


def ties_away(value: Fraction) -> int:
    """Nearest integer, ties away from zero."""
    return ties_up(value) if value >= 0 else -ties_up(-value)


@given(st.floats(2.0**-32, 2.0**29.99))
def test_a_multiplier_is_its_factor_to_31_bits(real: float) -> None:
    multiplier, shift = quantize_multiplier(real)
    assert 2**30 <= multiplier <= INT32_MAX
    error = abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) - Fraction(real))
    assert error <= Fraction(2) ** (shift - 32)


def test_a_multiplier_that_rounds_up_to_one_takes_the_next_shift() -> None:
    assert quantize_multiplier(math.nextafter(1.0, 0.0)) == (2**30, 1)
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(2.0**-33) == (0, 0)


@pytest.mark.parametrize("real", [-0.5, math.inf, math.nan, 2.0**30])
def test_factors_out_of_range_are_refused(real: float) -> None:
    with pytest.raises(ValueError, match="scaling factor"):
        quantize_multiplier(real)


@given(INT32, INT32)
def test_the_high_product_rounds_to_nearest_and_saturates(a: int, b: int) -> None:
    expected = min(ties_up(Fraction(a * b, 2**31)), INT32_MAX)
    assert int(doubling_high_multiply(np.int64(a), b)) == expected


@given(st.integers(-(2**15), 2**15 - 1), st.integers(-(2**15), 2**15 - 1))
def test_the_16_bit_high_product_rounds_to_nearest_and_saturates(a: int, b: int) -> None:
    expected = min(ties_up(Fraction(a * b, 2**15)), 2**15 - 1)
    assert int(doubling_high_multiply_16(np.int64(a), b)) == expected


@given(INT32, st.integers(0, 31))
def test_right_shifts_round_ties_away_from_zero(x: int, exponent: int) -> None:
    assert int(rounding_shift_right(np.int64(x), exponent)) == ties_away(Fraction(x, 2**exponent))


@given(INT32, MULTIPLIERS, SHIFTS)
def test_double_rounding_is_a_high_product_and_a_shift(x: int, multiplier: int, shift: int) -> None:
    high = ties_up(Fraction(wrapped(x << max(shift, 0)) * multiplier, 2**31))
    expected = ties_away(Fraction(high, 2 ** max(-shift, 0)))
    assert int(requantize(np.int64(x), multiplier, shift, "double")) == expected


@pytest.mark.parametrize(("rounding", "nearest"), [("single", ties_up), ("away", ties_away)])
@given(x=INT32, multiplier=MULTIPLIERS, shift=SHIFTS)
def test_single_rounding_is_the_nearest_integer(
    rounding: Rounding, nearest: type[int], x: int, multiplier: int, shift: int
) -> None:
    exact = Fraction(x * multiplier) * Fraction(2) ** (shift - 31)
    assert int(requantize(np.int64(x), multiplier, shift, rounding)) == wrapped(nearest(exact))


def test_requantising_is_elementwise_over_channels() -> None:
    x = np.array([[1000, -1000], [3, -3]], np.int32)
    multiplier, shift = np.array([2**30, 2**30 + 12345], np.int32), np.array([-1, 2], np.int32)
    expected = [
        [int(requantize(x[i, c], int(multiplier[c]), int(shift[c]), "double")) for c in (0, 1)]
        for i in (0, 1)
    ]
    assert requantize(x, multiplier, shift, "double").tolist() == expected


@settings(max_examples=60)
@given(st.floats(2.0**-14, 2.0), st.integers(1, 2**24))
def test_an_exact_multiplier_scales_as_double_precision_does(real: float, limit: int) -> None:
    scaling = exact_multiplier(real, limit)
    assume(scaling is not None)
    generator = np.random.default_rng(limit)
    near_ties = [math.ceil((k - 0.5) / real) + d for k in generator.integers(1, 256, 200) for d in (-1, 0)]
    x = np.array([v for v in (*near_ties, *generator.integers(0, limit, 200)) if 0 <= v <= limit] or [0])
    for signed in (x, -x):
        product = signed.astype(np.float64) * real
        rounded = np.copysign(np.floor(np.abs(product) + 0.5), product)
        scaled = requantize(signed, *(scaling or (0, 0)), "away")
        np.testing.assert_array_equal(np.clip(scaled, -256, 256), np.clip(rounded, -256, 256))


def test_powers_of_two_keep_their_exact_multiplier() -> None:
    assert exact_multiplier(0.5, 2**20) == quantize_multiplier(0.5)


def test_ordinary_factors_have_an_exact_multiplier() -> None:
    factors = 2.0 ** np.random.default_rng(0).uniform(-14, 1, 100)
    assert all(exact_multiplier(float(real), 2**24) is not None for real in factors)


def test_a_factor_whose_ties_31_bits_miss_gets_a_neighbouring_multiplier() -> None:
    """A sixth of 3 is a tie in double precision; the nearest 31-bit factor lies below a sixth."""
    nearest, exact = quantize_multiplier(1 / 6), exact_multiplier(1 / 6, 2**16)
    assert exact == (nearest[0] + 1, nearest[1])
    assert int(requantize(np.int64(3), *nearest, "away")) == 0
    assert int(requantize(np.int64(3), *exact, "away")) == 1


def test_no_exact_multiplier_is_admitted_when_31_bits_cannot_be() -> None:
    """Steps 2**18 accumulators apart tell factors apart that differ by less than 31 bits resolve."""
    missing = [exact_multiplier(float(real), 2**30) for real in np.linspace(1.1e-6, 1.9e-6, 40)]
    assert None in missing


@given(st.integers(INT32_MIN, 0))
def test_the_exponential_is_accurate(x: int) -> None:
    real = math.exp(x / 2**26)
    # The fourth-order polynomial around -1/8 is off by at most (1/8)**5 / 120, and eight products round.
    assert int(exp_negative(np.int64(x))) / 2**31 == pytest.approx(real, abs=(1 / 8) ** 5 / 120 + 8 * 2**-31)


@given(st.integers(1, INT32_MAX))
def test_the_reciprocal_is_accurate(x: int) -> None:
    zeros = 32 - x.bit_length()
    normalised = x / 2.0 ** (31 - zeros)
    # Three Newton steps square an initial error of 1/17 to below the rounding of the last products.
    assert int(reciprocal(np.int64(x))) / 2**31 == pytest.approx(1 / normalised, abs=8 * 2**-31)


@given(st.integers(0, INT32_MAX))
def test_leading_zeros_are_counted(x: int) -> None:
    assert int(count_leading_zeros(np.int64(x))) == 32 - x.bit_length()
