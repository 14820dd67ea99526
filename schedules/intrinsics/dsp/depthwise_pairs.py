"""Depthwise convolution of a few outputs of a row, all channels: SMLAD on pairs of rows.

Where a call makes one short row, as in a streamed region, planes (`depthwise.py`) would set up each channel for a few
outputs. Here one call does all channels, four at a time: two rows of a column become words with neighbours of one
channel, on the stack, and each of the four channels multiplies them with pairs of weights of one column. Weights of
four rows of a column are a word, of which SXTB16 makes two pairs. The bias lies in the sum that is touched last and
serves as the others' first addend. Outputs at the edges, whose windows leave the image, have biases of their own, to
which columns outside have contributed. Where channels are no multiple of four, some belong to the last two groups and
are computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import Array, MicroKernel
from ..tensor_intrinsic import Operand, register
from .assembly import naked_function
from .epilogue import Accumulator, Epilogue
from .stores import neighbour_stores

LANES = 4
_REGISTERS = [*(f"r{number}" for number in range(2, 13)), "lr"]
# Operands of the epilogue, of which the form AWAY has more, and those of them that a pointer to the table is none of.
_EPILOGUE_REGISTERS, _OTHER_REGISTERS = 5, 4
# Words of a channel in the table in front of the biases of its edges.
TABLE_WORDS = 2
# Words on the stack that one instruction of two words reaches.
MAX_WORDS = 240


@dataclass(frozen=True)
class RowTile:
    """Neighbouring outputs of a row, all channels.

    outputs: how many. kernel: rows and columns. row_step: rows of the image from one row of the kernel to the next.
    stride: columns. left: columns of the first window that are outside of the image; columns: inside, of all windows.
    pitch: bytes of a row of the image. channels: at least four. edges: outputs whose windows leave the image, each
    with the place of its bias among those of all edges of a row; biases: how many those are.
    """

    outputs: int
    kernel: tuple[int, int]
    row_step: int
    stride: int
    left: int
    columns: int
    pitch: int
    channels: int
    edges: tuple[tuple[int, int], ...]
    biases: int

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

    @property
    def visits(self) -> list[tuple[int, list[tuple[int, int]]]]:
        """Columns of the image, with outputs that need each and the columns of their kernels."""
        found = []
        for at in range(self.columns):
            users = [(x, at + self.left - x * self.stride) for x in range(self.outputs)]
            found.append((at, [(x, k) for x, k in users if 0 <= k < self.kernel[1]]))
        return found

    @property
    def slots(self) -> int:
        """Channels of all groups of four, those that two groups have included."""
        return -(-self.channels // LANES) * LANES

    def channel(self, slot: Any) -> Any:
        """The channel of a slot."""
        if self.slots == self.channels:
            return slot
        return T.min(slot // LANES * LANES, self.channels - LANES) + slot % LANES

    @property
    def row_words(self) -> int:
        """Words of a channel in the table."""
        return TABLE_WORDS + self.biases

    @property
    def key(self) -> str:
        """Part of a function's name."""
        edges = (f"e{x}at{place}" for x, place in self.edges)
        numbers = (self.outputs, *self.kernel, self.stride, self.left, self.columns, self.biases)
        rest = ["rest"] if self.slots > self.channels else []
        return "_".join([*(str(number) for number in numbers), *edges, *rest])


