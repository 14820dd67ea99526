"""Requantisation with one multiplication and one shift, proven equal to the exact one.

TFLite scales an accumulator `a` by a fixed-point factor and rounds, once or twice. Cores have an instruction that
keeps the high part of a product, so the cheap form is

    q = clamp((((a + c) * m + r) >> radix) + h) >> shift

with `r` and `radix` given by the instruction and `c`, `m`, `h` free. Both functions are monotone in `a`, so they
are equal on all accumulators a channel can reach when they step to each of the 255 outputs at the same `a`. For a
fixed `m` each of those steps bounds the constant `c * m + h * 2**radix` from both sides; the fit intersects
the bounds and looks for a small `c` (which moves into the bias) that lets an integer `h` fall between them. The outcome
is checked on both sides of every step.

Rounding twice sends ties away from zero, so the steps of negative results lie a little further out than those of
positive ones, and no line passes through both. With a ReLU only one kind is left; other layers take the exact
form, which spends an instruction or two more on the sign:

    x = round(a * multiplier / 2**31);  q = clamp((x + (x >> 31) + addend) >> shift)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from tvm_tinyml.dialect.fixed_point import requantize

from .kernel import Array

# How far the bias may be moved, and how many times the multiplier be changed to either side, in search of a fit.
BIAS_SEARCH = 40_000
MULTIPLIER_SEARCH = 40
# A change of the multiplier is 1 / PARTS of an accumulator at the line's far end; 255 steps leave about 1 / 128 free.
PARTS = 512
# Candidates per multiplier that are put to the proof.
TRIALS = 4
LARGEST_SHIFT = 24
# Accumulators on either side of a real threshold among which the exact one is looked for first.
NEAR_REAL = 8
# Fits that are kept: rules ask about a layer again for every shape of its calls.
REMEMBERED = 1024
# What a fit depends on beside the constants.
ATTRIBUTES = ("rounding", "zero_point", "clamp_min", "clamp_max")


@dataclass(frozen=True)
class HighMultiply:
    """An instruction that keeps the high part of a product: `(a * m + rounding) >> radix`."""

    radix: int
    rounding: int


# Arm SMMLAR, Arm MVE VQRDMULH (and RVV vsmul).
SMMLAR = HighMultiply(32, 1 << 31)
VQRDMULH = HighMultiply(31, 1 << 30)


@dataclass(frozen=True)
class FittedRequantization:
    """Constants of the cheap form, int32[channels] each; `bias` replaces the layer's and contains `c`.

    The result already contains the zero point and still has to be clamped to the layer's limits.
    """

    bias: Array
    multiplier: Array
    addend: Array
    shift: Array
    form: HighMultiply

    def apply(self, sums: Array, clamp_min: int, clamp_max: int) -> Array:
        """Outputs int64[..., channels] of sums without bias, int32[..., channels]: the meaning of the cheap form."""
        x = sums.astype(np.int64) + self.bias
        high = (x * self.multiplier + self.form.rounding) >> self.form.radix
        outputs: Array = np.clip((high + self.addend) >> self.shift, clamp_min, clamp_max)
        return outputs


def accumulator_limits(weight: Array, bias: Array, input_zero_point: int, channel_axis: int) -> Array:
    """Largest magnitude of each channel's accumulator, bias included; int64[channels]."""
    widest = max(127 - input_zero_point, input_zero_point + 128)
    axes = tuple(axis for axis in range(weight.ndim) if axis != channel_axis)
    sums: Array = np.abs(weight.astype(np.int64)).sum(axis=axes) * widest + np.abs(bias.astype(np.int64))
    return sums


def accumulator_range(
    weight: Array, bias: Array, input_zero_point: int, channel_axis: int
) -> tuple[Array, Array]:
    """Smallest and largest accumulator of each channel, bias included; int64[channels] each."""
    axes = tuple(axis for axis in range(weight.ndim) if axis != channel_axis)
    wide = weight.astype(np.int64)
    lowest, highest = -128 - input_zero_point, 127 - input_zero_point
    least = np.where(wide > 0, wide * lowest, wide * highest).sum(axis=axes) + bias
    most = np.where(wide > 0, wide * highest, wide * lowest).sum(axis=axes) + bias
    return least, most


@dataclass(frozen=True)
class Shared:
    """What all channels of a layer have in common where immediate operands and short tables want it.

    shifts: right shifts in the order of preference; those that the factors do not allow are skipped.
    addend_bits: the addends lie less than 2**addend_bits above `first_addend`.
    """

    shifts: tuple[int, ...]
    addend_bits: int


def first_addend(zero_point: int, shift: int, bits: int) -> int:
    """The least of a layer's addends in a range of 2**bits around zero point and rounding."""
    return ((2 * zero_point + 1) << shift >> 1) - (1 << (bits - 1))


