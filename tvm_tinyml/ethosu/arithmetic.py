"""Scaling of accumulators with the rounding modes of the NPU.

TFL is the double rounding of TFLite's fixed-point arithmetic: a high product that rounds ties up, then a shift that
rounds ties away from zero. NATURAL rounds once, ties up; TRUNCATE drops the bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.registers import Rounding

_HIGH_PRODUCT_BITS = 31


def scale(
    values: NDArray[np.int64],
    multiplier: NDArray[np.int64] | int,
    shift: NDArray[np.int64] | int,
    rounding: Rounding,
) -> NDArray[np.int64]:
    """`values * multiplier / 2**shift`, rounded; multipliers and shifts broadcast, shifts are 0 to 63."""
    products = values * multiplier
    shifts = np.broadcast_to(np.asarray(shift, np.int64), products.shape)
    if rounding == Rounding.TRUNCATE:
        return products >> shifts
    if rounding == Rounding.NATURAL:
        return shift_half_up(products, shifts)
    first = np.minimum(shifts, _HIGH_PRODUCT_BITS)
    return shift_half_away(shift_half_up(products, first), shifts - first)


def shift_half_up(values: NDArray[np.int64], shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`values / 2**shifts`, ties towards positive infinity."""
    return (values >> shifts) + (np.where(shifts > 0, values >> np.maximum(shifts - 1, 0), 0) & 1)


def shift_half_away(values: NDArray[np.int64], shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`values / 2**shifts`, ties away from zero."""
    return np.sign(values) * shift_half_up(np.abs(values), shifts)