def in_slots(values: Array) -> Array:
    """Constants [..., channels] as [..., slots]: the last four channels are those of the last group."""
    channels = values.shape[-1]
    slots = np.arange(-(-channels // LANES) * LANES)
    return values[..., np.minimum(slots // LANES * LANES, channels - LANES) + slots % LANES]


def pack_pairs(weight: Array) -> Array:
    """Weights int8[kernel rows, kernel columns, slots] as int8[slots, quads, kernel columns, 4].

    Rows 0 and 1 of four are the even bytes of a word, 2 and 3 the odd ones. A single row at the end shares data with
    the channel two lanes further, so it is the upper one of its pair for the last two lanes.
    """
    rows, columns, slots = weight.shape
    packed = np.zeros((slots, -(-rows // 4), columns, 4), np.int8)
    lane = np.arange(slots) % LANES
    for row in range(rows):
        place = row % 2 * 2 + row % 4 // 2 + (lane // 2 * 2 if row == rows - 1 and rows % 2 else 0 * lane)
        packed[np.arange(slots), row // 4, :, place] = weight[row].T
    return packed


def edge_biases(weight: Array, bias: Array, edges: Sequence[tuple[int, int]], zero_point: int) -> Array:
    """Biases int32[slots, edges] of outputs whose windows leave the image.

    weight: int8[kernel rows, kernel columns, slots]. bias: [slots]. edges: columns of the window that lie in the
    image, from the first to behind the last; the others count as the input zero point.
    """
    columns = weight.astype(np.int64).sum(axis=0)
    outside = [columns.sum(axis=0) - columns[first:end].sum(axis=0) for first, end in edges]
    biases = np.empty((len(bias), len(edges)), np.int32)
    for place, contributing in enumerate(outside):
        biases[:, place] = bias.astype(np.int64) + zero_point * contributing
    return biases


@dataclass(frozen=True)
class RowOperands:
    """Where a row tile finds its operands.

    data: int8[rows, columns * channels]; weights: int8[slots, quads * kernel columns * 4];
    table: int32[slots, 2 + biases of edges]; output: int8[rows, columns * channels]; sums: int32[outputs, slots].
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
        return 45 + group * (self.tile.slots // LANES)

    def block(self, operands: RowOperands) -> None:
        """Emit what the tile computes as a TensorIR block's contents."""
        tile, channels, slots = self.tile, self.tile.channels, self.tile.slots
        (rows, columns), quads = tile.kernel, tile.quads
        weights, table, sums, output = operands.weights, operands.table, operands.sums, operands.output
        (y0, x0), (p0, p1) = operands.data_at, operands.output_at
        T.reads(
            operands.data[y0 : y0 + tile.span, x0 : x0 + tile.columns * channels],
            weights[0:slots, 0 : quads * columns * 4],
            table[0:slots, 0 : tile.row_words],
        )
        T.writes(sums[0 : tile.outputs, 0:slots], output[p0, p1 : p1 + tile.outputs * channels])
        with T.grid(tile.outputs, slots) as (x, c), T.sblock("bias"):
            vx, vc = T.axis.remap("SS", [x, c])
            first = self.epilogue.bias(table[vc, 0])
            for x_of_edge, place in tile.edges:
                first = tirx.if_then_else(vx == x_of_edge, table[vc, TABLE_WORDS + place], first)
            T.buffer_store(sums, first, [vx, vc])
        with T.grid(tile.outputs, slots, rows, columns) as (x, c, i, j), T.sblock("accumulate"):
            vx, vc, vi, vj = T.axis.remap("SSRR", [x, c, i, j])
            column = vx * tile.stride + vj - tile.left
            value = T.Cast(
                "int32", operands.data[y0 + vi * tile.row_step, x0 + column * channels + tile.channel(vc)]
            )
            place = (vi // 4 * columns + vj) * 4 + vi % 2 * 2 + vi % 4 // 2
            if rows % 2:
                place += (vi // (rows - 1) if rows > 1 else 1) * (vc % LANES // 2 * 2)
            product = self._inside(column, value) * T.Cast("int32", weights[vc, place])
            T.buffer_store(sums, sums[vx, vc] + product, [vx, vc])
        with T.grid(tile.outputs, slots) as (x, c), T.sblock("requantize"):
            vx, vc = T.axis.remap("SS", [x, c])
            T.buffer_store(
                output,
                self.epilogue.value(sums[vx, vc], table[vc, 0], table[vc, 1]),
                [p0, p1 + vx * channels + tile.channel(vc)],
            )

    def _inside(self, column: Any, value: Any) -> Any:
        """The value where the column lies in the image, else zero; only guards that can fail are stated."""
        tile = self.tile
        guards = [column >= 0] if tile.left else []
        if (tile.outputs - 1) * tile.stride + tile.kernel[1] - tile.left > tile.columns:
            guards.append(column < tile.columns)
        return tirx.if_then_else(tirx.all(*guards), value, T.int32(0)) if guards else value

    def register(self) -> str:
        """Register the tile as a tensor intrinsic and return its name."""
        tile, channels = self.tile, self.tile.channels
        operands = {
            "data": Operand((tile.span, tile.columns * channels), "int8"),
            "weights": Operand((tile.slots, tile.quads * tile.kernel[1] * 4), "int8"),
            "table": Operand((tile.slots, tile.row_words), "int32"),
            "output": Operand((1, tile.outputs * channels), "int8", written=True),
            "sums": Operand((tile.outputs, tile.slots), "int32", written=True, passed=False),
        }
        arguments = [channels, tile.row_step * tile.pitch, self.epilogue.origin]
        return register(
            self.micro_kernel().name, operands, lambda *buffers: self.block(RowOperands(*buffers)), arguments
        )

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return _row_function(self.tile, self.epilogue)


# Offsets in the frame, above the words: requantization, origin; output, channels; image, row; groups left, channels
# that the last two have in common.
_TABLE, _ORIGIN, _OUTPUT, _CHANNELS, _IMAGE, _GROUPS, _COMMON, _FRAME = 0, 4, 8, 12, 16, 24, 28, 32


class _Registers:
    """What registers hold while channels are computed: r0 walks over words, r1 over weights.

    table, output: registers that keep these pointers, if any are left; `_prepare` leaves them alone.
    """

    def __init__(self, tile: RowTile) -> None:
        columns = tile.kernel[1]
        self.sums, free = _REGISTERS[: tile.outputs], _REGISTERS[tile.outputs :]
        self.weights, self.data = free[:columns], free[-2:]
        kept = free[columns:-2][-min(2, len(free) - _OTHER_REGISTERS) :]
        self.table = kept[-1] if kept else None
        self.output = kept[0] if len(kept) > 1 else None
        self.work = [one for one in free if one not in kept]


def _prepare(tile: RowTile) -> list[str]:
    """Words of four channels; r0 walks over columns, r2: channels, r3: from one row of the kernel to the next."""
    above = 4 * tile.words
    lines = [f"ldr r2, [sp, #{above + _CHANNELS}]"]
    for pair in range(tile.pairs):
        single = 2 * pair + 1 == tile.kernel[0]
        lines.append(f"ldrd r0, r3, [sp, #{above + _IMAGE}]")
        lines += ["add r0, r0, r3, lsl #1"] * pair
        for column in range(0, tile.columns, 2):
            both, goes_on = column + 1 < tile.columns, column + 2 < tile.columns
            if single:
                lines += ["ldr r4, [r0]", *(["ldr r6, [r0, r2]"] if both else [])]
                lines += ["add r0, r0, r2, lsl #1"] * goes_on
            else:
                lines += ["ldr r4, [r0]", "ldr r5, [r0, r3]"]
                lines += ["add r0, r2", "ldr r6, [r0]", "ldr r7, [r0, r3]"] if both else []
                lines += ["add r0, r2"] * goes_on
            lines += _single_words(tile, pair, column) if single else _words(tile, pair, column)
    return lines


def _words(tile: RowTile, pair: int, column: int) -> list[str]:
    """Four lanes of one or two columns: r4 and r5 have two rows of the first one, r6 and r7 of the second."""
    both = column + 1 < tile.columns
    lines = ["pkhbt r8, r4, r5, lsl #16", "pkhtb r4, r5, r4, asr #16"]
    lines += ["pkhbt r9, r6, r7, lsl #16", "pkhtb r5, r7, r6, asr #16"] if both else []
    for lane in range(LANES):
        rotation = ", ror #8" if lane % 2 else ""
        first, second = ("r8", "r9") if lane < 2 else ("r4", "r5")
        lines.append(f"sxtb16 r12, {first}{rotation}")
        lines += [f"sxtb16 lr, {second}{rotation}"] if both else []
        lines.append(_store(tile, pair, column, lane, ("r12", "lr")))
    return lines


def _single_words(tile: RowTile, pair: int, column: int) -> list[str]:
    """The same of a single row, which r4 has of the first column and r6 of the second."""
    lines = []
    for turn in range(2):
        rotation = ", ror #8" if turn else ""
        lines.append(f"sxtb16 r8, r4{rotation}")
        lines += [f"sxtb16 r9, r6{rotation}"] if column + 1 < tile.columns else []
        lines += [_store(tile, pair, column, lane, ("r8", "r9")) for lane in (turn, turn + 2)]
    return lines


def _store(tile: RowTile, pair: int, column: int, lane: int, words: tuple[str, str]) -> str:
    """Store a lane's words of one or two columns."""
    offset = 4 * ((lane * tile.pairs + pair) * tile.columns + column)
    if column + 1 < tile.columns:
        return f"strd {words[0]}, {words[1]}, [sp, #{offset}]"
    return f"str {words[0]}, [sp, #{offset}]"


def _lane(tile: RowTile, epilogue: Epilogue) -> list[str]:
    """One channel; r0 begins as many bytes ahead of its words as it has."""
    registers = _Registers(tile)
    sums, weights, data = registers.sums, registers.weights, registers.data
    lines, bias, waiting = _first_sums(tile, epilogue, registers)
    for pair in range(tile.pairs):
        last = pair % 2 or pair + 1 == tile.pairs
        lines += _load(weights, "!" if last else "")
        lines += [f"sxtb16 {one}, {one}{', ror #8' if pair % 2 else ''}" for one in weights]
        for at, users in tile.visits:
            if at % 2 == 0:
                lines.append(_data(tile, pair, at, data))
            for x, k in users:
                addend = bias if x in waiting else sums[x]
                waiting.discard(x)
                lines.append(f"smlad {sums[x]}, {data[at % 2]}, {weights[k]}, {addend}")
    return [*lines, *_finish(tile, epilogue, registers)]


def _first_sums(tile: RowTile, epilogue: Epilogue, registers: _Registers) -> tuple[list[str], str, set[int]]:
    """Biases: instructions, where that of outputs inside lies, and which of them have it as their first addend."""
    table = registers.table or registers.data[0]
    lines = [] if registers.table else [f"ldr {table}, [sp, #{4 * tile.words + _TABLE}]"]
    lines += [f"ldr {registers.sums[x]}, [{table}, #{4 * (TABLE_WORDS + place)}]" for x, place in tile.edges]
    at_edges = {x for x, _ in tile.edges}
    touched = dict.fromkeys(x for _, users in tile.visits for x, _ in users if x not in at_edges)
    if not touched:
        return lines, "", set()
    *others, last = touched
    bias = registers.sums[last]
    return [*lines, f"ldr {bias}, [{table}]", f"asr {bias}, {bias}, #{epilogue.bits}"], bias, set(others)


def _data(tile: RowTile, pair: int, at: int, registers: list[str]) -> str:
    """The load of a column, with the next one where there is one; the first one moves on from the channel before."""
    first, second = registers
    offset = 4 * (pair * tile.columns + at)
    place = f"[r0, #{offset}]" if pair or at else f"[r0, #{4 * tile.pairs * tile.columns}]!"
    return f"ldrd {first}, {second}, {place}" if at + 1 < tile.columns else f"ldr {first}, {place}"


def _load(registers: list[str], writeback: str) -> list[str]:
    """Words at r1; a list of one is no list."""
    if len(registers) == 1:
        return [f"ldr {registers[0]}, [r1]{', #4' if writeback else ''}"]
    return [f"ldmia r1{writeback}, {{{', '.join(registers)}}}"]


def _finish(tile: RowTile, epilogue: Epilogue, registers: _Registers) -> list[str]:
    """Requantise and store a channel, and go on to the next."""
    above, row = 4 * tile.words, 4 * tile.row_words
    word, multiplier, origin, shift, *_ = registers.work
    if registers.table:
        lines = [f"ldr {origin}, [sp, #{above + _ORIGIN}]"]
        lines += [f"ldrd {word}, {multiplier}, [{registers.table}], #{row}"]
    else:
        place = registers.work[_OTHER_REGISTERS]
        lines = [f"ldrd {place}, {origin}, [sp, #{above + _TABLE}]"]
        lines += [f"ldrd {word}, {multiplier}, [{place}], #{row}", f"str {place}, [sp, #{above + _TABLE}]"]
    lines += epilogue.unpack(word, word, origin, shift)
    sums = [Accumulator(one, multiplier, word, shift) for one in registers.sums]
    lines += epilogue.requantize(sums, ("", ""))
    place, step, free, *_ = registers.work
    if registers.output:
        place = registers.output
        lines += [f"ldr {step}, [sp, #{above + _CHANNELS}]"]
        lines += [*neighbour_stores(registers.sums, place, step, free), f"add {place}, #1"]
    else:
        lines += [f"ldrd {place}, {step}, [sp, #{above + _OUTPUT}]"]
        lines += [*neighbour_stores(registers.sums, place, step, free), f"add {place}, #1"]
        lines += [f"str {place}, [sp, #{above + _OUTPUT}]"]
    return [
        *lines,
        f"add {free}, sp, #{4 * (tile.words - tile.pairs * tile.columns)}",
        f"cmp r0, {free}",
        "bne 2b",
    ]


def _back(tile: RowTile, registers: _Registers) -> list[str]:
    """Go on to the next group, which begins sooner when it is the last; flags and r2 say how many are left."""
    above = 4 * tile.words
    output = registers.output or "r4"
    move = [f"sub {output}, r3"]
    if not registers.output:
        place = f"[sp, #{above + _OUTPUT}]"
        move = [f"ldr {output}, {place}", *move, f"str {output}, {place}"]
    return [
        "beq 3f",
        "cmp r2, #1",
        "bne 1b",
        f"ldr r3, [sp, #{above + _COMMON}]",
        f"ldr r2, [sp, #{above + _IMAGE}]",
        "subs r2, r2, r3",
        f"str r2, [sp, #{above + _IMAGE}]",
        *move,
        "b 1b",
        "3:",
    ]


def _row_function(tile: RowTile, epilogue: Epilogue) -> MicroKernel:
    above, registers, has_rest = 4 * tile.words, _Registers(tile), tile.slots > tile.channels
    lines = [
        "push {r4-r11, lr}",
        "ldrd r4, r5, [sp, #36]",
        "ldr r6, [sp, #44]",
        "add r7, r4, #3",
        "lsr r7, r7, #2",
        *(["rsb r8, r4, r7, lsl #2"] if has_rest else []),
        f"sub sp, #{above + _FRAME}",
        f"strd r2, r6, [sp, #{above + _TABLE}]",
        f"strd r3, r4, [sp, #{above + _OUTPUT}]",
        f"strd r0, r5, [sp, #{above + _IMAGE}]",
        f"strd r7, r8, [sp, #{above + _GROUPS}]",
        *([f"mov {registers.table}, r2"] if registers.table else []),
        *([f"mov {registers.output}, r3"] if registers.output else []),
        "1:",
        *_prepare(tile),
        f"sub r0, sp, #{4 * tile.pairs * tile.columns}",
        "2:",
        *_lane(tile, epilogue),
        f"ldr r2, [sp, #{above + _IMAGE}]",
        "adds r2, #4",
        f"str r2, [sp, #{above + _IMAGE}]",
        f"ldr r2, [sp, #{above + _GROUPS}]",
        "subs r2, #1",
        f"str r2, [sp, #{above + _GROUPS}]",
        *(_back(tile, registers) if has_rest else ["bne 1b"]),
        f"add sp, #{above + _FRAME}",
        "pop {r4-r11, pc}",
    ]
    parameters = (
        "const int8_t *data, const int8_t *weights, const int32_t *requantization, int8_t *output,"
        " int32_t channels, int32_t row, int32_t origin"
    )
    return naked_function(f"tinyml_dsp_row_{tile.key}_{epilogue.key}", parameters, lines)
