"""Pooling of one window, four channels at a time: SXTAB16 adds them up in half words, SSUB8 and SEL keep the largest.

An average divides by a constant with one multiplication,

    q = ((s + sign) * factor + addend) >> SHIFT

where `sign` is -1 for a negative sum of an even number of elements, the only ones with ties, which go away from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import MicroKernel
from .assembly import Intrinsic, naked_function

# Elements whose sum stays within a half word, and the shift that leaves their products with a factor within a word.
MAX_ELEMENTS, SHIFT = 255, 23


@dataclass(frozen=True)
class PoolWindow:
    """One window: rows and columns of pixels of int8[channels], `pitch` bytes from one row to the next."""

    average: bool
    rows: int
    columns: int
    channels: int
    pitch: int

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


def divides(window: PoolWindow) -> bool:
    """Whether the multiplication is exact for every sum of the window."""
    if window.elements > MAX_ELEMENTS:
        return False
    sums = np.arange(-128 * window.elements, 127 * window.elements + 1, dtype=np.int64)
    exact = np.sign(sums) * ((np.abs(sums) + window.elements // 2) // window.elements)
    quotients = (sums + (sums >> 31 if window.has_ties else 0)) * window.factor + window.addend >> SHIFT
    return bool((quotients == exact).all())


def pool_instructions(window: PoolWindow) -> float:
    """Instructions of one call, with those of the caller."""
    per_pixel = 2.5 if window.average else 3
    row = 6 + window.columns * (2 + per_pixel)
    end = 24 + 4 * window.has_ties if window.average else 10
    return 30 + -(-window.channels // 4) * (window.rows * row + end)


def _quotient(total: Any, window: PoolWindow) -> Any:
    signed = total + T.shift_right(total, 31) if window.has_ties else total
    return T.shift_right(signed * window.factor + window.addend, SHIFT)


@script.macro
def pool_stage(data: Any, sums: Any, output: Any, window: Any, source: Any, target: Any) -> None:
    """output[target, channel] of the window of data int8[rows, bytes] that starts at row and byte `source`."""
    T.reads(
        data[
            source[0] : source[0] + window.rows,
            source[1] : source[1] + window.columns * window.channels,
        ]
    )
    T.writes(sums[0 : window.channels], output[target, 0 : window.channels])
    for c in T.serial(window.channels):
        with T.sblock("start"):
            vc = T.axis.spatial(window.channels, c)
            sums[vc] = 0 if window.average else -128
    for c, i, j in T.grid(window.channels, window.rows, window.columns):
        with T.sblock("gather"):
            vc, vi, vj = T.axis.remap("SRR", [c, i, j])
            if window.average:
                sums[vc] = sums[vc] + T.Cast(
                    "int32", data[source[0] + vi, source[1] + vj * window.channels + vc]
                )
            else:
                sums[vc] = T.max(
                    sums[vc], T.Cast("int32", data[source[0] + vi, source[1] + vj * window.channels + vc])
                )
    for c in T.serial(window.channels):
        with T.sblock("finish"):
            vc = T.axis.spatial(window.channels, c)
            if window.average:
                output[target, vc] = T.Cast("int8", _quotient(sums[vc], window))
            else:
                output[target, vc] = T.Cast("int8", sums[vc])


def pool_window(window: PoolWindow) -> Intrinsic:
    """All channels of one output pixel; see `pool_stage`."""
    micro_kernel = _pool_function(window)
    function, rows, channels, pitch = micro_kernel.name, window.rows, window.channels, window.pitch
    length, extent = window.columns * channels, rows + (window.columns << 16)
    division = (window.factor, window.addend) if window.average else ()

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(d: T.handle, s: T.handle, o: T.handle) -> None:
            data = T.match_buffer(d, (rows, length), "int8", offset_factor=1, strides=[pitch, 1])
            sums = T.match_buffer(s, (channels,), "int32", offset_factor=1)
            output = T.match_buffer(o, (1, channels), "int8", offset_factor=1)
            with T.sblock("root"):
                pool_stage(data, sums, output, window, (0, 0), 0)

        @script.prim_func(s_tir=True)
        def implementation(d: T.handle, s: T.handle, o: T.handle) -> None:
            data = T.match_buffer(d, (rows, length), "int8", offset_factor=1, strides=[pitch, 1])
            sums = T.match_buffer(s, (channels,), "int32", offset_factor=1)
            output = T.match_buffer(o, (1, channels), "int8", offset_factor=1)
            with T.sblock("root"):
                T.reads(data[0:rows, 0:length])
                T.writes(sums[0:channels], output[0, 0:channels])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        function,
                        data.access_ptr("r"),
                        output.access_ptr("w"),
                        channels,
                        pitch,
                        extent,
                        *division,
                    )
                )

        return description, implementation

    return Intrinsic(f"{function}_{rows}_{window.columns}_{channels}_{pitch}", micro_kernel, build)


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
    lines += ["mov r8, #0", "mov r9, #0"] if window.average else ["mov r8, #0x80808080"]
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
    if window.average:
        lines += ["ldrd r11, r12, [sp, #40]"]
        lines += ["sxth r4, r8", "sxth r5, r9", "asr r8, r8, #16", "asr r9, r9, #16"]
        for byte, total in enumerate(("r4", "r5", "r8", "r9")):
            lines += [f"add {total}, {total}, {total}, asr #31"] if window.has_ties else []
            lines += [f"mla {total}, {total}, r11, r12", f"asr {total}, {total}, #{SHIFT}"]
            lines += [f"strb {total}, [r1, #{byte}]"]
    else:
        lines += ["str r8, [r1]"]
    # The last four channels overlap the ones before them when they are fewer.
    lines += ["subs lr, #4", "beq 6f", "mov r12, #4", "cmp lr, #4", "itt lt", "movlt r12, lr", "movlt lr, #4"]
    lines += ["add r0, r12", "add r1, r12", "b 1b", "6:", "pop {r4-r11, pc}"]
    parameters = "const int8_t *data, int8_t *output, int32_t channels, int32_t pitch, int32_t extent"
    if not window.average:
        return naked_function("tinyml_dsp_max_pool", parameters, lines)
    name = f"tinyml_dsp_average_{'even' if window.has_ties else 'odd'}"
    return naked_function(name, f"{parameters}, int32_t factor, int32_t addend", lines)