def fit(
    constants: Mapping[str, Array],
    attrs: Mapping[str, Any],
    limits: Array,
    form: HighMultiply,
    *,
    shared: Shared | None = None,
) -> FittedRequantization | None:
    """Fit all channels of a layer to the cheap form, or return None when one of them has no fit.

    constants: "bias", "multiplier" and "shift" of the layer, int32[channels].
    attrs: "rounding", "zero_point", "clamp_min" and "clamp_max" of the layer.
    limits: largest magnitude of each channel's accumulator (`accumulator_limits`).
    shared: what channels must have in common.
    """
    contents = tuple(
        np.asarray(values, np.int64).tobytes()
        for values in (constants["multiplier"], constants["shift"], limits)
    )
    found = _fit_contents(contents, form, shared, *(attrs[name] for name in ATTRIBUTES))
    if found is None:
        return None
    return replace(found, bias=(constants["bias"].astype(np.int64) + found.bias).astype(np.int32))


@lru_cache(maxsize=REMEMBERED)
def _fit_contents(
    contents: tuple[bytes, ...], form: HighMultiply, shared: Shared | None, *values: Any
) -> FittedRequantization | None:
    """`fit` of int64 contents for layers without biases."""
    multiplier, shift, limits = (np.frombuffer(content, np.int64) for content in contents)
    attrs = dict(zip(ATTRIBUTES, values, strict=True))
    # The real factor is multiplier * 2**(shift - 31) = m * 2**-(radix + right) with m below 2**31.
    largest = 31 - form.radix - shift
    if (
        (largest < 0).any()
        or (largest > LARGEST_SHIFT).any()
        or (multiplier <= 0).any()
        or (limits >= 2**30).any()
    ):
        return None
    steps = np.arange(attrs["clamp_min"] + 1, attrs["clamp_max"] + 1, dtype=np.int64)
    thresholds = thresholds_of(multiplier, shift, attrs, limits, steps)
    choices = [largest]
    if shared is not None:
        choices = [np.full_like(largest, right) for right in shared.shifts if right <= largest.min()]
    for right in choices:
        real = multiplier * 2.0 ** (shift - 31 + form.radix + right)
        rows = []
        for c in range(len(multiplier)):
            span = _addends(attrs["zero_point"], int(right[c]), shared)
            row = _fit_channel(real[c], thresholds[c], steps, int(limits[c]), int(right[c]), form, span)
            if row is None:
                break
            rows.append(row)
        else:
            moved, factors, addends = np.array(rows, np.int64).T
            return FittedRequantization(
                bias=moved.astype(np.int32),
                multiplier=factors.astype(np.int32),
                addend=addends.astype(np.int32),
                shift=right.astype(np.int32),
                form=form,
            )
    return None


def _addends(zero_point: int, shift: int, shared: Shared | None) -> range | None:
    """Where addends may lie, if that is restricted."""
    if shared is None:
        return None
    first = first_addend(zero_point, shift, shared.addend_bits)
    return range(first, first + (1 << shared.addend_bits))


@dataclass(frozen=True)
class ExactRequantization:
    """Constants of the exact form of rounding twice, int32[channels] each; see the module's text."""

    bias: Array
    multiplier: Array
    addend: Array
    shift: Array

    def apply(self, sums: Array, clamp_min: int, clamp_max: int) -> Array:
        """Outputs int64[..., channels] of sums without bias, int32[..., channels]."""
        x = ((sums.astype(np.int64) + self.bias) * self.multiplier + (1 << 30)) >> 31
        outputs: Array = np.clip((x + (x >> 31) + self.addend) >> self.shift, clamp_min, clamp_max)
        return outputs


def exact(constants: Mapping[str, Array], attrs: Mapping[str, Any]) -> ExactRequantization | None:
    """The exact form of a layer that rounds twice; None when it rounds otherwise or a factor exceeds 1/2."""
    right = -constants["shift"].astype(np.int64)
    if attrs["rounding"] != "double" or (right < 1).any() or (right > 22).any():
        return None
    addend = (np.int64(attrs["zero_point"]) << right) + (np.int64(1) << (right - 1))
    return ExactRequantization(
        bias=constants["bias"],
        multiplier=constants["multiplier"],
        addend=addend.astype(np.int32),
        shift=right.astype(np.int32),
    )


