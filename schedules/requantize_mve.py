"""Requantisation on Arm MVE: which form a layer takes, and its constants per channel.

VQRDMULH is the doubling high multiply and VRSHL the rounding shift, so rounding twice is exact without a fit; only
ties of negative results need a correction, and a ReLU makes that one superfluous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx

from .intrinsics.mve.epilogue import Requantization
from .kernel import Array, Problem
from .requantize import VQRDMULH, accumulator_limits, fit

# Axes of the weights that one output sums over, and the axis of the channels.
_AXES = {"conv2d": ((1, 2, 3), 0), "depthwise_conv2d": ((0, 1, 2), 3), "dense": ((1,), 0)}


@dataclass(frozen=True)
class Rounding:
    """The part of a requantisation that all channels share; layers with equal ones may share their loops."""

    how: Requantization
    zero_point: int

    @property
    def words(self) -> int:
        """Constants of a channel that are words; the shift is a byte elsewhere."""
        return len(self.how.words)

    def by_group(self, lanes: int, uniform: tuple[int, int] | None = None) -> Callable[..., Any]:
        """TensorIR of one output from the sum, the layer's table [group, words], the group and the lane in it.

        uniform: multiplier and shift of all channels, which tables do not hold then.
        """

        def output(total: Any, table: Any, group: Any, lane: Any) -> Any:
            if uniform is not None:
                shared = [tirx.const(value, "int32") for value in uniform]
                bias, *addend = (table[group, row * lanes + lane] for row in range(self.words - 1))
                return self._output(total, [bias, *shared, *addend])
            bias, multiplier, *addend = (table[group, row * lanes + lane] for row in range(self.words))
            shift = byte_of(table[group, self.words * lanes + lane // 4], lane % 4)
            return self._output(total, [bias, multiplier, shift, *addend])

        return output

    def by_stream(self, lanes: int, biases: int, words: int) -> Callable[..., Any]:
        """The same where tables have the biases of a group from word `biases` on, the rest from `words` on."""

        def output(total: Any, table: Any, group: Any, lane: Any) -> Any:
            multiplier, *addend = (table[group, words + row * lanes + lane] for row in range(self.words - 1))
            shift = byte_of(table[group, words + (self.words - 1) * lanes + lane // 4], lane % 4)
            return self._output(total, [table[group, biases + lane], multiplier, shift, *addend])

        return output

    def by_channel(self) -> Callable[..., Any]:
        """TensorIR of one output from the sum, the weights with the shift before them, the table, and the channel.

        The table is [channel, words].
        """

        def output(total: Any, weight: Any, table: Any, channel: Any) -> Any:
            bias, multiplier, *addend = (table[channel, row] for row in range(self.words))
            return self._output(total, [bias, multiplier, weight[channel, 0].astype("int32"), *addend])

        return output

    def _output(self, total: Any, constants: list[Any]) -> Any:
        finish = _fitted(self.how) if self.how.kind == "fit" else _double(self.how, self.zero_point)
        return finish(total, *constants)


@dataclass(frozen=True)
class Epilogue:
    """A layer's requantisation.

    rows: int32[rows of the table, channels]: bias (with the input's zero point times the sum of the weights),
        multiplier, shift (negative: right), and addend of the fitted form.
    """

    how: Requantization
    zero_point: int
    rows: Array

    def uniform(self) -> tuple[int, int] | None:
        """Multiplier and shift when all channels share them."""
        multiplier, shift = self.rows[1], self.rows[2]
        same = bool((multiplier == multiplier[0]).all() and (shift == shift[0]).all())
        return (int(multiplier[0]), int(shift[0])) if same else None

    def pairs(self) -> Array:
        """Tables of two channels, int32[pairs, words]; the last pair of an odd number overlaps the one before."""
        channels = self.rows.shape[1]
        first = np.minimum(np.arange(0, channels, 2), channels - 2)
        return self.grouped(np.stack([first, first + 1], 1))

    def grouped(self, channels: Array) -> Array:
        """Tables of groups of channels [groups, lanes]: words by row, then a byte per shift; int32[groups, words]."""
        groups, lanes = channels.shape
        words = self.words()[channels].transpose(0, 2, 1).reshape(groups, -1)
        # What fills the last word repeats: four lanes of two pixels read the shifts of two channels.
        repeated = channels[:, np.arange(-(-lanes // 4) * 4) % lanes]
        shifts = np.ascontiguousarray(self.shifts()[repeated])
        return np.ascontiguousarray(np.concatenate([words, shifts.view(np.int32)], 1))

    def words(self) -> Array:
        """Constants without the shifts, int32[channels, words]."""
        return np.ascontiguousarray(np.delete(self.rows, 2, axis=0).T)

    def shifts(self) -> Array:
        """Shifts, int8[channels]."""
        shifts: Array = self.rows[2].astype(np.int8)
        return shifts

    @property
    def rounding(self) -> Rounding:
        """What does not depend on the channel."""
        return Rounding(self.how, self.zero_point)


def table_size(how: Requantization, lanes: int) -> int:
    """Words of the table of a group of channels (`Epilogue.grouped`)."""
    return len(how.words) * lanes + -(-lanes // 4)


def epilogue_of(problem: Problem) -> Epilogue | None:
    """Requantisation of a layer with weights, or None when no form is exact."""
    constants, attrs = problem.constants, problem.attrs
    if not {"weight", "bias", "multiplier", "shift"} <= set(constants):
        return None
    summed, channel_axis = _AXES[problem.operator]
    weight = constants["weight"].astype(np.int64)
    moved = attrs["input_zero_point"] * weight.sum(axis=summed)
    right = -constants["shift"].astype(np.int64)
    kind = "relu" if attrs["clamp_min"] == attrs["zero_point"] else "sign"
    if attrs["rounding"] == "double" and right.min() >= (1 if kind == "sign" else 0):
        rows = [constants["bias"] - moved, constants["multiplier"], -right]
    else:
        limits = accumulator_limits(weight, constants["bias"], attrs["input_zero_point"], channel_axis)
        fitted = fit(constants, attrs, limits, VQRDMULH)
        if fitted is None:
            return None
        kind = "fit"
        rows = [fitted.bias - moved, fitted.multiplier, -fitted.shift, fitted.addend]
    return Epilogue(
        how=Requantization(kind, attrs["clamp_min"], attrs["clamp_max"]),
        zero_point=attrs["zero_point"],
        rows=np.stack([np.asarray(row, np.int64) for row in rows]).astype(np.int32),
    )


def byte_of(word: Any, index: Any) -> Any:
    """TensorIR of one of the four bytes of a word, its sign extended."""
    left = tirx.shift_left(word, tirx.const(24, "int32") - index * 8)
    return tirx.shift_right(left, tirx.const(24, "int32"))


def _clamped(value: Any, how: Requantization) -> Any:
    high = tirx.min(value, tirx.const(how.clamp_max, "int32"))
    return tirx.max(high, tirx.const(how.clamp_min, "int32")).astype("int8")


def _double(how: Requantization, zero_point: int) -> Callable[..., Any]:
    def output(total: Any, bias: Any, multiplier: Any, shift: Any) -> Any:
        scaled = tirx.call_pure_extern("int32", "tinyml_requantize_double", total + bias, multiplier, shift)
        return _clamped(scaled + zero_point, how)

    return output


def _fitted(how: Requantization) -> Callable[..., Any]:
    def output(total: Any, bias: Any, multiplier: Any, shift: Any, addend: Any) -> Any:
        wide = (total + bias).astype("int64") * multiplier.astype("int64") + tirx.const(1 << 30, "int64")
        high = tirx.shift_right(wide, tirx.const(31, "int64")).astype("int32")
        return _clamped(tirx.shift_right(high + addend, tirx.const(0, "int32") - shift), how)

    return output
