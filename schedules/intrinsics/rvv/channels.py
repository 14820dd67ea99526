"""Matrix tile over output channels: a vector of channels for one or two output pixels; strips of tiles.

A strip is a row of pixels, or of vectors of channels where there is one pixel.

Each tap is a vector of weights times one activation, which is a scalar operand. Products are summed in 16 bits as
far as that is safe (`products`), then added to 32-bit accumulators that hold the bias from the start.
Up to 64 channels of one pixel, or 32 of two, fill the accumulators of VLEN = 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..description import nest, register
from .accumulators import Accumulators, LaneTable
from .assembly import Assembly, advance, frame_bytes
from .epilogue import Epilogue

# Groups of taps that the reduction loop unrolls: a power of two.
UNROLLED_GROUPS = 8


@dataclass(frozen=True)
class ChannelTile:
    """Shape of a strip of tiles.

    channels: of a vector, 1 to 64; 1 to 32 for two pixels.
    vectors, pixels: of the strip, of which one is 1 or both.
    together: pixels of a tile, 1 or 2, of which `pixels` is a multiple.
    step: bytes between the first taps of adjacent pixels.
    rows, taps: the window as rows of adjacent bytes.
    dilation: distance of the rows.
    group: taps summed in 16 bits.
    """

    channels: int
    vectors: int
    pixels: int
    together: int
    step: int
    rows: int
    taps: int
    dilation: int
    group: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        accumulators = f"{Accumulators(self.channels).halves}x{self.together}"
        return f"rvv_channels_{accumulators}_group{self._group}_{self.epilogue.code}"

    @property
    def _group(self) -> int:
        """Taps that are summed in 16 bits, of which a row has some."""
        return min(self.group, self.taps)

    def register(self) -> str:
        """Register the strip as a TensorIntrin and return its name."""
        return register(
            f"{self.name}_{self.channels}x{self.vectors}x{self.pixels}_{self.rows}x{self.taps}_step{self.step}"
            f"_dilation{self.dilation}_zero{self.epilogue.zero_point}",
            {
                "data": ((self.data_rows, self.data_columns), "int8"),
                "weight": ((self.vectors * self.depth, self.channels), "int8"),
                "table": ((self.vectors, 2 * self.channels), "int32"),
                "sums": ((self.vectors * self.pixels, self.channels), "int32"),
                "output": ((self.pixels, self.vectors * self.channels), "int8"),
            },
            lambda *buffers: self.block(TileOperands(*buffers)),
            self._arguments,
            kernel=self.name,
            written=2,
        )

    def _arguments(self, data: Any, weight: Any, table: Any, _sums: Any, output: Any) -> list[Any]:
        row_pitch = data.strides[0] * self.dilation
        # From the end of a row to the first group of the next, and from the end of a tile to the next tile.
        groups = self.taps // self._group
        walked = self.taps + -groups % UNROLLED_GROUPS * self._group
        step = 0 if self.pixels == 1 else self.together * self.step
        strip_of_channels = self.vectors > 1
        return [
            *(buffer.access_ptr("r") for buffer in (data, weight, table)),
            output.access_ptr("w"),
            row_pitch - walked,
            self.channels if strip_of_channels else output.strides[0],
            self.channels,
            step - walked - row_pitch * (self.rows - 1),
            self.rows,
            self.taps,
            self.epilogue.zero_point,
            self.vectors * self.pixels // self.together,
            -self.channels if strip_of_channels else (self.depth - 1) * self.channels,
            self.step if self.together == 2 else 8 * self.channels * strip_of_channels,
        ]

    @property
    def depth(self) -> int:
        """Rows of the weights of a vector: the taps and the shifts."""
        return self.rows * self.taps + 1

    @property
    def data_rows(self) -> int:
        """Rows of data from the first to the last that is read."""
        return (self.rows - 1) * self.dilation + 1

    @property
    def data_columns(self) -> int:
        """Bytes of each row from the first to the last that is read."""
        return (self.pixels - 1) * self.step + self.taps

    def block(self, operands: TileOperands) -> None:
        """Emit the strip as a TensorIR block in its plain meaning."""
        data, weight, table = operands.data, operands.weight, operands.table
        sums, output = operands.sums, operands.output
        (y, x), k0, q, (p, c) = operands.data_at, operands.weight_at, operands.table_at, operands.output_at
        depth, channels, vectors = self.depth, self.channels, self.vectors
        T.reads(
            data[y : y + self.data_rows, x : x + self.data_columns],
            weight[k0 : k0 + vectors * depth, 0:channels],
            table[q : q + vectors, 0 : 2 * channels],
        )
        T.writes(
            sums[0 : self.pixels * vectors, 0:channels],
            output[p : p + self.pixels, c : c + vectors * channels],
        )
        outputs = (self.pixels, vectors, channels)
        with nest("bias", outputs) as (i, v, j):
            T.buffer_store(sums, table[q + v, j], [i * vectors + v, j])
        with nest("sum", outputs, (self.rows, self.taps)) as (i, v, j, r, t):
            activation = T.Cast("int32", data[y + r * self.dilation, x + i * self.step + t])
            factor = T.Cast("int32", weight[k0 + v * depth + r * self.taps + t, j])
            total = i * vectors + v
            T.buffer_store(sums, sums[total, j] + activation * factor, [total, j])
        with nest("requantize", outputs) as (i, v, j):
            multiplier = table[q + v, j + channels]
            shift = T.Cast("int32", weight[k0 + v * depth + (depth - 1), j])
            value = self.epilogue.describe(sums[i * vectors + v, j], multiplier, shift)
            T.buffer_store(output, value, [p + i, c + v * channels + j])

    def assemble(self) -> Assembly:
        """Code of the strip.

        a0 data, a1 weight, a2 table, a3 output, a4 from the end of a row of the window to the next, a5 distance of the
        tiles in the output, a6 channels, a7 from the end of a window to the next tile's; on the stack: rows, taps, zero
        point, tiles, by how much the weights go back after a tile, and, for two pixels, their distance (kept in s0,
        which walks), else the distance of the tiles' tables or 0 (s6).
        """
        asm, sums = Assembly(), Accumulators(self.channels, self.together)
        table, pair = LaneTable(sums), self.together == 2
        saved = ("s2", "s4", "s5", "s7", "s0" if pair else "s6", *table.registers)
        frame = frame_bytes(saved)
        rows, taps, zero_point, tiles, back, step = (f"{frame + 4 * index}(sp)" for index in range(6))
        row, again, end, done, tile, out = 11, 12, 13, 16, 17, 18
        groups, rest = divmod(self.taps, self._group)
        with asm.saved(saved):
            table.prepare(asm, zero_point, "a6")
            asm.emit(
                f"lw t1, {taps}", f"lw s4, {tiles}", f"lw s2, {back}", f"lw {'s0' if pair else 's6'}, {step}"
            )
            self._walk(asm, again, end)
            if pair:
                asm.emit("add s0, s0, a0")
            asm.lines.append(f"{tile}:")
            with asm.repeated(self.vectors * self.pixels // self.together):
                table.begin(asm)
                asm.emit(f"lw t5, {rows}")
                asm.lines.append(f"{row}:")
                with asm.repeated(self.rows):
                    asm.emit("add t6, a0, s5", f"jr {self._entry}")
                    asm.lines.append(f"{again}:")
                    for group in range(UNROLLED_GROUPS):
                        with asm.repeated(groups / UNROLLED_GROUPS):
                            self._products(asm, sums, group * self._group, self._group)
                    asm.lines.append(f"{end}:")
                    with asm.repeated(-(-groups // UNROLLED_GROUPS)):
                        self._advance(asm, UNROLLED_GROUPS * self._group)
                        asm.emit(f"bne a0, t6, {again}b")
                    self._left(asm, sums, rest)
                    asm.emit("addi t5, t5, -1", f"beqz t5, {done}f")
                with asm.repeated(self.rows - 1):
                    asm.emit("add a0, a0, a4", *(["add s0, s0, a4"] if pair else []), f"j {row}b")
                asm.lines.append(f"{done}:")
                with asm.finishing():
                    table.finish(asm, self.epilogue, "a1", "a5")
                asm.emit("sub a1, a1, s2", "add a0, a0, a7", "addi s4, s4, -1")
                if pair:
                    asm.emit("add s0, s0, a7", f"bnez s4, {tile}b")
                else:
                    asm.emit(f"beqz s4, {out}f", f"beqz s6, {tile}b")
            if not pair:
                with asm.repeated(self.vectors - 1):
                    asm.emit("add a2, a2, s6", "add s8, s8, s6", f"j {tile}b")
                asm.lines.append(f"{out}:")
        return asm

    @property
    def _entry(self) -> str:
        """Register that says where the reduction loop is entered; the second half's lanes or pixel use the other."""
        return "t4" if self.together == 2 else "t3"

    def _walk(self, asm: Assembly, again: int, end: int) -> None:
        """From the taps in t1: where the loop is entered, s5 bytes of whole rounds, s7 taps that fill no group.

        The data begins where a first round that skips nothing would.
        """
        group, entry = self._group, self._entry
        asm.emit(f"li t0, {group}", "divu t2, t1, t0", "mul s5, t2, t0", "sub s7, t1, s5")
        asm.emit("neg t2, t2", f"andi t2, t2, {UNROLLED_GROUPS - 1}", "mul t1, t2, t0", "sub a0, a0, t1")
        asm.emit("add s5, s5, t1", f"lla {entry}, {again}f", f"lla t1, {end}f", f"sub t1, t1, {entry}")
        asm.emit(f"srli t1, t1, {UNROLLED_GROUPS.bit_length() - 1}", "mul t1, t1, t2")
        asm.emit(f"add {entry}, {entry}, t1")

    def _left(self, asm: Assembly, sums: Accumulators, rest: int) -> None:
        """Taps that fill no group, one by one."""
        if self._group == 1:
            return
        begin, end = 14, 15
        asm.emit(f"beqz s7, {end}f", "mv t6, s7")
        asm.lines.append(f"{begin}:")
        with asm.repeated(rest):
            self._products(asm, sums, 0, 1)
            self._advance(asm, 1)
            asm.emit("addi t6, t6, -1", f"bnez t6, {begin}b")
        asm.lines.append(f"{end}:")

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return self.assemble().micro_kernel(
            self.name,
            (
                "const int8_t *data",
                "const int8_t *weight",
                "const int32_t *table",
                "int8_t *output",
                "int32_t next_row",
                "int32_t output_pitch",
                "int32_t channels",
                "int32_t next_tile",
                "int32_t rows",
                "int32_t taps",
                "int32_t zero_point",
                "int32_t tiles",
                "int32_t weights",
                "int32_t step",
            ),
        )

    def _advance(self, asm: Assembly, amount: int) -> None:
        advance(asm, "a0", amount)
        if self.together == 2:
            advance(asm, "s0", amount)

    def _products(self, asm: Assembly, sums: Accumulators, first: int, taps: int) -> None:
        """Sum products of `taps` taps in 16 bits, the first one `first` bytes from a0 (and s0), weights from a1 on."""
        pixels = ("a0", "s0")[: self.together]
        for tap in range(first, first + taps):
            vector = ("v24", "v28")[tap % 2]
            asm.emit(f"vle8.v {vector}, (a1)", group=sums.group)
            asm.emit("add a1, a1, a6")
            for index, (pixel, product) in enumerate(zip(pixels, sums.products, strict=True)):
                scalar = f"t{2 * (tap % 2) + index}"
                asm.emit(f"lb {scalar}, {tap}({pixel})")
                multiply = (
                    f"vwmul.vx {product}, {vector}, {scalar}"
                    if tap == first
                    else f"vwmacc.vx {product}, {scalar}, {vector}"
                )
                asm.emit(multiply, group=2 * sums.group)
        sums.add(asm)


@dataclass(frozen=True)
class TileOperands:
    """Buffers of a tile, all two-dimensional, and where in them it begins.

    data int8[rows, bytes]; weight int8[.., channels], for each vector of channels one row per tap and one of shifts;
    table int32[.., 2 * channels], its biases, then its multipliers; sums int32[vectors * pixels, channels], the
    accumulators; output int8[pixels.., channels..].
    """

    data: Any
    weight: Any
    table: Any
    sums: Any
    output: Any
    data_at: tuple[Any, Any] = (0, 0)
    weight_at: Any = 0
    table_at: Any = 0
    output_at: tuple[Any, Any] = (0, 0)