def thresholds_of(
    multiplier: Array, shift: Array, attrs: Mapping[str, Any], limits: Array, steps: Array
) -> Array:
    """Smallest accumulator in [-limit, limit + 1] whose exact output reaches each step; [channels, steps]."""
    shape = (len(multiplier), len(steps))
    least, most = np.broadcast_to(-limits[:, None], shape), np.broadcast_to(limits[:, None] + 1, shape)

    def reaches(accumulators: Array) -> Array:
        exact = requantize(accumulators, multiplier[:, None], shift[:, None], attrs["rounding"])
        result: Array = (exact + attrs["zero_point"] >= steps) | (accumulators > limits[:, None])
        return result

    # Real arithmetic is off by little, and whether it was is seen; where it was, everything is searched.
    real = multiplier[:, None] * 2.0 ** (shift[:, None] - 31)
    near = ((steps - attrs["zero_point"] - 0.5) / real).clip(least, most).astype(np.int64)
    low, high = np.maximum(near - NEAR_REAL, least), np.minimum(near + NEAR_REAL, most)
    low = np.where(reaches(low), least, low)
    high = np.where(reaches(high), high, most)
    while (low < high).any():
        middle = (low + high) >> 1
        reached = reaches(middle)
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    thresholds: Array = low
    return thresholds


def _fit_channel(
    real: float,
    thresholds: Array,
    steps: Array,
    limit: int,
    right: int,
    form: HighMultiply,
    span: range | None,
) -> tuple[int, int, int] | None:
    """(c, m, h) of one channel, or None; `span`: where h must lie."""
    targets = steps << (form.radix + right)
    reachable, avoidable = thresholds > -limit, thresholds <= limit
    # A change of the factor by this much moves the line at its far end by a part of what the steps leave free.
    furthest = int(np.abs(thresholds[reachable & avoidable]).max(initial=1))
    unit = max(1, round(real / (PARTS * furthest)))
    for change in by_magnitude(MULTIPLIER_SEARCH):
        factor = round(real) + int(change) * unit
        if not 0 < factor < 2**31:
            continue
        # First accumulator of a step must reach it, the one before must not.
        at_least = (targets - thresholds * factor - form.rounding)[avoidable]
        below = (targets - (thresholds - 1) * factor - form.rounding)[reachable]
        # A side that no accumulator can cross is open: there one step of the addend, or its span, is room enough.
        step = 1 << form.radix
        start, stop = (span.start * step, span.stop * step) if span else (0, 0)
        lowest = int(at_least.max()) if at_least.size else min(int(below.min()) - step, start)
        highest = int(below.min()) if below.size else max(lowest + step, stop)
        if lowest >= highest:
            continue
        for answer in itertools.islice(_near(factor, lowest, highest, limit, form, span), TRIALS):
            if _proven(answer, thresholds, steps, limit, right, form):
                return answer
    return None


def _near(
    factor: int, lowest: int, highest: int, limit: int, form: HighMultiply, span: range | None
) -> Iterator[tuple[int, int, int]]:
    """(c, m, h) with c * m + h * 2**radix between the bounds, the smallest moves of the bias first."""
    farthest = BIAS_SEARCH
    if span is not None:
        # Larger moves would take h out of the span.
        farthest = min(farthest, (len(span) << form.radix) // (2 * factor) + 1)
    seen = 0
    for moves in MOVES:
        shifts = moves if seen == 0 else moves[: max(0, 2 * farthest - seen)]
        seen += len(moves)
        addends = -((shifts * factor - lowest) >> form.radix)
        if span is not None:
            addends = np.maximum(addends, span.start)
        fits = (shifts * factor + (addends << form.radix) < highest) & (np.abs(addends) < 2**31 - limit)
        if span is not None:
            fits &= addends < span.stop
        for best in np.flatnonzero(fits):
            yield int(shifts[best]), factor, int(addends[best])


def _proven(
    answer: tuple[int, int, int],
    thresholds: Array,
    steps: Array,
    limit: int,
    right: int,
    form: HighMultiply,
) -> bool:
    """Whether the cheap form is below each step right before its threshold and not from it on."""
    moved, factor, addend = answer

    def value(accumulators: Array) -> Array:
        product = (accumulators + moved) * factor
        result: Array = (((product + form.rounding) >> form.radix) + addend) >> right
        return result

    before = (value(thresholds - 1) < steps) | (thresholds <= -limit)
    after = (value(thresholds) >= steps) | (thresholds > limit)
    return bool(before.all() and after.all())


def by_magnitude(limit: int) -> Array:
    """0, 1, -1, 2, -2, ... up to `limit`."""
    counts = np.arange(1, 2 * limit + 2, dtype=np.int64)
    order: Array = np.where(counts % 2 == 0, counts // 2, -(counts // 2))
    return order


# Most channels fit with a small move, so larger ones are looked at only when that fails.
MOVES = np.split(by_magnitude(BIAS_SEARCH), [512, 3_000, 12_000])
