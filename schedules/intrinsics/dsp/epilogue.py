"""Requantisation of accumulators in registers: the instructions, their meaning in TensorIR and their constants.

* fitted (see schedules.requantize): SMMLAR, SSAT with a shift.
* double rounding: SMMLAR with the factor 2M - 2^32 and the accumulator as addend is the rounded high half of the
  doubled product; its sign is added so that the following shift rounds ties away from zero.
* single rounding: the high half of the product, then a shift that rounds; what is cut off first cannot matter.
* single rounding with ties away from zero: as before, but one less than the product of a negative accumulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import requantize
from ...kernel import Array, Problem

FITTED, DOUBLE, SINGLE, AWAY = "fit", "double", "single", "away"
# Bits of a product that its high half leaves out.
_HIGH_BITS = 32
# Zero point and rounding, shifted left by so much, and the high half of a product add up within 32 bits.
MAX_SHIFT = 22


@dataclass(frozen=True)
class Epilogue:
    """How a layer's accumulators become int8.

    form: FITTED, DOUBLE, SINGLE or AWAY. shift: right shift that all channels share, or None when it comes from the
        table (never for the fitted form).
    table: int32[channels, 3]: bias, multiplier and addend (fitted) or right shift. The bias makes up for an
        input zero point that the accumulation did not subtract.
    """

    form: str
    shift: int | None
    zero_point: int
    clamp_min: int
    clamp_max: int
    table: Array

    @property
    def key(self) -> str:
        """Part of a function's name that tells this epilogue's instructions from others."""
        point = "" if self.form == FITTED else f"{self.zero_point}"
        clamp = (
            "" if (self.clamp_min, self.clamp_max) == (-128, 127) else f"_{self.clamp_min}_{self.clamp_max}"
        )
        shift = "" if self.shift is None else f"_{self.shift}"
        return f"{self.form}{point}{shift}{clamp}".replace("-", "m")

    @property
    def has_shifts(self) -> bool:
        """Whether the table holds right shifts, from which a function makes the addends."""
        return self.form != FITTED

    @property
    def instructions(self) -> int:
        """Instructions per output, its store included."""
        arithmetic = {FITTED: 3, DOUBLE: 6, SINGLE: 5, AWAY: 7}[self.form]
        arithmetic -= self.form != FITTED and self.shift is not None
        return arithmetic + 3 * (self.clamp_min > -128) + 3 * (self.clamp_max < 127)

    def pairs(self, first_channels: Sequence[int]) -> Array:
        """Table rows of channels (c, c + 1), one after the other: int32[pairs, 6] as bias, bias, multiplier, ..."""
        first = np.asarray(first_channels)
        rows: Array = np.stack([self.table[first], self.table[first + 1]], axis=-1)
        return np.ascontiguousarray(rows.reshape(len(first), 6))

    def value(self, accumulator: Any, multiplier: Any, last: Any) -> Any:
        """TensorIR expression of the int8 output; `last` is the table's third column."""
        wide, factor = T.Cast("int64", accumulator), T.Cast("int64", multiplier)
        product = wide * factor
        if self.form == FITTED:
            product = product + T.int64(1 << 31)
        elif self.form == DOUBLE:
            # As the instruction computes it: the table holds 2M - 2^32.
            product = product + (wide << T.int64(32)) + T.int64(1 << 31)
        elif self.form == AWAY:
            product = product + (wide >> T.int64(63))
        high = T.Cast("int32", product >> T.int64(32))
        if self.form == FITTED:
            shifted = (high + last) >> T.int32(self.shift)
        else:
            sign = high >> 31 if self.form == DOUBLE else 0
            shifted = (high + sign + (T.int32(2 * self.zero_point + 1) << (last - 1))) >> last
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

    def requantize(
        self, register: str, multiplier: str, last: str, shift: str = "", free: tuple[str, str] | None = None
    ) -> list[str]:
        """Instructions that turn an accumulator into its output in place.

        last: register of the addend. shift: register of the right shift when it is not common to all channels.
        free: two registers that the form AWAY needs.
        """
        if self.form == FITTED:
            assert self.shift is not None
            high = f"smmlar {register}, {register}, {multiplier}, {last}"
            return [high, *self.saturate(register, self.shift)]
        if self.form == DOUBLE:
            lines = [
                f"smmlar {register}, {register}, {multiplier}, {register}",
                f"add {register}, {register}, {register}, asr #31",
                f"add {register}, {register}, {last}",
            ]
        elif self.form == SINGLE:
            lines = [f"smmla {register}, {register}, {multiplier}, {last}"]
        else:
            assert free is not None
            low, high = free
            lines = [
                f"asr {low}, {register}, #31",
                f"mov {high}, {low}",
                f"smlal {low}, {high}, {register}, {multiplier}",
                f"add {register}, {high}, {last}",
            ]
        if self.shift is not None:
            return [*lines, *self.saturate(register, self.shift)]
        return [*lines, f"asr {register}, {register}, {shift}", *self.saturate(register, 0)]

    def addend(self, register: str, shift: str) -> list[str]:
        """Instructions that make the addend from the right shift in a register; `shift` survives."""
        # (2 z + 1) << (shift - 1), with the shift by one less done on an even factor.
        factor = 2 * self.zero_point + 1
        return [
            f"movw {register}, #{factor & 0xFFFF}",
            *([f"movt {register}, #65535"] if factor < 0 else []),
            f"lsl {register}, {register}, {shift}",
            f"asr {register}, {register}, #1",
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
    fitted = requantize.fit(constants, attrs, limits, requantize.SMMLAR, uniform_shift=True)
    if fitted is not None:
        table = np.stack([fitted.bias - moved, fitted.multiplier, fitted.addend], axis=-1)
        return Epilogue(FITTED, int(fitted.shift[0]), *edges, table.astype(np.int32))
    multiplier, shift = constants["multiplier"].astype(np.int64), -constants["shift"].astype(np.int64)
    form = {"double": DOUBLE, "single": SINGLE, "away": AWAY}[attrs["rounding"]]
    if form == DOUBLE:
        multiplier = 2 * multiplier - 2**32
    else:
        shift = shift + 31 - _HIGH_BITS
    if (shift < 1).any() or (shift > MAX_SHIFT).any() or (multiplier < -(2**31)).any():
        return None
    table = np.stack([constants["bias"] - moved, multiplier, shift], axis=-1).astype(np.int32)
    return Epilogue(form, int(shift[0]) if (shift == shift[0]).all() else None, *edges, table)
