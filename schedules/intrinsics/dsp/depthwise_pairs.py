"""Depthwise convolution of a few outputs of a row, all channels: SMLAD on pairs of rows.

Where a call makes one short row, as in a streamed region, planes (`depthwise.py`) would set up each channel for a few
outputs. Here one call does all channels, four at a time: two rows of a column become words with neighbours of one
channel, on the stack, and each of the four channels multiplies them with pairs of weights of one column. Weights of
four rows of a column are a word, of which SXTB16 makes two pairs. Columns outside the image count as the input zero
point. The bias lies in the sum that is touched last and serves as the others' first addend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import Array, MicroKernel
from ..tensor_intrinsic import Operand, register
from .assembly import add_immediate, naked_function
from .epilogue import Accumulator, Epilogue

LANES = 4
_REGISTERS = [*(f"r{number}" for number in range(2, 13)), "lr"]
# Operands of the epilogue, of which the form AWAY has more.
_EPILOGUE_REGISTERS = 5
# Number of every column outside of the image.
_OUTSIDE = -1
# Words on the stack that one instruction of two words reaches.
MAX_WORDS = 240


@dataclass(frozen=True)
class RowTile:
    """Neighbouring outputs of a row, all channels.

    outputs: how many. kernel: rows and columns. row_step: rows of the image from one row of the kernel to the next.
    stride: columns. left: columns of the first window that are outside of the image; columns: inside, of all windows.
    pitch: bytes of a row of the image. channels: a multiple of four.
    """

    outputs: int
    kernel: tuple[int, int]
    row_step: int
    stride: int
    left: int
    columns: int
    pitch: int
    channels: int
    zero_point: int

    @property
    def pairs(self) -> int:
        """Pairs of rows of the kernel; the last one may be a single row."""
        return (self.kernel[0] + 1) // 2

    @property
    def quads(self) -> int:
        """Words of weights per column."""
        return (self.pairs + 1) // 2

    @property
    def span(self) -> int:
        """Rows of the image that are read."""
        return (self.kernel[0] - 1) * self.row_step + 1

    @property
    def words(self) -> int:
        """Words on the stack of four channels."""
        return LANES * self.pairs * self.columns

    @property
    def fits(self) -> bool:
        """Whether registers and offsets suffice."""
        free = len(_REGISTERS) - self.outputs
        return free >= max(self.kernel[1] + 2, _EPILOGUE_REGISTERS) and self.words <= MAX_WORDS

    def visits(self, pair: int) -> list[tuple[int, list[tuple[int, int]]]]:
        """Columns in the order in which a pair of rows needs them, with outputs and the columns of their kernels.

        Those outside come last, and first in the next pair, so that what stands for them is loaded once.
        """
        inside, outside = [], []
        for column in range((self.outputs - 1) * self.stride + self.kernel[1]):
            users = [(x, column - x * self.stride) for x in range(self.outputs)]
            used = [(x, k) for x, k in users if 0 <= k < self.kernel[1]]
            at = column - self.left
            if 0 <= at < self.columns:
                inside.append((at, used))
            else:
                outside.append((_OUTSIDE, used))
        return [*outside, *inside] if pair % 2 else [*inside, *outside]

    @property
    def key(self) -> str:
        """Part of a function's name."""
        numbers = (self.outputs, *self.kernel, self.stride, self.left, self.columns)
        return "_".join(str(number) for number in numbers)


