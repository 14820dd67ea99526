"""Requantisation of accumulators in registers: the instructions, their meaning in TensorIR and their constants.

* fitted (see schedules.requantize): SMMLAR, SSAT with a shift.
* double rounding: SMMLAR with the factor 2M - 2^32 and the accumulator as addend is the rounded high half of the
  doubled product. A second SMMLAR divides it: the factor is a little more than 2^(32 - shift), which moves ties
  away from zero and nothing else across a step, and the zero point is the addend.
* the same with M below 2^30, which only operators with one factor have: SMMULR with the factor 2M.
* double rounding with shifts beyond MIN_DIVIDED to MAX_DIVIDED: instead, its sign is added so that a shift rounds ties
  away from zero.
* single rounding: the high half of the product, then a shift that rounds; what is cut off first cannot matter.
* single rounding with ties away from zero: as before, but one less than the product of a negative accumulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import requantize
from ...kernel import Array, Problem

FITTED, DIVIDED, DIVIDED_LOW, DOUBLE, SINGLE, AWAY = "fit", "divided", "low", "double", "single", "away"
# Bits of a product that its high half leaves out.
_HIGH_BITS = 32
# Zero point and rounding, shifted left by so much, and the high half of a product add up within 32 bits.
MAX_SHIFT = 22
# Right shifts that are a multiplication. Its factor is `_DIVISOR` shifted right, the zero point in the lower bits: 2^31
# and 2^-20 to 1.125 * 2^-20 of it more. That is at least one in 2^32, enough for ties, and for quotients within two
# ranges of int8, 256 * 2^11, less than one.
MIN_DIVIDED, MAX_DIVIDED = 2, 11
_DIVISOR = 0x80000800
# Bits beside the bias in a word of the table: for the right shift, and for what a fitted addend has to itself.
SHIFT_BITS, ADDEND_BITS = 5, 11
# Right shifts of the fitted form: the same for as many layers as possible, because it is a part of the instructions.
SHIFTS = (4, 5, 3, 6, 2, 7, 8, 9, 10, 1, 0)


@dataclass(frozen=True)
class Accumulator:
    """Registers of an accumulator and of its channel: multiplier, addend, right shift or factor (not when fitted)."""

    register: str
    multiplier: str
    last: str
    shift: str


@dataclass(frozen=True)
class Epilogue:
    """How a layer's accumulators become int8.

    form: one of the names above. shift: right shift of the fitted form; others have one per channel.
    table: int32[channels, 3]: bias, multiplier and right shift (less one: divided), or the addend beyond `origin`
        (fitted). The bias makes up for an input zero point that the accumulation did not subtract.
    """

    form: str
    shift: int
    zero_point: int
    clamp_min: int
    clamp_max: int
    table: Array

    @property
    def origin(self) -> int:
        """An argument of every function: the part of the addend that all channels share.

        Forms with shifts take twice the zero point and one, which the right shift turns into the addend, or (divided)
        what it turns into the factor.
        """
        if self.divides:
            return _DIVISOR + (self.zero_point & 0xFF) - 2**32
        if self.has_shifts:
            return 2 * self.zero_point + 1
        return requantize.first_addend(self.zero_point, self.shift, ADDEND_BITS)

    @property
    def key(self) -> str:
        """Part of a function's name that tells this epilogue's instructions from others."""
        shift = "" if self.has_shifts else f"_{self.shift}"
        clamp = (
            "" if (self.clamp_min, self.clamp_max) == (-128, 127) else f"_{self.clamp_min}_{self.clamp_max}"
        )
        return f"{self.form}{shift}{clamp}".replace("-", "m")

    @property
    def divides(self) -> bool:
        """Whether a right shift is a second multiplication."""
        return self.form in (DIVIDED, DIVIDED_LOW)

    @property
    def has_shifts(self) -> bool:
        """Whether the table holds right shifts, from which a function makes addends or factors."""
        return self.form != FITTED

    @property
    def bits(self) -> int:
        """Bits beside the bias in a word."""
        return SHIFT_BITS if self.has_shifts else ADDEND_BITS

    @property
    def instructions(self) -> int:
        """Instructions per output, its store included."""
        arithmetic = {FITTED: 3, DIVIDED: 4, DIVIDED_LOW: 4, DOUBLE: 6, SINGLE: 5, AWAY: 7}[self.form]
        return arithmetic + 3 * (self.clamp_min > -128) + 3 * (self.clamp_max < 127)

    def with_bias(self, bias: Array) -> Epilogue | None:
        """The same with other biases, int64[channels]; None when they do not fit beside shifts or addends."""
        limit = 1 << (31 - self.bits)
        if (bias < -limit).any() or (bias >= limit).any():
            return None
        return replace(
            self, table=np.concatenate([bias[:, None], self.table[:, 1:]], axis=1).astype(np.int32)
        )

    @property
    def rows(self) -> Array:
        """The table as functions read it, int32[channels, 2]: the bias above what it shares a word with, multiplier."""
        words: Array = np.stack(
            [(self.table[:, 0] << self.bits) + self.table[:, 2], self.table[:, 1]], axis=-1
        )
        return words

    def pairs(self, first_channels: Sequence[int]) -> Array:
        """Rows of channels (c, c + 1), one after the other: int32[pairs, 4] as word, word, multiplier, multiplier."""
        first, rows = np.asarray(first_channels), self.rows
        pairs: Array = np.stack([rows[first], rows[first + 1]], axis=-1)
        return np.ascontiguousarray(pairs.reshape(len(first), 4))

    def bias(self, word: Any) -> Any:
        """TensorIR expression of the bias in a word of the table."""
        return T.shift_right(word, self.bits)

    def value(self, accumulator: Any, word: Any, multiplier: Any) -> Any:
        """TensorIR expression of the int8 output for a row of the table."""
        last = T.bitwise_and(word, (1 << self.bits) - 1)
        wide, factor = T.Cast("int64", accumulator), T.Cast("int64", multiplier)
        product = wide * factor
        if self.form in (FITTED, DIVIDED_LOW):
            product = product + T.int64(1 << 31)
        elif self.form in (DIVIDED, DOUBLE):
            # As the instruction computes it: the table holds 2M - 2^32.
            product = product + (wide << T.int64(32)) + T.int64(1 << 31)
        elif self.form == AWAY:
            product = product + (wide >> T.int64(63))
        high = T.Cast("int32", product >> T.int64(32))
        if self.form == FITTED:
            shifted = (high + last + self.origin) >> T.int32(self.shift)
        elif self.divides:
            divisor = T.int64(self.origin & 0xFFFFFFFF) >> T.Cast("int64", last)
            quotient = (T.Cast("int64", high) * divisor + T.int64(1 << 31)) >> T.int64(32)
            shifted = T.Cast("int32", quotient) + self.zero_point
        else:
            sign = high >> 31 if self.form == DOUBLE else 0
            shifted = (high + sign + (T.int32(self.origin) << (last - 1))) >> last
        return T.Cast("int8", T.max(T.min(shifted, self.clamp_max), self.clamp_min))

    def saturate(self, register: str, shift: int) -> list[str]:
        """Shift right, saturate to int8 and clamp."""
        amount = f", asr #{shift}" if shift else ""
        lines = [f"ssat {register}, #8, {register}{amount}"]
        if self.clamp_max < 127:
            lines += [f"cmp {register}, #{self.clamp_max}", "it gt", f"movgt {register}, #{self.clamp_max}"]
        if self.clamp_min > -128:
            lines += [f"cmp {register}, #{self.clamp_min}", "it lt", f"movlt {register}, #{self.clamp_min}"]
        return lines

    def addend(self, last: str, origin: str, shift: str) -> list[str]:
        """Instructions that make the addend, from the part of it in `last` (fitted) or from a right shift.

        origin: register of the argument of that name. shift: becomes the factor when divided.
        """
        if self.divides:
            return [f"lsr {shift}, {origin}, {shift}", f"sxtb {last}, {origin}"]
        if not self.has_shifts:
            return [f"add {last}, {origin}"]
        # (2 z + 1) << (shift - 1), with the shift by one less done on an even factor.
        return [f"lsl {last}, {origin}, {shift}", f"asr {last}, {last}, #1"]

    def unpack(self, word: str, last: str, origin: str, shift: str) -> list[str]:
        """Instructions that make addend and right shift from a word of the table."""
        target = shift if self.has_shifts else last
        return [f"ubfx {target}, {word}, #0, #{self.bits}", *self.addend(last, origin, shift)]

    def requantize(self, accumulators: Sequence[Accumulator], free: tuple[str, str]) -> list[str]:
        """Instructions that turn accumulators into their outputs in place.

        They take turns, because a core of one pipeline waits for a product that the next instruction needs.
        free: two registers that the form AWAY needs.
        """
        if self.form == AWAY:
            return [line for one in accumulators for line in self._away(one, free)]
        steps = [self._steps(one) for one in accumulators]
        return [line for turn in zip(*steps, strict=True) for lines in turn for line in lines]

    def _steps(self, one: Accumulator) -> list[list[str]]:
        """Steps of all forms but AWAY."""
        total, multiplier, last, shift = one.register, one.multiplier, one.last, one.shift
        if self.form == FITTED:
            return [[f"smmlar {total}, {total}, {multiplier}, {last}"], self.saturate(total, self.shift)]
        doubled = [f"smmlar {total}, {total}, {multiplier}, {total}"]
        if self.form == DIVIDED_LOW:
            doubled = [f"smmulr {total}, {total}, {multiplier}"]
        if self.divides:
            return [doubled, [f"smmlar {total}, {total}, {shift}, {last}"], self.saturate(total, 0)]
        steps = [doubled, [f"add {total}, {total}, {total}, asr #31"], [f"add {total}, {total}, {last}"]]
        if self.form == SINGLE:
            steps = [[f"smmla {total}, {total}, {multiplier}, {last}"]]
        return [*steps, [f"asr {total}, {total}, {shift}"], self.saturate(total, 0)]

    def _away(self, one: Accumulator, free: tuple[str, str]) -> list[str]:
        low, high = free
        return [
            f"asr {low}, {one.register}, #31",
            f"mov {high}, {low}",
            f"smlal {low}, {high}, {one.register}, {one.multiplier}",
            f"add {one.register}, {high}, {one.last}",
            f"asr {one.register}, {one.register}, {one.shift}",
            *self.saturate(one.register, 0),
        ]


def epilogue_of(problem: Problem, channel_axis: int) -> Epilogue | None:
    """The cheapest epilogue that is proven exact for a layer whose accumulation leaves the zero point in.

    Padding, if any, must have been accumulated with the zero point as its value. None for factors that are too large.
    """
    attrs, constants = problem.attrs, problem.constants
    weight, zero_point = constants["weight"], attrs["input_zero_point"]
    limits = requantize.accumulator_limits(weight, constants["bias"], zero_point, channel_axis)
    others = tuple(axis for axis in range(weight.ndim) if axis != channel_axis)
    moved = weight.astype(np.int64).sum(axis=others) * zero_point
    edges = attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"]
    fitted = requantize.fit(
        constants, attrs, limits, requantize.SMMLAR, shared=requantize.Shared(SHIFTS, ADDEND_BITS)
    )
    if fitted is not None:
        shift = int(fitted.shift[0])
        beyond = fitted.addend - requantize.first_addend(attrs["zero_point"], shift, ADDEND_BITS)
        table = np.stack([np.zeros_like(fitted.bias), fitted.multiplier, beyond], axis=-1)
        epilogue = Epilogue(FITTED, shift, *edges, table).with_bias(fitted.bias - moved)
        if epilogue is not None:
            return epilogue
    epilogue = _shifting(constants["multiplier"], constants["shift"], attrs["rounding"], edges)
    return None if epilogue is None else epilogue.with_bias(constants["bias"] - moved)


def factor_epilogue(attrs: Mapping[str, Any]) -> Epilogue | None:
    """The epilogue of an operator that has one factor for all its results; None for a factor that is too large."""
    multiplier, shift = np.array([attrs["multiplier"]]), np.array([attrs["shift"]])
    edges = attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"]
    return _shifting(multiplier, shift, attrs["rounding"], edges)


def _shifting(multiplier: Array, shift: Array, rounding: str, edges: tuple[int, int, int]) -> Epilogue | None:
    """The form with shifts for factors of channels, without biases; edges: zero point and limits."""
    multiplier, shifts = multiplier.astype(np.int64), -shift.astype(np.int64)
    divides = bool((shifts >= MIN_DIVIDED).all() and (shifts <= MAX_DIVIDED).all())
    if rounding == "double" and divides and (multiplier < 2**30).all():
        return Epilogue(DIVIDED_LOW, 0, *edges, np.stack([0 * shifts, 2 * multiplier, shifts - 1], axis=-1))
    form = {"double": DOUBLE, "single": SINGLE, "away": AWAY}[rounding]
    if form == DOUBLE:
        multiplier = 2 * multiplier - 2**32
    else:
        shifts = shifts + 31 - _HIGH_BITS
    if (shifts < 1).any() or (shifts > MAX_SHIFT).any() or (multiplier < -(2**31)).any():
        return None
    if form == DOUBLE and divides:
        form, shifts = DIVIDED, shifts - 1
    return Epilogue(form, 0, *edges, np.stack([0 * shifts, multiplier, shifts], axis=-1))
