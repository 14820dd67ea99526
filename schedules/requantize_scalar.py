"""Choose the cheapest exact requantisation for cores with a high multiply and plain integer instructions.

First choice is the one-multiply form of `requantize`. Layers that round twice and have negative results do not fit it:
there a tie moves by one unit of the doubled product for negative values only. The signed form adds that unit:

    x = high(acc << finer, multiplier);  q = clamp((x + ((x >> 31) << (finer - 1)) + addend) >> shift)

The left shift lets `addend` count in fractions of the unit, so that the rounding constant of the first step fits in.
Both sides are monotone in `acc`, so equality next to the 255 steps of the output, which is checked here for every
channel, is equality everywhere.

A channel takes nine or ten bytes: bias, a word whose lowest five bits are the shift while all of it is the multiplier,
and what the addend has beside the shifted zero point. Multipliers that end in their shift are proven like any others.
Layers whose sums reach so far that no such multiplier follows the steps keep the shift apart, beside the addend's part:
with all bits of its own the multiplier is the layer's or its neighbour, and only the shift's range is a limit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .intrinsics.rv32_assembly import Epilogue
from .kernel import Array
from .requantize import ATTRIBUTES, MOVES, REMEMBERED, by_magnitude, thresholds_of

# How far the bias is moved in search of a signed fit.
SIGNED_BIAS_SEARCH = 64
# Multipliers, 32 apart, that are tried on each side of the real one.
MULTIPLIER_SEARCH = 8
# Fractional bits of the signed form: few, because each is code of its own; more do not make more channels fit.
FINER = (8, 4, 2)
# (shift apart, left shift) of all forms in the order of preference.
FORMS = tuple(itertools.product((False, True), (0, *FINER)))
# Bits of the multiplier that are the shift.
SHIFT_BITS = 5
# Multipliers that are tried on each side when all of their bits are free.
NEIGHBOURS = 8
# Bits of the addend's part beside a shift of its own, sign included.
APART_BITS = 11
# The shifted zero point and the accumulator shifted left stay below 2**30.
LARGEST_SHIFT = 22
FAR = 2**60


@dataclass(frozen=True)
class ScalarRequantization:
    """One layer's requantisation.

    factors: int32[channels, 2] of bias and multiplier, whose lowest five bits are the shift unless that is apart.
    fine: what the addend has beside (point << shift) >> 1; int16[channels] in the one-multiply form, which needs larger
        moves, else int8[channels]; with the shift apart int16[channels] of this << 5 | shift.
    point: twice the zero point and one.
    finer: 0 for the one-multiply form, else the left shift of the signed form.
    apart: the shift is beside the addend's part.
    """

    factors: Array
    fine: Array
    point: int
    finer: int
    apart: bool = False

    def epilogue(self, attrs: Mapping[str, Any]) -> Epilogue:
        """What micro-kernels know of the form; attrs: "clamp_min" and "clamp_max" of the layer."""
        return Epilogue(attrs["clamp_min"], attrs["clamp_max"], self.finer, self.point, self.apart)

    def constants_by_channel(self, weight: Array) -> dict[str, Array]:
        """Constants of a depthwise layer that runs channel by channel; weight int8[1, kernel_h, kernel_w, channels]."""
        by_channel = np.ascontiguousarray(weight.reshape(-1, weight.shape[3]).T)
        return {"weight": by_channel, "factors": self.factors, "fine": self.fine}

    def without(self, input_zero_sums: Array) -> Array:
        """The factors with biases that take in what a raw input adds.

        input_zero_sums: input zero point times the sum of each channel's weights.
        """
        factors = self.factors.astype(np.int64)
        factors[:, 0] -= input_zero_sums
        return factors.astype(np.int32)


def choose(
    constants: Mapping[str, Array], attrs: Mapping[str, Any], reach: tuple[Array, Array]
) -> ScalarRequantization | None:
    """The cheapest proven form of a layer, or None when a channel has none.

    constants: "bias", "multiplier" and "shift", int32[channels].
    attrs: "rounding", "zero_point", "clamp_min" and "clamp_max".
    reach: smallest and largest accumulator of each channel (`requantize.accumulator_range`).
    """
    channels = tuple(
        np.asarray(values, np.int64).tobytes()
        for values in (constants["bias"], constants["multiplier"], constants["shift"], *reach)
    )
    return _choose(channels, *(attrs[name] for name in ATTRIBUTES))


@lru_cache(maxsize=REMEMBERED)
def _choose(channels: tuple[bytes, ...], *values: Any) -> ScalarRequantization | None:
    """`choose` for contents: several rules ask the same about a layer."""
    bias, multiplier, shift, least, most = (np.frombuffer(content, np.int64) for content in channels)
    limits = np.maximum(np.abs(least), np.abs(most))
    attrs = dict(zip(ATTRIBUTES, values, strict=True))
    steps = np.arange(attrs["clamp_min"] + 1, attrs["clamp_max"] + 1, dtype=np.int64)
    if not steps.size or (multiplier < 2**30).any() or (limits >= 2**29).any():
        return None
    # A step beyond the reach is taken at its end, where accumulators are on one side of it only.
    thresholds = np.clip(
        thresholds_of(multiplier, shift, attrs, limits, steps), least[:, None], most[:, None] + 1
    )
    point = 2 * attrs["zero_point"] + 1
    for apart, finer in FORMS:
        right = finer - 1 - shift
        if (right < 0).any() or (right > LARGEST_SHIFT).any() or limits.max() << finer >= 2**30:
            continue
        if finer and attrs["rounding"] != "double":
            continue
        form = _Form(finer, apart)
        found = _search(thresholds, steps, (least, most), multiplier, right, (point << right) >> 1, form)
        if found is not None:
            moved, factors, fine = found
            words = np.stack([bias + moved, factors], axis=1).astype(np.int32)
            return ScalarRequantization(words, form.table(fine, right), point, finer, apart)
    return None


@dataclass(frozen=True)
class _Form:
    """What distinguishes the forms; see `ScalarRequantization`."""

    finer: int
    apart: bool

    @property
    def widest(self) -> int:
        """Largest part of an addend."""
        if self.apart:
            return (1 << (APART_BITS - 1)) - 1
        return 2**7 - 1 if self.finer else 2**15 - 1

    def table(self, fine: Array, right: Array) -> Array:
        """What is stored beside the factors."""
        if self.apart:
            return (fine << SHIFT_BITS | right).astype(np.int16)
        return fine.astype(np.int8 if self.finer else np.int16)

    def multipliers(self, multiplier: int, right: int) -> list[int]:
        """Multipliers of 31 bits, those that end as the shift unless that is apart, by distance."""
        if self.apart:
            tried = [multiplier + int(distance) for distance in by_magnitude(NEIGHBOURS)]
        else:
            nearest = (multiplier >> SHIFT_BITS << SHIFT_BITS) + right
            tried = [nearest + (int(distance) << SHIFT_BITS) for distance in by_magnitude(MULTIPLIER_SEARCH)]
        return [factor for factor in tried if 0 < factor < 2**31]


def _search(
    thresholds: Array,
    steps: Array,
    reach: tuple[Array, Array],
    multiplier: Array,
    right: Array,
    addend: Array,
    form: _Form,
) -> tuple[Array, Array, Array] | None:
    """(moves of the bias, multipliers, what the addends have beside `addend`) of all channels, or None."""
    found = []
    for c in range(len(multiplier)):
        channel = (
            thresholds[c],
            (int(reach[0][c]), int(reach[1][c])),
            (steps << right[c]) - addend[c],
            form,
        )
        tried = form.multipliers(int(multiplier[c]), int(right[c]))
        row = next((answer for factor in tried if (answer := _fit(factor, *channel))), None)
        if row is None:
            return None
        found.append(row)
    moved, factors, fine = np.array(found, np.int64).T
    return moved, factors, fine


def _fit(
    factor: int, thresholds: Array, reach: tuple[int, int], targets: Array, form: _Form
) -> tuple[int, int, int] | None:
    """(move of the bias, multiplier, fine part of the addend) of one channel, proven on both sides of its steps.

    targets: what high product and fine part must reach for each step.
    """
    reachable, avoidable = thresholds > reach[0], thresholds <= reach[1]
    finer, widest = form.finer, form.widest
    for move in _SIGNED_MOVES if finer else _moves(factor, thresholds, targets, reachable, avoidable):
        first, before = _high(thresholds + move, factor, finer), _high(thresholds - 1 + move, factor, finer)
        least = int((targets - first)[avoidable].max(initial=-widest))
        most = int((targets - before)[reachable].min(initial=widest + 1)) - 1
        if least <= min(most, widest):
            return int(move), factor, least
    return None


_SIGNED_MOVES = by_magnitude(SIGNED_BIAS_SEARCH)


def _moves(
    factor: int, thresholds: Array, targets: Array, reachable: Array, avoidable: Array
) -> Iterator[int]:
    """Moves of the bias with which an addend of the one-multiply form is between its bounds, small ones first."""
    lowest = ((targets << 32) - thresholds * factor)[avoidable].max(initial=-FAR)
    highest = ((targets << 32) - (thresholds - 1) * factor)[reachable].min(initial=FAR)
    if lowest < highest:
        for moves in MOVES:
            fine = -((moves * factor - lowest) >> 32)
            yield from moves[moves * factor + (fine << 32) < highest]


def _high(accumulators: Array, factor: int, finer: int) -> Array:
    """The high part of the product, and its sign where the form has it."""
    high = ((accumulators << finer) * factor) >> 32
    result: Array = high + ((high >> 31) << (finer - 1)) if finer else high
    return result