def pack_pairs(weight: Array) -> Array:
    """Weights int8[kernel rows, kernel columns, channels] as int8[channels, quads, kernel columns, 4].

    Rows 0 and 1 of four are the even bytes of a word, 2 and 3 the odd ones. A single row at the end shares data with
    the channel two lanes further, so it is the upper one of its pair for the last two lanes.
    """
    rows, columns, channels = weight.shape
    packed = np.zeros((channels, -(-rows // 4), columns, 4), np.int8)
    lane = np.arange(channels) % LANES
    for row in range(rows):
        place = row % 2 * 2 + row % 4 // 2 + (lane // 2 * 2 if row == rows - 1 and rows % 2 else 0 * lane)
        packed[np.arange(channels), row // 4, :, place] = weight[row].T
    return packed


@dataclass(frozen=True)
class RowOperands:
    """Where a row tile finds its operands.

    data: int8[rows, columns * channels]; weights: int8[channels, quads * kernel columns * 4];
    table: int32[channels, 2]; output: int8[rows, columns * channels]; sums: int32[outputs, channels].
    data_at, output_at: where it begins.
    """

    data: Any
    weights: Any
    table: Any
    output: Any
    sums: Any
    data_at: tuple[Any, Any] = (0, 0)
    output_at: tuple[Any, Any] = (0, 0)


@dataclass(frozen=True)
class DepthwiseRow:
    """A row tile with its requantisation."""

    tile: RowTile
    epilogue: Epilogue

    @property
    def instructions(self) -> float:
        """Instructions of one call, with the caller's."""
        group = len(_prepare(self.tile)) + 8 + LANES * len(_lane(self.tile, self.epilogue))
        return 45 + group * (self.tile.channels // LANES)

    def block(self, operands: RowOperands) -> None:
        """Emit what the tile computes as a TensorIR block's contents."""
        tile, channels = self.tile, self.tile.channels
        (rows, columns), quads = tile.kernel, tile.quads
        weights, table, sums, output = operands.weights, operands.table, operands.sums, operands.output
        (y0, x0), (p0, p1) = operands.data_at, operands.output_at
        T.reads(
            operands.data[y0 : y0 + tile.span, x0 : x0 + tile.columns * channels],
            weights[0:channels, 0 : quads * columns * 4],
            table[0:channels, 0:2],
        )
        T.writes(sums[0 : tile.outputs, 0:channels], output[p0, p1 : p1 + tile.outputs * channels])
        with T.grid(tile.outputs, channels) as (x, c), T.sblock("bias"):
            vx, vc = T.axis.remap("SS", [x, c])
            T.buffer_store(sums, self.epilogue.bias(table[vc, 0]), [vx, vc])
        with T.grid(tile.outputs, channels, rows, columns) as (x, c, i, j), T.sblock("accumulate"):
            vx, vc, vi, vj = T.axis.remap("SSRR", [x, c, i, j])
            column = vx * tile.stride + vj - tile.left
            value = T.Cast("int32", operands.data[y0 + vi * tile.row_step, x0 + column * channels + vc])
            place = (vi // 4 * columns + vj) * 4 + vi % 2 * 2 + vi % 4 // 2
            if rows % 2:
                place += (vi // (rows - 1) if rows > 1 else 1) * (vc % LANES // 2 * 2)
            product = self._inside(column, value) * T.Cast("int32", weights[vc, place])
            T.buffer_store(sums, sums[vx, vc] + product, [vx, vc])
        with T.grid(tile.outputs, channels) as (x, c), T.sblock("requantize"):
            vx, vc = T.axis.remap("SS", [x, c])
            T.buffer_store(
                output,
                self.epilogue.value(sums[vx, vc], table[vc, 0], table[vc, 1]),
                [p0, p1 + vx * channels + vc],
            )

    def _inside(self, column: Any, value: Any) -> Any:
        """The value where the column lies in the image, else the zero point; only guards that can fail are stated."""
        tile = self.tile
        guards = [column >= 0] if tile.left else []
        if (tile.outputs - 1) * tile.stride + tile.kernel[1] - tile.left > tile.columns:
            guards.append(column < tile.columns)
        return tirx.if_then_else(tirx.all(*guards), value, T.int32(tile.zero_point)) if guards else value

    def register(self) -> str:
        """Register the tile as a tensor intrinsic and return its name."""
        tile, channels = self.tile, self.tile.channels
        operands = {
            "data": Operand((tile.span, tile.columns * channels), "int8"),
            "weights": Operand((channels, tile.quads * tile.kernel[1] * 4), "int8"),
            "table": Operand((channels, 2), "int32"),
            "output": Operand((1, tile.outputs * channels), "int8", written=True),
            "sums": Operand((tile.outputs, channels), "int32", written=True, passed=False),
        }
        zeros = (tile.zero_point & 0xFFFF) * 0x10001
        zeros -= (zeros >> 31) << 32
        arguments = [channels, tile.row_step * tile.pitch, zeros, self.epilogue.origin]
        return register(
            self.micro_kernel().name, operands, lambda *buffers: self.block(RowOperands(*buffers)), arguments
        )

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return _row_function(self.tile, self.epilogue)


# Offsets in the frame, above the words: requantization, origin; output, channels; image, row; groups left, zero points.
_TABLE, _ORIGIN, _OUTPUT, _IMAGE, _GROUPS, _ZEROS, _FRAME = 0, 4, 8, 16, 24, 28, 32


def _prepare(tile: RowTile) -> list[str]:
    """Words of four channels; r0 walks over columns, r2: channels, r3: from one row of the kernel to the next."""
    above = 4 * tile.words
    lines = [f"ldr r2, [sp, #{above + _OUTPUT + 4}]"]
    for pair in range(tile.pairs):
        single = 2 * pair + 1 == tile.kernel[0]
        lines.append(f"ldrd r0, r3, [sp, #{above + _IMAGE}]")
        lines += ["add r0, r0, r3, lsl #1"] * pair
        for column in range(0, tile.columns, 2):
            both = column + 1 < tile.columns
            lines += ["ldr r4, [r0]"] + ([] if single else ["ldr r5, [r0, r3]"])
            if both:
                lines += ["add r0, r2", "ldr r6, [r0]"] + ([] if single else ["ldr r7, [r0, r3]"])
            if column + 2 < tile.columns:
                lines.append("add r0, r2")
            for turn in range(2):
                lines += _words(tile, pair, column, turn, single)
    return lines


def _words(tile: RowTile, pair: int, column: int, turn: int, single: bool) -> list[str]:
    """Lanes `turn` and `turn + 2` of one or two columns that are in r4 to r7, a row in each."""
    rotation = ", ror #8" if turn else ""
    both = column + 1 < tile.columns
    used = [4, *([] if single else [5]), *([6] if both else []), *([] if single or not both else [7])]
    lines = [f"sxtb16 r{number + 4}, r{number}{rotation}" for number in used]
    for lane in (turn, turn + 2):
        offset = 4 * ((lane * tile.pairs + pair) * tile.columns + column)
        words = ["r8", "r10"]
        if not single:
            words = ["r12", "lr"]
            for target, low in zip(words[: 1 + both], (8, 10), strict=False):
                lines.append(
                    f"pkhbt {target}, r{low}, r{low + 1}, lsl #16"
                    if lane < 2
                    else f"pkhtb {target}, r{low + 1}, r{low}, asr #16"
                )
        lines.append(
            f"strd {words[0]}, {words[1]}, [sp, #{offset}]" if both else f"str {words[0]}, [sp, #{offset}]"
        )
    return lines


def _lane(tile: RowTile, epilogue: Epilogue) -> list[str]:
    """One channel; r0 walks over its words, r1 over weights."""
    above, columns = 4 * tile.words, tile.kernel[1]
    sums, free = _REGISTERS[: tile.outputs], _REGISTERS[tile.outputs :]
    weights, data = free[:columns], free[-2:]
    touched: list[int] = []
    for _, users in tile.visits(0):
        touched += [x for x, _ in users if x not in touched]
    bias = sums[touched.pop()]
    waiting = set(touched)
    lines = [f"ldr {data[0]}, [sp, #{above + _TABLE}]", f"ldr {bias}, [{data[0]}]"]
    lines.append(f"asr {bias}, {bias}, #{epilogue.bits}")
    loaded: dict[int, str] = {}
    for pair in range(tile.pairs):
        last = pair % 2 or pair + 1 == tile.pairs
        lines += _load(weights, "!" if last else "")
        lines += [f"sxtb16 {one}, {one}{', ror #8' if pair % 2 else ''}" for one in weights]
        # Of the pair before, only what stands for columns outside is the same.
        loaded = {at: register for at, register in loaded.items() if at == _OUTSIDE}
        for at, users in tile.visits(pair):
            if at not in loaded:
                load, loaded = _data(tile, pair, at, data)
                lines.append(load)
            for x, k in users:
                addend = bias if x in waiting else sums[x]
                waiting.discard(x)
                lines.append(f"smlad {sums[x]}, {loaded[at]}, {weights[k]}, {addend}")
    return [*lines, *_finish(tile, epilogue, sums, free)]


def _data(tile: RowTile, pair: int, at: int, registers: list[str]) -> tuple[str, dict[int, str]]:
    """The load of a column, with the next one where there is one, and what is where then."""
    first, second = registers
    if at == _OUTSIDE:
        return f"ldr {first}, [sp, #{4 * tile.words + _ZEROS}]", {at: first}
    offset = 4 * (pair * tile.columns + at)
    if at + 1 < tile.columns:
        return f"ldrd {first}, {second}, [r0, #{offset}]", {at: first, at + 1: second}
    return f"ldr {first}, [r0, #{offset}]", {at: first}


def _load(registers: list[str], writeback: str) -> list[str]:
    """Words at r1; a list of one is no list."""
    if len(registers) == 1:
        return [f"ldr {registers[0]}, [r1]{', #4' if writeback else ''}"]
    return [f"ldmia r1{writeback}, {{{', '.join(registers)}}}"]


def _finish(tile: RowTile, epilogue: Epilogue, sums: list[str], free: list[str]) -> list[str]:
    """Requantise and store a channel, and go on to the next."""
    above = 4 * tile.words
    place, word, multiplier, origin, shift = free[:_EPILOGUE_REGISTERS]
    lines = [f"ldrd {place}, {origin}, [sp, #{above + _TABLE}]"]
    lines += [f"ldrd {word}, {multiplier}, [{place}], #8", f"str {place}, [sp, #{above + _TABLE}]"]
    lines += epilogue.unpack(word, word, origin, shift)
    lines += epilogue.requantize([Accumulator(one, multiplier, word, shift) for one in sums], ("", ""))
    lines.append(f"ldrd {place}, {origin}, [sp, #{above + _OUTPUT}]")
    lines += [f"add {word}, {place}, #1", f"str {word}, [sp, #{above + _OUTPUT}]"]
    for x, one in enumerate(sums):
        lines.append(f"strb {one}, [{place}{f', {origin}' if x % 2 else ''}]")
        if x % 2 and x + 1 < len(sums):
            lines.append(f"add {place}, {place}, {origin}, lsl #1")
    lines += add_immediate("r0", 4 * tile.pairs * tile.columns)
    return [*lines, f"add {word}, sp, #{4 * tile.words}", f"cmp r0, {word}", "bne 2b"]


def _row_function(tile: RowTile, epilogue: Epilogue) -> MicroKernel:
    above = 4 * tile.words
    lines = [
        "push {r4-r11, lr}",
        "ldrd r4, r5, [sp, #36]",
        "ldrd r6, r7, [sp, #44]",
        "lsr r8, r4, #2",
        f"sub sp, #{above + _FRAME}",
        f"strd r2, r7, [sp, #{above + _TABLE}]",
        f"strd r3, r4, [sp, #{above + _OUTPUT}]",
        f"strd r0, r5, [sp, #{above + _IMAGE}]",
        f"strd r8, r6, [sp, #{above + _GROUPS}]",
        "1:",
        *_prepare(tile),
        "mov r0, sp",
        "2:",
        *_lane(tile, epilogue),
        f"ldr r2, [sp, #{above + _IMAGE}]",
        "adds r2, #4",
        f"str r2, [sp, #{above + _IMAGE}]",
        f"ldr r2, [sp, #{above + _GROUPS}]",
        "subs r2, #1",
        f"str r2, [sp, #{above + _GROUPS}]",
        "bne 1b",
        f"add sp, #{above + _FRAME}",
        "pop {r4-r11, pc}",
    ]
    parameters = (
        "const int8_t *data, const int8_t *weights, const int32_t *requantization, int8_t *output,"
        " int32_t channels, int32_t row, int32_t zeros, int32_t origin"
    )
    return naked_function(f"tinyml_dsp_row_{tile.key}_{epilogue.key}", parameters, lines)
