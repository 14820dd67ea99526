"""Choose the cheapest exact requantisation for cores with a high multiply and plain integer instructions.

First choice is the one-multiply form of `requantize.fit`. Layers that round twice and have negative results do not
fit it: there a tie moves by one unit of the doubled product for negative values only. The signed form adds that unit:

    x = high(acc << finer, multiplier);  q = clamp((x + ((x >> 31) << (finer - 1)) + addend) >> shift)

The left shift lets `addend` count in fractions of the unit, so that the rounding constant of the first step fits in.
Both sides are monotone in `acc`, so equality next to the 255 steps of the output, which is checked here for every
channel, is equality everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .kernel import Array
from .requantize import MULH, fit, thresholds_of

# How far the bias is moved in search of a signed form.
BIAS_SEARCH = 64
# More fractional bits than this do not make more channels fit.
FINEST = 8
# What the form depends on beside the constants.
ATTRIBUTES = ("rounding", "zero_point", "clamp_min", "clamp_max")


@dataclass(frozen=True)
class ScalarRequantization:
    """One layer's requantisation: int32[channels] constants; `bias` replaces the layer's.

    finer: 0 for the one-multiply form, else the left shift of the signed form.
    """

    bias: Array
    multiplier: Array
    addend: Array
    shift: Array
    finer: int

    def table(self, input_zero_sums: Array) -> Array:
        """int32[4, channels]: bias, multiplier, addend, shift; the bias takes in what a raw input adds.

        input_zero_sums: input zero point times the sum of each channel's weights.
        """
        bias = (self.bias.astype(np.int64) - input_zero_sums).astype(np.int32)
        return np.stack([bias, self.multiplier, self.addend, self.shift]).astype(np.int32)


def choose(
    constants: Mapping[str, Array], attrs: Mapping[str, Any], limits: Array
) -> ScalarRequantization | None:
    """The cheapest proven form of a layer, or None when a channel has none.

    constants: "bias", "multiplier" and "shift", int32[channels].
    attrs: "rounding", "zero_point", "clamp_min" and "clamp_max".
    limits: largest magnitude of each channel's accumulator.
    """
    channels = tuple(
        np.asarray(values, np.int64).tobytes()
        for values in (constants["bias"], constants["multiplier"], constants["shift"], limits)
    )
    return _choose(channels, *(attrs[name] for name in ATTRIBUTES))


@lru_cache(maxsize=16)
def _choose(channels: tuple[bytes, ...], *values: Any) -> ScalarRequantization | None:
    """`choose` for contents: several rules ask the same about a layer."""
    bias, multiplier, shift, limits = (np.frombuffer(content, np.int64) for content in channels)
    constants = {"bias": bias, "multiplier": multiplier, "shift": shift}
    attrs = dict(zip(ATTRIBUTES, values, strict=True))
    fitted = fit(constants, attrs, limits, MULH)
    if fitted is not None:
        return ScalarRequantization(fitted.bias, fitted.multiplier, fitted.addend, fitted.shift, 0)
    return _signed(constants, attrs, limits)


def _signed(
    constants: Mapping[str, Array], attrs: Mapping[str, Any], limits: Array
) -> ScalarRequantization | None:
    multiplier, right = constants["multiplier"].astype(np.int64), -constants["shift"].astype(np.int64)
    # The shifted accumulator and the addend, which is the zero point shifted, have to stay below 2**30.
    finer = min(FINEST, 30 - int(limits.max() + BIAS_SEARCH).bit_length(), 23 - int(right.max()))
    shift = right + finer - 1
    if attrs["rounding"] != "double" or finer < 1 or (right < 1).any():
        return None
    steps = np.arange(attrs["clamp_min"] + 1, attrs["clamp_max"] + 1, dtype=np.int64)
    thresholds = thresholds_of(multiplier, -right, attrs, limits, steps)
    targets = steps << shift[:, None]
    unreachable, always = thresholds > limits[:, None], thresholds <= -limits[:, None]
    moved, addend = np.zeros_like(multiplier), np.zeros_like(multiplier)
    left = np.ones(len(multiplier), bool)
    for move in sorted(range(-BIAS_SEARCH, BIAS_SEARCH + 1), key=abs):
        # The addend must lift a step's first accumulator to the step and must not lift the one before.
        first = _signed_product(thresholds + move, multiplier, finer)
        before = _signed_product(thresholds - 1 + move, multiplier, finer)
        lowest = np.where(unreachable, -(2**40), targets - first).max(axis=1, initial=-(2**40))
        below = np.where(always, 2**40, targets - before).min(axis=1, initial=2**40)
        found = left & (lowest < below) & (np.abs(lowest) < 2**30)
        moved[found], addend[found] = move, lowest[found]
        left &= ~found
        if not left.any():
            break
    if left.any():
        return None
    return ScalarRequantization(
        bias=(constants["bias"].astype(np.int64) + moved).astype(np.int32),
        multiplier=multiplier.astype(np.int32),
        addend=addend.astype(np.int32),
        shift=shift.astype(np.int32),
        finer=finer,
    )


def _signed_product(accumulators: Array, multiplier: Array, finer: int) -> Array:
    high = ((accumulators << finer) * multiplier[:, None]) >> 32
    product: Array = high + ((high >> 31) << (finer - 1))
    return product
