"""Pooling of one window, four channels at a time: SXTAB16 adds them up in half words, SSUB8 and SEL keep the largest.

An average divides by a constant with one multiplication,

    q = ((s + sign) * factor + addend) >> SHIFT

where `sign` is -1 for a negative sum of an even number of elements, the only ones with ties, which go away from zero.
A mean has a factor of its own for the sum without its zero points, and is requantised like a product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..tensor_intrinsic import Operand, register
from .assembly import naked_function
from .epilogue import AWAY, Accumulator, Epilogue

# Elements whose sum stays within a half word, and the shift that leaves their products with a factor within a word.
MAX_ELEMENTS, SHIFT = 255, 23


@dataclass(frozen=True)
class PoolWindow:
    """One window: rows and columns of pixels of int8[channels], `pitch` bytes from one row to the next.

    clamp_min, clamp_max: limits of the result. mean: what makes a mean of the sum, for an average; not by AWAY.
    """

    average: bool
    rows: int
    columns: int
    channels: int
    pitch: int
    clamp_min: int = -128
    clamp_max: int = 127
    mean: Epilogue | None = None

    def __post_init__(self) -> None:
        assert self.mean is None or (self.average and self.mean.form != AWAY)

    @property
    def clamps(self) -> int:
        """Limits that need instructions; the start of a maximum is one anyway."""
        return (self.average and self.clamp_min > -128) + (self.clamp_max < 127)

    @property
    def elements(self) -> int:
        """Pixels of the window."""
        return self.rows * self.columns

    @property
    def factor(self) -> int:
        """What a sum is multiplied with."""
        return round((1 << SHIFT) / self.elements)

    @property
    def addend(self) -> int:
        """Half of the elements and another half of one, so that quotients stay clear of integers."""
        return round((1 << SHIFT) * (2 * (self.elements // 2) + 1) / (2 * self.elements))

    @property
    def has_ties(self) -> bool:
        """Whether a sum can be halfway between two multiples of the number of elements."""
        return self.elements % 2 == 0

    def describe(self, data: Any, output: Any, sums: Any, source: tuple[Any, Any], target: Any) -> None:
        """Emit the window as a block's contents: output[target, channel] of data int8[rows, bytes] from `source` on.

        source: row and byte. sums: int32[channels].
        """
        length, channels = self.columns * self.channels, self.channels
        T.reads(data[source[0] : source[0] + self.rows, source[1] : source[1] + length])
        T.writes(sums[0:channels], output[target : target + 1, 0:channels])
        with T.serial(0, channels) as c, T.sblock("start"):
            vc = T.axis.spatial(channels, c)
            T.buffer_store(sums, 0 if self.average else self.clamp_min, [vc])
        with T.grid(channels, self.rows, self.columns) as (c, i, j), T.sblock("gather"):
            vc, vi, vj = T.axis.remap("SRR", [c, i, j])
            value = T.Cast("int32", data[source[0] + vi, source[1] + vj * channels + vc])
            T.buffer_store(sums, sums[vc] + value if self.average else T.max(sums[vc], value), [vc])
        with T.serial(0, channels) as c, T.sblock("finish"):
            vc = T.axis.spatial(channels, c)
            T.buffer_store(output, self._result(sums[vc]), [target, vc])

    def _result(self, total: Any) -> Any:
        if self.mean is not None:
            word, multiplier = (T.int32(int(value)) for value in self.mean.rows[0])
            return self.mean.value(total + self.mean.bias(word), word, multiplier)
        result = T.max(_quotient(total, self), self.clamp_min) if self.average else total
        return T.Cast("int8", T.min(result, self.clamp_max))

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return _pool_function(self)

    def register(self) -> str:
        """Register the TensorIntrin of `describe` and return its name."""
        operands = {
            "data": Operand((self.rows, self.columns * self.channels), "int8", self.pitch),
            "output": Operand((1, self.channels), "int8", self.channels, written=True),
            "sums": Operand((self.channels,), "int32", written=True, passed=False),
        }
        arguments = [self.channels, self.pitch, self.rows + (self.columns << 16)]
        if self.mean is not None:
            word, multiplier = self.mean.rows[0]
            arguments += [int(multiplier), int(word), self.mean.origin]
        elif self.average:
            arguments += [self.factor, self.addend]
        return register(
            self.micro_kernel().name,
            operands,
            lambda data, output, sums: self.describe(data, output, sums, (0, 0), 0),
            arguments,
        )


def divides(window: PoolWindow) -> bool:
    """Whether sums stay within half words and the multiplication is exact for every sum of the window."""
    if window.elements > MAX_ELEMENTS or window.mean is not None:
        return window.elements <= MAX_ELEMENTS
    sums = np.arange(-128 * window.elements, 127 * window.elements + 1, dtype=np.int64)
    exact = np.sign(sums) * ((np.abs(sums) + window.elements // 2) // window.elements)
    quotients = (sums + (sums >> 31 if window.has_ties else 0)) * window.factor + window.addend >> SHIFT
    return bool((quotients == exact).all())


def pool_instructions(window: PoolWindow) -> float:
    """Instructions of one call, with those of the caller."""
    per_pixel = 2.5 if window.average else 3
    row = 6 + window.columns * (2 + per_pixel)
    end = 24 + 4 * window.has_ties if window.average else 10
    end += window.clamps * (12 if window.average else 3)
    end = end if window.mean is None else 12 + 4 * (1 + window.mean.instructions)
    return 30 + -(-window.channels // 4) * (window.rows * row + end)


def _quotient(total: Any, window: PoolWindow) -> Any:
    signed = total + T.shift_right(total, 31) if window.has_ties else total
    return T.shift_right(signed * window.factor + window.addend, SHIFT)


def _pool_function(window: PoolWindow) -> MicroKernel:
    """r0, r1: four channels of window and output; r2: channels; r3: from a row's end to the next; lr: channels left.

    r4 walks over pixels, r5 and r6 count rows and pairs of columns, r8 and r9 hold the result, r10 the extents.
    """

    def gather(word: str) -> list[str]:
        if window.average:
            return [f"sxtab16 r8, r8, {word}", f"sxtab16 r9, r9, {word}, ror #8"]
        return [f"ssub8 r9, r8, {word}", f"sel r8, r8, {word}"]

    lines = [
        "push {r4-r11, lr}",
        "ldr r10, [sp, #36]",
        "mov lr, r2",
        "lsr r12, r10, #16",
        "mls r3, r12, r2, r3",
    ]
    lines += ["1:", "mov r4, r0", "uxth r5, r10"]
    lines += ["mov r8, #0", "mov r9, #0"] if window.average else [f"mov r8, #{_bytes(window.clamp_min)}"]
    lines += ["2:", "lsr r6, r10, #17", "tst r10, #65536", "beq 3f"]
    lines += ["ldr r7, [r4]", "add r4, r2", *gather("r7"), "3:", "cbz r6, 5f"]
    lines += [
        "4:",
        "ldr r7, [r4]",
        "ldr r12, [r4, r2]",
        "add r4, r4, r2, lsl #1",
        *gather("r7"),
        *gather("r12"),
    ]
    lines += ["subs r6, #1", "bne 4b", "5:", "add r4, r3", "subs r5, #1", "bne 2b"]
    if window.mean is not None:
        lines += _mean(window.mean)
    elif window.average:
        lines += ["ldrd r11, r12, [sp, #40]"]
        lines += ["sxth r4, r8", "sxth r5, r9", "asr r8, r8, #16", "asr r9, r9, #16"]
        for byte, total in enumerate(("r4", "r5", "r8", "r9")):
            lines += [f"add {total}, {total}, {total}, asr #31"] if window.has_ties else []
            lines += [f"mla {total}, {total}, r11, r12", f"asr {total}, {total}, #{SHIFT}"]
            for limit, side in ((window.clamp_min, "lt"), (window.clamp_max, "gt")):
                if limit not in (-128, 127):
                    lines += [f"cmp {total}, #{limit}", f"it {side}", f"mov{side} {total}, #{limit}"]
            lines += [f"strb {total}, [r1, #{byte}]"]
    else:
        if window.clamp_max < 127:
            lines += [f"mov r12, #{_bytes(window.clamp_max)}", "ssub8 r9, r8, r12", "sel r8, r12, r8"]
        lines += ["str r8, [r1]"]
    # The last four channels overlap the ones before them when they are fewer.
    lines += ["subs lr, #4", "beq 6f", "mov r12, #4", "cmp lr, #4", "itt lt", "movlt r12, lr", "movlt lr, #4"]
    lines += ["add r0, r12", "add r1, r12", "b 1b", "6:", "pop {r4-r11, pc}"]
    parameters = "const int8_t *data, int8_t *output, int32_t channels, int32_t pitch, int32_t extent"
    limits = window.clamp_min, window.clamp_max
    clamp = "" if limits == (-128, 127) else f"_{limits[0]}_{limits[1]}".replace("-", "m")
    if not window.average:
        return naked_function(f"tinyml_dsp_max_pool{clamp}", parameters, lines)
    if window.mean is not None:
        parameters += ", int32_t multiplier, int32_t word, int32_t origin"
        return naked_function(f"tinyml_dsp_mean_{window.mean.key}", parameters, lines)
    name = f"tinyml_dsp_average_{'even' if window.has_ties else 'odd'}{clamp}"
    return naked_function(name, f"{parameters}, int32_t factor, int32_t addend", lines)


def _mean(epilogue: Epilogue) -> list[str]:
    """Four results from half words in r8 and r9; r10 and the pointers stay."""
    totals = ("r4", "r5", "r8", "r9")
    lines = ["ldrd r11, r12, [sp, #40]", "ldr r7, [sp, #48]", *epilogue.unpack("r12", "r7", "r7", "r6")]
    lines += [f"asr r12, r12, #{epilogue.bits}"]
    lines += [
        "sxtah r4, r12, r8",
        "sxtah r5, r12, r9",
        "add r8, r12, r8, asr #16",
        "add r9, r12, r9, asr #16",
    ]
    lines += epilogue.requantize([Accumulator(total, "r11", "r7", "r6") for total in totals], ("", ""))
    return [*lines, *(f"strb {total}, [r1, #{byte}]" for byte, total in enumerate(totals))]


def _bytes(value: int) -> str:
    """A word with the value in every byte."""
    return f"0x{(value & 0xFF) * 0x01010101:08x}"
