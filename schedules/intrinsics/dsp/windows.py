"""Windows of a convolution as rows of a matrix (im2col), int16 in scratch.

A window is some runs of neighbouring bytes: the rows of the kernel, or single taps when the columns are dilated.
Whole words of each run come first, then what is left of all runs, so that runs of any length fill groups of four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import Array, MicroKernel
from .assembly import COMPACT, MAX_UNROLLED, Intrinsic, add_immediate, naked_function, repeat
from .panel_rows import panel_rows_function
from .scratch import SCALED_GROUPS, pixel_pairs

_MAX_OFFSET = 4095


@dataclass(frozen=True)
class Windows:
    """A block of windows over an image int8[rows of the image, pitch].

    rows, columns: windows of the block. steps: rows and bytes from one window to the next. kernel: rows of the kernel
    and runs per row. kernel_steps: rows from one kernel row to the next and bytes from one run to the next. run: bytes
    of a run. pitch: bytes of a row of the image. scaled: for the scaled form of `direct.py`. compact: by little code.
    panel: packed as `panel.py` wants it, the same words of all windows side by side, instead of two windows.
    """

    rows: int
    columns: int
    steps: tuple[int, int]
    kernel: tuple[int, int]
    kernel_steps: tuple[int, int]
    run: int
    pitch: int
    scaled: bool
    compact: bool
    panel: bool = False

    @property
    def runs(self) -> int:
        """Runs of a window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def whole(self) -> int:
        """Groups of four made of whole words."""
        return self.runs * (self.run // 4)

    @property
    def rest(self) -> int:
        """Values that are left over."""
        return self.runs * (self.run % 4)

    @property
    def filled(self) -> int:
        """Groups that a window fills."""
        return self.whole + (self.rest + 3) // 4

    @property
    def groups(self) -> int:
        """Groups of a window: an even number when scaled."""
        return self.filled + (self.filled % SCALED_GROUPS if self.scaled else 0)

    @property
    def pixels(self) -> int:
        """Windows of the block."""
        return self.rows * self.columns

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and bytes of the image that the block reads."""
        return (
            (self.rows - 1) * self.steps[0] + (self.kernel[0] - 1) * self.kernel_steps[0] + 1,
            (self.columns - 1) * self.steps[1] + (self.kernel[1] - 1) * self.kernel_steps[1] + self.run,
        )

    @property
    def contiguous(self) -> bool:
        """Whether the windows lie one behind the other and can fill a word."""
        return self.runs == self.rows == 1 and self.steps[1] == self.run >= 4

    @property
    def by_words(self) -> bool:
        """Whether they become a panel whole words at a time."""
        return self.panel and self.contiguous and not self.rest

    def offset(self, run: int) -> int:
        """Bytes from a window's first value to a run."""
        row, column = divmod(run, self.kernel[1])
        return row * self.kernel_steps[0] * self.pitch + column * self.kernel_steps[1]

    @property
    def key(self) -> str:
        """Part of a function's name."""
        numbers = (self.columns, *self.steps, *self.kernel, *self.kernel_steps, self.run, self.pitch)
        form = "_scaled" * self.scaled + "_compact" * self.compact + f"_panel{self.pixels}" * self.panel
        return "_".join(str(number) for number in numbers) + form

    @property
    def room(self) -> tuple[int, ...]:
        """Shape of the int16 that the windows become: pairs, groups, 2, 4, or in a panel groups, 2, windows, 2."""
        if self.panel:
            return (self.groups, 2, self.pixels, 2)
        return (pixel_pairs(self.pixels, self.groups), self.groups, 2, 4)

    def place(self, window: Any, group: Any, word: Any, half: Any) -> tuple[Any, ...]:
        """Index of one of the four values of a group in that."""
        if self.panel:
            return (group, word, window, half)
        return (window // 2, group, window % 2, word * 2 + half)


def window_weights(weight: Array, windows: Windows) -> Array:
    """Weights int8[channels, ...] in the order of the groups: int8[channels, groups * 4], zero where nothing is."""
    runs = weight.reshape(weight.shape[0], -1, windows.run)
    whole = windows.run // 4 * 4
    parts = [runs[:, :, :whole].reshape(len(runs), -1), runs[:, :, whole:].reshape(len(runs), -1)]
    ordered = np.concatenate(parts, axis=1)
    return np.pad(ordered, ((0, 0), (0, 4 * windows.groups - ordered.shape[1])))


def _scaled_pair(even: Any, odd: Any) -> Any:
    """256 even - odd + 127: with the odd value beside it, what a byte pair of weights is multiplied with."""
    return T.Cast("int16", T.Cast("int32", even) * 256 - T.Cast("int32", odd) + 127)


def _group_value(image: Any, windows: Windows, first: Any, window: Any, group: Any, i: Any, j: Any) -> Any:
    words = windows.run // 4
    run, word = group // words, group % words
    row = first[0] + window[0] * windows.steps[0] + run // windows.kernel[1] * windows.kernel_steps[0]
    column = (
        first[1] + window[1] * windows.steps[1] + run % windows.kernel[1] * windows.kernel_steps[1] + word * 4
    )
    if not windows.scaled:
        return T.Cast("int16", image[row, column + j * 2 + i])
    even, odd = image[row, column + j * 2], image[row, column + j * 2 + 1]
    return T.if_then_else(i == 0, T.Cast("int16", odd), _scaled_pair(even, odd))


def _rest_value(image: Any, windows: Windows, first: Any, window: Any, index: Any) -> Any:
    length = windows.run % 4
    run = index // length
    row = first[0] + window[0] * windows.steps[0] + run // windows.kernel[1] * windows.kernel_steps[0]
    column = first[1] + window[1] * windows.steps[1] + run % windows.kernel[1] * windows.kernel_steps[1]
    return image[row, column + windows.run // 4 * 4 + index % length]


def _scaled_rest(image: Any, windows: Windows, first: Any, window: Any, i: Any, j: Any) -> Any:
    """A value of the last group of a window of one run; values beyond the window count as zero."""
    row = first[0] + window[0] * windows.steps[0]
    column = first[1] + window[1] * windows.steps[1] + windows.whole * 4

    def value(index: Any) -> Any:
        return T.if_then_else(index < windows.rest, T.Cast("int32", image[row, column + index]), 0)

    even, odd = value(j * 2), value(j * 2 + 1)
    return T.Cast("int16", T.if_then_else(i == 0, odd, even * 256 - odd + 127))


@script.macro
def window_stages(image: Any, packed: Any, windows: Any, row: Any, column: Any) -> None:
    """Windows as int16 of the shape `windows.room`.

    row, column: where the first window starts, in rows and bytes. The four values (a, b, c, d) of a group become
    (a, c, b, d), or when scaled (b, d, 256 a - b + 127, 256 c - d + 127). Values of the last groups beyond the window
    are undefined, as is the partner of the last of an odd number of windows.
    """
    T.reads(image[row : row + windows.extent[0], column : column + windows.extent[1]])
    T.writes(
        packed[0 : windows.room[0], 0 : windows.room[1], 0 : windows.room[2], 0 : windows.room[3]],
    )
    if windows.whole > 0:
        for r, c, k, i, j in T.grid(windows.rows, windows.columns, windows.whole, 2, 2):
            with T.sblock("pack_group"):
                vr, vc, vk, vi, vj = T.axis.remap("SSSSS", [r, c, k, i, j])
                packed[windows.place(vr * windows.columns + vc, vk, vi, vj)] = _group_value(
                    image, windows, (row, column), (vr, vc), vk, vi, vj
                )
    if windows.rest > 0 and windows.scaled:
        for r, c, i, j in T.grid(windows.rows, windows.columns, 2, 2):
            with T.sblock("pack_rest"):
                vr, vc, vi, vj = T.axis.remap("SSSS", [r, c, i, j])
                packed[windows.place(vr * windows.columns + vc, windows.whole, vi, vj)] = _scaled_rest(
                    image, windows, (row, column), (vr, vc), vi, vj
                )
    if windows.rest > 0 and not windows.scaled:
        for r, c, k in T.grid(windows.rows, windows.columns, windows.rest):
            with T.sblock("pack_rest"):
                vr, vc, vk = T.axis.remap("SSS", [r, c, k])
                packed[
                    windows.place(vr * windows.columns + vc, windows.whole + vk // 4, vk % 2, vk // 2 % 2)
                ] = T.Cast("int16", _rest_value(image, windows, (row, column), (vr, vc), vk))


def pack_windows(windows: Windows, scope: str) -> Intrinsic:
    """A block of windows of an image in a storage scope; see `window_stages`."""
    if windows.by_words:
        micro_kernel = panel_rows_function(windows.pixels, windows.scaled)
        arguments: tuple[int, ...] = (windows.whole,)
    elif windows.contiguous and not windows.panel:
        micro_kernel = _rows_function(windows.scaled)
        arguments = (windows.columns, windows.run)
    else:
        micro_kernel = _pack_function(windows)
        arguments = (windows.rows,)
    function, pitch, room = micro_kernel.name, windows.pitch, windows.room
    height, width = windows.extent

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(s: T.handle, p: T.handle) -> None:
            image = T.match_buffer(
                s, (height, width), "int8", offset_factor=1, strides=[pitch, 1], scope=scope
            )
            packed = T.match_buffer(p, room, "int16", offset_factor=1)
            with T.sblock("root"):
                window_stages(image, packed, windows, 0, 0)

        @script.prim_func(s_tir=True)
        def implementation(s: T.handle, p: T.handle) -> None:
            image = T.match_buffer(
                s, (height, width), "int8", offset_factor=1, strides=[pitch, 1], scope=scope
            )
            packed = T.match_buffer(p, room, "int16", offset_factor=1)
            with T.sblock("root"):
                T.reads(image[0:height, 0:width])
                T.writes(packed[0 : room[0], 0 : room[1], 0 : room[2], 0 : room[3]])
                T.evaluate(
                    T.call_extern(
                        "int32", function, image.access_ptr("r"), packed.access_ptr("w"), *arguments
                    )
                )

        return description, implementation

    name = f"{function}_{'_'.join(map(str, arguments))}_{pitch}_{scope}"
    return Intrinsic(name, micro_kernel, build)


def window_instructions(windows: Windows) -> float:
    """Instructions of one call of the generated function."""
    if windows.by_words:
        return 16 + windows.pixels * (7 + windows.whole * (8 if windows.scaled else 6))
    if windows.contiguous and not windows.panel:
        return 16 + -(-windows.pixels // 2) * (12 + windows.groups * (13 if windows.scaled else 7.5))
    whole = windows.whole * ((6 if windows.scaled else 4) + windows.panel)
    rest = windows.filled - windows.whole
    loops = 0 if _unrolled(windows) else 3 * windows.runs
    return 12 + windows.rows * 5 + windows.pixels * (7 + whole + 7 * rest + loops)


def _rows_function(scaled: bool) -> MicroKernel:
    """Two pixels at a time, r0 and r12; r1 walks over the target, r2 counts pixels, lr what is left of their depth."""

    def extend(pixels: int) -> list[str]:
        """Words in r5, r7, ... to the two words of each, from r4 on."""
        lines = []
        for register in range(4, 4 + 2 * pixels, 2):
            even, odd = f"r{register}", f"r{register + 1}"
            if scaled:
                lines += [f"sxtb16 {even}, {odd}, ror #8", f"uxtb16 {odd}, {odd}"]
                lines += [f"orr {odd}, r8, {odd}, lsl #8", f"ssub16 {odd}, {odd}, {even}"]
            else:
                lines += [f"sxtb16 {even}, {odd}", f"sxtb16 {odd}, {odd}, ror #8"]
        return lines

    one = ["ldr r5, [r0], #4", "ldr r7, [r12], #4", *extend(2), "stmia r1!, {r4-r7}"]
    two = ["ldr r5, [r0], #4", "ldr r9, [r0], #4", "ldr r7, [r12], #4", "ldr r11, [r12], #4"]
    two += [*extend(4), "stmia r1!, {r4-r11}"]
    lines = ["push {r4-r11, lr}", *(["mov r8, #0x7f007f"] if scaled else [])]
    # The partner of a single pixel is itself.
    lines += ["1:", "cmp r2, #1", "ite eq", "moveq r12, r0", "addne r12, r0, r3"]
    if scaled:
        lines += ["lsrs lr, r3, #2", "2:", *one, "subs lr, #1", "bne 2b"]
    else:
        lines += ["lsrs lr, r3, #3", "beq 3f", "2:", *two, "subs lr, #1", "bne 2b"]
        lines += ["3:", "tst r3, #4", "beq 4f", *one, "4:"]
    lines += [
        "ands lr, r3, #3",
        "beq 5f",
        # The word that ends with the pixel, without what has been used: nothing outside the pixel is read.
        "add r0, lr",
        "add r12, lr",
        "rsb lr, lr, #4",
        "lsl lr, lr, #3",
        "ldr r5, [r0, #-4]",
        "ldr r7, [r12, #-4]",
        "lsr r5, r5, lr",
        "lsr r7, r7, lr",
        *extend(2),
        "stmia r1!, {r4-r7}",
        "5:",
        # Room for another group after an odd number of them.
        *(["add lr, r3, #3", "tst lr, #4", "it ne", "addne r1, #16"] if scaled else []),
        "mov r0, r12",
        "subs r2, #2",
        "bgt 1b",
        "pop {r4-r11, pc}",
    ]
    parameters = "const int8_t *data, int16_t *packed, int32_t pixels, int32_t depth"
    return naked_function(f"tinyml_dsp_{'scaled' if scaled else 'plain'}_rows", parameters, lines)


def _unrolled(windows: Windows) -> bool:
    longest = COMPACT if windows.compact else MAX_UNROLLED
    return windows.whole * 4 <= longest and windows.offset(windows.runs - 1) + windows.run <= _MAX_OFFSET


def _pack_function(windows: Windows) -> MicroKernel:
    """r0 walks over windows, r1 over the target, r2 and r3 count rows and columns; r4 goes back from the end of one
    window's target to the start of the next, alternating with r5 - r4 where windows lie in pairs. r9: even bytes'
    addend when scaled.
    """
    if windows.panel:
        partner = 4 - 8 * windows.pixels * windows.filled
        both = 2 * partner
    else:
        partner, both = 8 - 16 * windows.filled, 16 * (windows.groups - 2 * windows.filled)
    lines = ["push {r4-r11, lr}", *_constant("r5", both), *_constant("r4", partner)]
    lines += ["mov r9, #0x7f007f"] if windows.scaled else []
    finish = (
        [
            "uxtb16 r7, r6",
            "sxtb16 r6, r6, ror #8",
            "orr r7, r9, r7, lsl #8",
            "ssub16 r7, r7, r6",
            *_store(windows, "r6", "r7"),
        ]
        if windows.scaled
        else ["sxtb16 r7, r6", "sxtb16 r8, r6, ror #8", *_store(windows, "r7", "r8")]
    )
    words, longest = windows.run // 4, COMPACT if windows.compact else MAX_UNROLLED
    lines += ["1:", f"mov r3, #{windows.columns}", "2:"]
    if _unrolled(windows):
        for run in range(windows.runs):
            for word in range(words):
                lines += [f"ldr r6, [r0, #{windows.offset(run) + 4 * word}]", *finish]
    elif words:
        step = ["ldr r6, [r10], #4", *finish]
        lines += ["mov r10, r0", *([f"mov r11, #{windows.kernel[0]}", "3:"] if windows.kernel[0] > 1 else [])]
        for run in range(windows.kernel[1]):
            lines += [f"add r12, r10, #{4 * words}"]
            lines += repeat(words, lambda: step, 4 + run % 2, lambda: ["cmp r10, r12"], longest=longest)
            if run + 1 < windows.kernel[1]:
                lines += add_immediate("r10", windows.kernel_steps[1] - 4 * words)
        if windows.kernel[0] > 1:
            walked = (windows.kernel[1] - 1) * windows.kernel_steps[1] + 4 * words
            lines += add_immediate("r10", windows.kernel_steps[0] * windows.pitch - walked)
            lines += ["subs r11, #1", "bne 3b"]
    lines += _rest(windows)
    lines += [
        "add r1, r4",
        "sub r4, r5, r4",
        *add_immediate("r0", windows.steps[1]),
        "subs r3, #1",
        "bne 2b",
        *add_immediate("r0", windows.steps[0] * windows.pitch - windows.columns * windows.steps[1]),
        "subs r2, #1",
        "bne 1b",
        "pop {r4-r11, pc}",
    ]
    name = f"tinyml_dsp_windows_{windows.key}"
    return naked_function(name, "const int8_t *image, int16_t *packed, int32_t rows", lines)


def _constant(register: str, value: int) -> list[str]:
    low, high = value & 0xFFFF, value >> 16 & 0xFFFF
    return [f"movw {register}, #{low}", *([f"movt {register}, #{high}"] if high else [])]


def _rest(windows: Windows) -> list[str]:
    """Groups of single bytes; r12 is the base of those beyond the reach of an offset."""
    length = windows.run % 4
    lines: list[str] = []
    base, position = "r0", 0
    registers = ("r6", "r7", "r8", "r10")
    for first in range(0, windows.rest, 4):
        group = range(first, min(first + 4, windows.rest))
        for register, index in zip(registers, group, strict=False):
            offset = windows.offset(index // length) + windows.run // 4 * 4 + index % length - position
            if offset > _MAX_OFFSET:
                lines += [f"mov r12, {base}"] if base == "r0" else []
                lines += add_immediate("r12", offset)
                base, position, offset = "r12", position + offset, 0
            lines.append(f"ldrsb {register}, [{base}, #{offset}]")
        even, odd = "r6", "r7" if len(group) > 1 else "r6"
        if len(group) > 2:
            lines.append("pkhbt r6, r6, r8, lsl #16")
        if len(group) > 3:
            lines.append("pkhbt r7, r7, r10, lsl #16")
        lines += _store(windows, even, odd)
    return lines


def _store(windows: Windows, first: str, second: str) -> list[str]:
    """Store the two words of a group and go on to the next group of the window."""
    if windows.panel:
        step = 4 * windows.pixels
        return [f"str {second}, [r1, #{step}]", f"str {first}, [r1], #{2 * step}"]
    return [f"strd {first}, {second}, [r1], #16"]
