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

from tvm_tinyml.dialect.fixed_point import requantize as requantized

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
    def factor(self) -> int:
        """Twice the zero point and one: the right shift turns it into the addend of the forms that have shifts."""
        return 2 * self.zero_point + 1

    @property
    def code(self) -> str:
        """Part of the name of a function that takes `factor` as an argument and right shifts from the table."""
        shift = f"_{self.shift}" if self.form == FITTED else ""
        return f"{self.form}{shift}{self._clamp}".replace("-", "m")

    @property
    def key(self) -> str:
        """Part of a function's name that tells this epilogue's instructions from others."""
        point = "" if self.form == FITTED else f"{self.zero_point}"
        shift = "" if self.shift is None else f"_{self.shift}"
        return f"{self.form}{point}{shift}{self._clamp}".replace("-", "m")

    @property
    def _clamp(self) -> str:
        return (
            "" if (self.clamp_min, self.clamp_max) == (-128, 127) else f"_{self.clamp_min}_{self.clamp_max}"
        )

    @property
    def has_shifts(self) -> bool:
        """Whether the table holds right shifts, from which a function makes the addends."""
        return self.form != FITTED

    @property
    def instructions(self) -> int:
        """Instructions per output, its store included."""
        arithmetic = {FITTED: 3, DOUBLE: 6, SINGLE: 5, AWAY: 7}[self.form]
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

        last: register of the addend. shift: register of the right shift, unless it is common to all channels and an
            immediate, as always in the fitted form.
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
        if not shift:
            assert self.shift is not None
            return [*lines, *self.saturate(register, self.shift)]
        return [*lines, f"asr {register}, {register}, {shift}", *self.saturate(register, 0)]

    def addend(self, register: str, shift: str) -> list[str]:
        """Instructions that make the addend from the right shift in a register; `shift` survives."""
        # (2 z + 1) << (shift - 1), with the shift by one less done on an even factor.
        return [
            f"movw {register}, #{self.factor & 0xFFFF}",
            *([f"movt {register}, #65535"] if self.factor < 0 else []),
            *self.shifted_factor(register, register, shift),
        ]

    @staticmethod
    def shifted_factor(register: str, factor: str, shift: str) -> list[str]:
        """Instructions that make the addend from the factor in a register."""
        return [f"lsl {register}, {factor}, {shift}", f"asr {register}, {register}, #1"]


def epilogue_of(problem: Problem, channel_axis: int) -> Epilogue | None:
    """The cheapest epilogue that is proven exact for a layer whose accumulation leaves the zero point in.

    Padding, if any, must have been accumulated with the zero point as its value. None for factors that are too large.
    """
    attrs, constants = problem.attrs, _without_odd_constants(problem, channel_axis)
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


def _without_odd_constants(problem: Problem, channel_axis: int) -> dict[str, Array]:
    """The layer's constants, with ordinary ones for channels that are constant because all their weights are zero.

    Such channels come with factors of any size, and one of them would keep the whole layer from every form.
    """
    constants, attrs = dict(problem.constants), problem.attrs
    others = tuple(axis for axis in range(constants["weight"].ndim) if axis != channel_axis)
    dead = ~constants["weight"].any(axis=others)
    bias, multiplier, shift = (constants[role].astype(np.int64) for role in ("bias", "multiplier", "shift"))
    outputs = requantized(bias, multiplier, shift, attrs["rounding"])
    low, high = (attrs[edge] - attrs["zero_point"] for edge in ("clamp_min", "clamp_max"))
    # With a factor of 2^(ordinary - 1), sums that are its multiples are scaled without rounding.
    ordinary = int(np.clip(shift[~dead].max(initial=-MAX_SHIFT), -16, -2))
    constants["bias"] = np.where(dead, np.clip(outputs, low, high) << (1 - ordinary), bias).astype(np.int32)
    constants["multiplier"] = np.where(dead, 2**30, multiplier).astype(np.int32)
    constants["shift"] = np.where(dead, ordinary, shift).astype(np.int32)
    return constants
