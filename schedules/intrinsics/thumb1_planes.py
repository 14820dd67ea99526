"""Depthwise windows of Armv6-M: a channel's plane as pairs of pixels, so that one multiplication makes two products.

The first pixel of a word belongs to a window of the upper output rows, the second to the window that lies a fixed
number of rows below. The arithmetic is that of `thumb1_pairs`. A plane holds the padding, so no window is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from ..requantize_split import SplitForm
from ..tensor_ir import largest_divisor
from . import thumb1_assembly as thumb1
from .tensor_intrinsic import Operand, register
from .thumb1_assembly import CONSTANTS, UNROLL, WORD
from .thumb1_pairs import half_of, split_expr

# Bytes that a conditional branch reaches, with room for a few instructions.
NEAR = 220
# Values of a row of the window that registers hold together.
CHUNK = 3
PARAMETERS = """
    const int32_t *plane, const int8_t *weight, const int32_t *factors, const int8_t *fine, int8_t *output,
    int32_t columns, int32_t rows, int32_t row, int32_t step, int32_t rows_step, int32_t pitch, int32_t second,
    int32_t point, int32_t rounding"""


@dataclass(frozen=True)
class PackPlane:
    """Rows of one channel as words: to[i][x] = from[i - top][x] + (from[i - top + distance][x] << 16).

    What lies above or below the image is `zero_point`.

    top: rows of words whose first pixel lies above the image. rows: of words, up to the last one whose first pixel lies
    in it. height, columns: of the image, which is higher than `distance` and `top` is at most that.
    pitch, row_pitch: elements from one pixel and row to the next; plane_pitch: words of a row of the plane.
    """

    top: int
    rows: int
    height: int
    columns: int
    distance: int
    pitch: int
    row_pitch: int
    plane_pitch: int
    zero_point: int

    @property
    def unrolled(self) -> int:
        """Words per round of the loop."""
        return largest_divisor(self.columns, UNROLL)

    @property
    def name(self) -> str:
        """Name of the C function, which is the same for all sizes."""
        return f"tinyml_pack_plane_{self.unrolled}"

    @property
    def both(self) -> int:
        """Rows of words with both pixels inside the image."""
        return min(self.rows - self.top, self.height - self.distance)

    @property
    def arguments(self) -> list[int]:
        """Constants of a call after its pointers."""
        second = (self.distance - self.top) * self.row_pitch
        rows = [self.top, self.both, self.rows - self.top - self.both]
        skipped = WORD * (self.plane_pitch - self.columns)
        return [
            second,
            self.zero_point,
            *rows,
            self.columns * self.pitch,
            self.pitch,
            skipped,
            self.row_pitch,
        ]

    def micro_kernel(self) -> MicroKernel:
        """The C function; its last parameters are `arguments`.

        r0 plane, r1 first pixels, r2 second pixels, r3 pitch, r6 length of a row, r7 place in it, r8 zero point; r12
        and lr: bytes that are skipped at the end of a row of the plane and of the image.
        """
        above, both, below, width, pitch, skipped, row_pitch = (
            f"[sp, #{WORD * (9 + index)}]" for index in range(7)
        )
        low, high = ["ldrsb r4, [r1, r7]"], ["ldrsb r5, [r2, r7]", "lsls r5, r5, #16"]
        lines = ["push {r4-r7, lr}", *(f"mov r{4 + k}, r{8 + k}" for k in range(4)), "push {r4-r7}"]
        lines += ["adds r2, r2, r1", "mov r8, r3", f"ldr r3, {pitch}", f"ldr r6, {width}"]
        lines += [f"ldr r4, {skipped}", "mov r12, r4", f"ldr r4, {row_pitch}", "mov lr, r4"]
        lines += self._rows(1, above, ["mov r4, r8"], high, ["add r2, lr"])
        lines += self._rows(2, both, [], [*low, *high], ["add r1, lr", "add r2, lr"])
        lines += self._rows(3, below, ["mov r5, r8", "lsls r5, r5, #16"], low, ["add r1, lr"])
        lines += ["pop {r4-r7}", *(f"mov r{8 + k}, r{4 + k}" for k in range(4)), "pop {r4-r7, pc}"]
        parameters = (
            "int32_t *plane, const int8_t *data, int32_t second, int32_t zero_point, int32_t above,"
            "\n    int32_t both, int32_t below, int32_t width, int32_t pitch, int32_t skipped, int32_t row_pitch"
        )
        return thumb1.naked(self.name, parameters, lines)

    def _rows(self, label: int, count: str, before: list[str], load: list[str], move: list[str]) -> list[str]:
        """As many rows as a stack slot says, maybe none; r4 + r5 is a word."""
        total = "r5" if before[:1] == ["mov r4, r8"] else "r4"
        word = [*load, f"adds {total}, r4, r5", f"stmia r0!, {{{total}}}", "adds r7, r7, r3"]
        return [
            *(f"ldr r7, {count}", "cmp r7, #0", f"beq 4{label}f", f"2{label}:", *before, "movs r7, #0"),
            *(f"3{label}:", *(word * self.unrolled), "cmp r7, r6", f"bne 3{label}b"),
            *("add r0, r12", *move, f"ldr r7, {count}", "subs r7, r7, #1", f"str r7, {count}"),
            *(f"bne 2{label}b", f"4{label}:"),
        ]

    def block(self, plane: Any, at: tuple[Any, Any], data: Any, origin: tuple[Any, Any]) -> None:
        """Contents of a block that packs a channel of an image, a matrix of int8, into a matrix of words."""
        (row, column), (y, c) = at, origin
        T.reads(data[y : y + self.height, c : c + (self.columns - 1) * self.pitch + 1])
        T.writes(plane[row : row + self.rows, column : column + self.columns])
        with T.grid(self.rows, self.columns) as (i, x), T.sblock("word"):
            vi, vx = T.axis.remap("SS", [i, x])
            halves = []
            for first in (-self.top, self.distance - self.top):
                value = T.Cast("int32", data[y + vi + first, c + vx * self.pitch])
                # Only guards that can fail are stated, because simplification drops the others.
                guards = [vi >= -first] if first < 0 else []
                guards += [vi < self.height - first] if self.rows + first > self.height else []
                if guards:
                    value = tirx.if_then_else(tirx.all(*guards), value, T.int32(self.zero_point))
                halves.append(value)
            T.buffer_store(plane, halves[0] + halves[1] * T.int32(1 << 16), [row + vi, column + vx])

    def register(self) -> str:
        """Register the micro-kernel as a tensor intrinsic and return its name."""
        operands = {
            "plane": Operand((self.rows, self.columns), "int32", self.plane_pitch, written=True),
            "data": Operand((self.height, (self.columns - 1) * self.pitch + 1), "int8", self.row_pitch),
        }
        return register(
            self.name, operands, lambda plane, data: self.block(plane, (0, 0), data, (0, 0)), self.arguments
        )


@dataclass(frozen=True)
class PairWindows:
    """All outputs of one channel from its plane of words.

    kernel_h, kernel_w, stride: of the window; rows, columns: of pairs of outputs; second: rows of outputs from the
    first of a pair to the second; plane_pitch: words of a row of the plane; pitch: elements between outputs.
    point, rounding: see `SplitRequantization`.
    """

    kernel_h: int
    kernel_w: int
    stride: int
    rows: int
    columns: int
    second: int
    plane_pitch: int
    pitch: int
    clamp_min: int
    clamp_max: int
    form: SplitForm
    point: int
    rounding: int

    @property
    def name(self) -> str:
        """Name of the C function, which is the same for all sizes."""
        clamp = thumb1.clamp_name(self.clamp_min, self.clamp_max)
        return f"tinyml_pair_windows_{self.kernel_h}x{self.kernel_w}_{self.form.name}{clamp}"

    @property
    def taps(self) -> int:
        """Weights of a channel."""
        return self.kernel_h * self.kernel_w

    @property
    def plane(self) -> tuple[int, int]:
        """Rows and columns of words that the windows hold."""
        return (
            (self.rows - 1) * self.stride + self.kernel_h,
            (self.columns - 1) * self.stride + self.kernel_w,
        )

    @property
    def arguments(self) -> list[int]:
        """Constants of a call after its pointers."""
        row = WORD * self.plane_pitch
        steps = [WORD * self.stride, self.stride * row, self.pitch, self.second * self.columns * self.pitch]
        return [self.columns, self.rows, row, *steps, self.point, self.rounding]

    def micro_kernel(self) -> MicroKernel:
        """The C function; its last parameters are `arguments`.

        r8, r9: sum of both halves and of the second; r10: one half of the lowest bit of an upper half; r11: from the
        end of a window's row to the beginning of the next; r12: window; lr: end of the row of windows.
        """
        first = self.taps
        frame = WORD * (first + CONSTANTS + 1)
        start = f"[sp, #{WORD * (first + CONSTANTS)}]"
        output, columns, rows, row, step, rows_step, pitch, second, point, rounding = (
            thumb1.argument(index, frame) for index in range(10)
        )
        code = [f"str r0, {start}"]
        for tap in range(self.taps):
            code += [f"movs r5, #{tap}", "ldrsb r4, [r1, r5]", f"str r4, [sp, #{WORD * tap}]"]
        code += thumb1.constants_of(0, first, self.form, "r2", "r3", point, rounding)
        code += ["movs r0, #1", "lsls r0, r0, #15", "mov r10, r0"]
        code += [f"ldr r0, {row}", f"subs r0, #{WORD * self.kernel_w}", "mov r11, r0"]
        code += [f"ldr r0, {columns}", f"ldr r1, {step}", "muls r0, r1, r0", f"str r0, {columns}", "5:"]
        code += [f"ldr r0, {start}", "mov r12, r0", f"ldr r1, {columns}", "adds r0, r0, r1", "mov lr, r0"]
        code += ["6:", *thumb1.start_sums(first, "r8", "r9", "r1"), "mov r0, r12", "mov r4, sp"]
        body = len(code)
        code += self._sums()
        code += [*thumb1.pair_sums("r8", "r9"), *thumb1.load_constants(first, self.form)]
        finished = thumb1.requantized(self.form, self.clamp_min, self.clamp_max)
        again = [f"ldr r6, {output}"] if thumb1.spoils_r6(self.form) else []
        code += [*finished, f"ldr r6, {output}", "strb r7, [r6]", "mov r7, r9", *finished, *again]
        code += [f"ldr r0, {second}", "strb r7, [r6, r0]"]
        code += [f"ldr r0, {pitch}", "adds r6, r6, r0", f"str r6, {output}"]
        near = 2 * (len(code) - body) < NEAR
        code += [
            f"ldr r0, {step}",
            "add r12, r0",
            "cmp r12, lr",
            *(["bne 6b"] if near else ["beq 7f", "b 6b", "7:"]),
        ]
        code += [f"ldr r0, {start}", f"ldr r1, {rows_step}", "adds r0, r0, r1", f"str r0, {start}"]
        code += [f"ldr r0, {rows}", "subs r0, #1", f"str r0, {rows}", "beq 9f", "b 5b", "9:"]
        return thumb1.function(self.name, PARAMETERS, code, frame)

    def _sums(self) -> Iterator[str]:
        """Products of a window, row by row; r0 window, r4 weights."""
        for row in range(self.kernel_h):
            for first in range(0, self.kernel_w, CHUNK):
                count = min(CHUNK, self.kernel_w - first)
                yield f"ldmia r0!, {{r1{f'-r{count}' if count > 1 else ''}}}"
                yield f"ldmia r4!, {{r5{f'-r{4 + count}' if count > 1 else ''}}}"
                yield from (f"muls r{1 + k}, r{5 + k}, r{1 + k}" for k in range(count))
                if count > 1:
                    yield "adds r1, r1, r2"
                yield "add r8, r1"
                if count == CHUNK:
                    yield from ("add r8, r3", "add r3, r10", "asrs r3, r3, #16")
                    # The carry flag is the bit that rounds.
                    yield from ("asrs r1, r1, #16", "adcs r1, r3", "add r9, r1")
                else:
                    yield from ("add r1, r10", "asrs r1, r1, #16", "add r9, r1")
            if row + 1 < self.kernel_h:
                yield "add r0, r11"

    def block(self, operands: WindowOperands) -> None:
        """Emit what the windows compute as a TensorIR block's contents."""
        o = operands
        (p, c), height = o.output_at, self.rows + self.second
        T.reads(
            o.plane[0 : self.plane[0], 0 : self.plane[1]],
            o.weight[o.channel, 0 : self.taps],
            o.factors[o.channel, 0:2],
            o.fine[o.channel],
        )
        T.writes(
            o.output[p : p + height, c : c + (self.columns - 1) * self.pitch + 1],
            o.sums[0:2, 0 : self.rows, 0 : self.columns],
        )
        with T.grid(2, self.rows, self.columns) as (h, y, x), T.sblock("bias"):
            vh, vy, vx = T.axis.remap("SSS", [h, y, x])
            T.buffer_store(o.sums, o.factors[o.channel, 0], [vh, vy, vx])
        for half, name in enumerate(("first", "second")):
            with (
                T.grid(self.rows, self.columns, self.kernel_h, self.kernel_w) as (y, x, i, j),
                T.sblock(name),
            ):
                vy, vx, vi, vj = T.axis.remap("SSRR", [y, x, i, j])
                value = half_of(o.plane[vy * self.stride + vi, vx * self.stride + vj], half)
                product = value * T.Cast("int32", o.weight[o.channel, vi * self.kernel_w + vj])
                T.buffer_store(o.sums, o.sums[half, vy, vx] + product, [half, vy, vx])
        with T.grid(2, self.rows, self.columns) as (h, y, x), T.sblock("requantize"):
            vh, vy, vx = T.axis.remap("SSS", [h, y, x])
            shared, limits = (self.point, self.rounding), (self.clamp_min, self.clamp_max)
            word, fine = o.factors[o.channel, 1], o.fine[o.channel]
            value = split_expr(o.sums[vh, vy, vx], word, fine, self.form, shared, limits)
            T.buffer_store(o.output, value, [p + vh * self.second + vy, c + vx * self.pitch])

    def register(self) -> str:
        """Register the windows as a tensor intrinsic and return its name."""
        height, width = self.rows + self.second, (self.columns - 1) * self.pitch + 1
        operands = {
            "plane": Operand(self.plane, "int32", self.plane_pitch),
            "weight": Operand((1, self.taps), "int8", self.taps),
            "factors": Operand((1, 2), "int32", 2),
            "fine": Operand((1,), "int8"),
            "output": Operand((height, width), "int8", self.columns * self.pitch, written=True),
            "sums": Operand((2, self.rows, self.columns), "int32", written=True, passed=False),
        }
        return register(
            self.name, operands, lambda *buffers: self.block(WindowOperands(*buffers)), self.arguments
        )


@dataclass(frozen=True)
class WindowOperands:
    """Where the windows find their operands.

    plane: words[rows, columns]; weight: int8[channels, taps]; factors: int32[channels, 2] and fine: int8[channels] of
    `SplitRequantization`; output: int8[rows, columns * channels], from `output_at` on; sums: int32[2, rows, columns].
    """

    plane: Any
    weight: Any
    factors: Any
    fine: Any
    output: Any
    sums: Any
    channel: Any = 0
    output_at: tuple[Any, Any] = (0, 0)
