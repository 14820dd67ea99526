"""Requantisation of accumulators in registers: the instructions, their meaning in TensorIR and their constants.

Fitted (see schedules.requantize): SMMLAR, SSAT with a shift, STRB. Exact double rounding: SMMLAR with the factor
2M - 2^32 and the accumulator as addend is the rounded high half of the doubled product; its sign is added so that the
following shift rounds ties away from zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import requantize
from ...kernel import Array, Problem


@dataclass(frozen=True)
class Epilogue:
    """How a layer's accumulators become int8.

    shift: right shift that all channels share, or None when it comes from the table (exact only).
    exact: exact double rounding instead of the fitted form.
    table: int32[channels, 3]: bias, multiplier and addend (fitted) or right shift (exact). The bias makes up for an
        input zero point that the accumulation did not subtract.
    """

    shift: int | None
    exact: bool
    zero_point: int
    clamp_min: int
    clamp_max: int
    table: Array

    @property
    def key(self) -> str:
        """Part of a function's name that tells this epilogue's instructions from others."""
        form = f"exact{self.zero_point}" if self.exact else "fit"
        clamp = "" if self._saturation_suffices else f"_{self.clamp_min}_{self.clamp_max}"
        shift = "" if self.shift is None else f"_{self.shift}"
        return f"{form}{shift}{clamp}".replace("-", "m")

    @property
    def _saturation_suffices(self) -> bool:
        return (self.clamp_min, self.clamp_max) == (-128, 127)

    @property
    def instructions(self) -> int:
        """Instructions per output, its store included."""
        arithmetic = 3 if not self.exact else 5 if self.shift is not None else 6
        return arithmetic + 3 * (self.clamp_min > -128) + 3 * (self.clamp_max < 127)

    def pairs(self, first_channels: Sequence[int]) -> Array:
        """Table rows of channels (c, c + 1), one after the other: int32[pairs, 6] as bias, bias, multiplier, ..."""
        first = np.asarray(first_channels)
        rows: Array = np.stack([self.table[first], self.table[first + 1]], axis=-1)
        return np.ascontiguousarray(rows.reshape(len(first), 6))

    def value(self, accumulator: Any, multiplier: Any, last: Any) -> Any:
        """TensorIR expression of the int8 output; `last` is the table's third column."""
        wide, factor = T.Cast("int64", accumulator), T.Cast("int64", multiplier)
        if self.exact:
            # As the instruction computes it: the table holds 2M - 2^32.
            wide = wide * factor + (wide << T.int64(32)) + T.int64(1 << 31)
        else:
            wide = wide * factor + T.int64(1 << 31)
        high = T.Cast("int32", wide >> T.int64(32))
        if self.exact:
            addend = T.int32(2 * self.zero_point + 1) << (last - 1)
            shifted = (high + (high >> 31) + addend) >> last
        else:
            shifted = (high + last) >> T.int32(self.shift)
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

    def requantize(self, register: str, multiplier: str, last: str, shift: str = "") -> list[str]:
        """Instructions that turn an accumulator into its output in place.

        last: register of the addend. shift: register of the right shift when it is not common to all channels.
        """
        if not self.exact:
            assert self.shift is not None
            high = f"smmlar {register}, {register}, {multiplier}, {last}"
            return [high, *self.saturate(register, self.shift)]
        lines = [
            f"smmlar {register}, {register}, {multiplier}, {register}",
            f"add {register}, {register}, {register}, asr #31",
            f"add {register}, {register}, {last}",
        ]
        if self.shift is not None:
            return [*lines, *self.saturate(register, self.shift)]
        return [*lines, f"asr {register}, {register}, {shift}", *self.saturate(register, 0)]

    def addend(self, register: str, shift: str) -> list[str]:
        """Instructions that make the exact form's addend from the shift in a register; `shift` survives."""
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

    Padding, if any, must have been accumulated with the zero point as its value.
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
        return Epilogue(int(fitted.shift[0]), False, *edges, table.astype(np.int32))
    exact = requantize.exact(constants, attrs)
    if exact is None or (exact.multiplier < 2**30).any():
        return None
    factor = 2 * exact.multiplier.astype(np.int64) - 2**32
    table = np.stack([exact.bias - moved, factor, exact.shift], axis=-1).astype(np.int32)
    common = int(exact.shift[0]) if (exact.shift == exact.shift[0]).all() else None
    return Epilogue(common, True, *edges, table)
