"""Requantisation for cores whose products have 32 bits: the multiplier in two or three parts, proven on every step.

    q = clamp((x * high + ((x * middle + (x * low >> bits)) >> bits) + sign + addend) >> shift)

with x = accumulator + bias. The parts belong to one multiplier, cut so that no product overflows for any accumulator
the layer can reach. Layers that round twice and have negative results need `sign`, which is -(2**bits) for negative
`x` and 0 otherwise: it moves ties of negative values by one unit of the first rounding. Everything is monotone in
`x`, so equality on both sides of the 255 steps of the output, checked here for each channel, is equality everywhere.

Multiplier and shift share a word, and the addend is what the shift makes of the zero point but for one byte, so that a
channel takes nine bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .kernel import Array
from .requantize import ATTRIBUTES, REMEMBERED, accumulator_range, thresholds_of

# Bits of a word that hold the shift.
SHIFT_BITS = 5
# (parts, bits of each) in the order of their cost. Few, because each is code of its own.
CUTS = ((2, 12), (2, 13), (3, 9), (3, 8))
# Distances from the nearest multiplier that are tried.
MULTIPLIER_SEARCH = (0, 1, -1, 2, -2, 3, -3)
# The addend, (2 * zero point + 1) << shift - 1, stays below 2**30.
LARGEST_SHIFT = 22
FAR = 2**40
# Room below 2**31 for sign, addend and rounding.
MARGIN = 2**20


@dataclass(frozen=True)
class SplitForm:
    """What all channels of a layer share.

    parts: 2 or 3 parts of the multiplier; bits: of each; signed: whether negative sums get the sign.
    """

    parts: int
    bits: int
    signed: bool

    @property
    def name(self) -> str:
        """For names of functions."""
        return f"{self.parts}x{self.bits}{'s' if self.signed else ''}"

    @property
    def width(self) -> int:
        """Bits of the whole multiplier."""
        return self.parts * self.bits

    def cut(self, multiplier: Array) -> list[Array]:
        """The parts of multipliers, the highest first."""
        mask = (1 << self.bits) - 1
        return [multiplier >> self.bits * part & mask for part in reversed(range(self.parts))]

    def scaled(self, x: Array, multiplier: Array) -> Array:
        """What is shifted at last, without the addend; x int64[channels, n], multiplier int64[channels]."""
        highest, *rest = self.cut(multiplier)
        carried = np.zeros_like(x)
        for part in reversed(rest):
            carried = (x * part[:, None] + carried) >> self.bits
        result: Array = x * highest[:, None] + carried
        return result - (np.where(x < 0, 1 << self.bits, 0) if self.signed else 0)


@dataclass(frozen=True)
class SplitRequantization:
    """One layer's requantisation.

    factors: int32[channels, 2] of bias and multiplier << 5 | shift.
    fine: int8[channels], what the addend has beside ((point << shift) >> 1) + rounding.
    point: twice the zero point and one.
    """

    factors: Array
    fine: Array
    point: int
    rounding: int
    form: SplitForm

    def without(self, input_zero_sums: Array) -> Array:
        """The factors with biases that take in what a raw input adds.

        input_zero_sums: input zero point times the sum of each channel's weights.
        """
        factors = self.factors.astype(np.int64)
        factors[:, 0] -= input_zero_sums
        return factors.astype(np.int32)


def reachable(weight: Array, bias: Array, input_zero_point: int, channel_axis: int) -> Array:
    """Largest magnitude that each channel's accumulator takes for some input, bias included; int64[channels]."""
    least, most = accumulator_range(weight, bias, input_zero_point, channel_axis)
    limits: Array = np.maximum(np.abs(most), np.abs(least))
    return limits


def choose_split(
    constants: Mapping[str, Array], attrs: Mapping[str, Any], limits: Array
) -> SplitRequantization | None:
    """The cheapest proven form of a layer, or None when a channel has none; arguments as for `requantize.fit`."""
    channels = tuple(
        np.asarray(values, np.int64).tobytes()
        for values in (constants["bias"], constants["multiplier"], constants["shift"], limits)
    )
    return _choose(channels, *(attrs[name] for name in ATTRIBUTES))


@lru_cache(maxsize=REMEMBERED)
def _choose(channels: tuple[bytes, ...], *values: Any) -> SplitRequantization | None:
    bias, multiplier, shift, limits = (np.frombuffer(content, np.int64) for content in channels)
    attrs = dict(zip(ATTRIBUTES, values, strict=True))
    steps = np.arange(attrs["clamp_min"] + 1, attrs["clamp_max"] + 1, dtype=np.int64)
    if (multiplier < 2**30).any() or not steps.size:
        return None
    double = attrs["rounding"] == "double"
    thresholds = thresholds_of(multiplier, shift, attrs, limits, steps)
    point = 2 * attrs["zero_point"] + 1
    for (parts, bits), signed in itertools.product(CUTS, (False, True)):
        form = SplitForm(parts, bits, signed)
        right = bits - shift
        fits = limits.max() << bits < 2**31 - MARGIN
        if not fits or (right < 1).any() or (right > LARGEST_SHIFT).any() or (signed and not double):
            continue
        rounding = 1 << (bits - 1) if double else 0
        addend = ((point << right) >> 1) + rounding
        drop = 31 - form.width
        nearest = (multiplier + (1 << drop >> 1)) >> drop
        found = _search(thresholds, steps, limits, nearest, right, addend, form)
        if found is not None:
            factors, fine = found
            words = np.stack([bias, factors << SHIFT_BITS | right], axis=1)
            return SplitRequantization(words.astype(np.int32), fine.astype(np.int8), point, rounding, form)
    return None


def _search(
    thresholds: Array,
    steps: Array,
    limits: Array,
    nearest: Array,
    right: Array,
    addend: Array,
    form: SplitForm,
) -> tuple[Array, Array] | None:
    """(multipliers, what their addends have beside `addend`) of all channels, or None."""
    targets = (steps << right[:, None]) - addend[:, None]
    unreachable, always = thresholds > limits[:, None], thresholds <= -limits[:, None]
    factors, fine = np.zeros_like(nearest), np.zeros_like(nearest)
    left = np.arange(len(nearest))
    for change in MULTIPLIER_SEARCH:
        factor = np.clip(nearest[left] + change, 0, (1 << form.width) - 1)
        # The first accumulator of a step must reach it, the one before must not.
        first, before = form.scaled(thresholds[left], factor), form.scaled(thresholds[left] - 1, factor)
        lowest = np.where(unreachable[left], -FAR, targets[left] - first).max(axis=1, initial=-FAR)
        highest = np.where(always[left], FAR, targets[left] - before).min(axis=1, initial=FAR) - 1
        nearest_zero = np.clip(0, lowest, np.maximum(lowest, highest))
        extremes = form.scaled(np.stack([-limits[left], limits[left]], axis=1), factor)
        overflows = (np.abs(extremes + (addend[left] + nearest_zero)[:, None]) >= 2**31).any(axis=1)
        fits = (lowest <= highest) & (np.abs(nearest_zero) <= 127) & ~overflows
        factors[left[fits]], fine[left[fits]] = factor[fits], nearest_zero[fits]
        left = left[~fits]
        if not left.size:
            return factors, fine
    return None
