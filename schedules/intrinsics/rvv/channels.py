"""Matrix tile over output channels: a vector of channels for one or two output pixels.

Each tap is a vector of weights times one activation, which is a scalar operand. Products are summed in 16 bits as
far as that is safe (`products`), then added to 32-bit accumulators that hold the bias from the start.
Up to 64 channels of one pixel, or 32 of two, fill the accumulators of VLEN = 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from .accumulators import Accumulators
from .assembly import Assembly, advance
from .description import nest, register
from .epilogue import Epilogue

# Groups of taps that the reduction loop unrolls: a power of two.
UNROLLED_GROUPS = 8


@dataclass(frozen=True)
class ChannelTile:
    """Shape of a tile.

    channels: 1 to 64; 1 to 32 for two pixels.
    pixels: 1 or 2.
    step: bytes between the first taps of the two pixels.
    rows, taps: the window as rows of adjacent bytes.
    dilation: distance of the rows.
    group: taps summed in 16 bits.
    """

    channels: int
    pixels: int
    step: int
    rows: int
    taps: int
    dilation: int
    group: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        accumulators = f"{self._sums.kind}x{self.pixels}"
        return f"rvv_channels_{accumulators}_group{self._together}_{self.epilogue.code}"

    @property
    def _sums(self) -> Accumulators:
        return Accumulators(self.channels, self.pixels)

    @property
    def _together(self) -> int:
        """Taps that are summed in 16 bits, of which a row has some."""
        return min(self.group, self.taps)

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        return register(
            f"{self.name}_{self.channels}_{self.rows}x{self.taps}_step{self.step}_dilation{self.dilation}"
            f"_zero{self.epilogue.zero_point}",
            {
                "data": ((self.data_rows, self.data_columns), "int8"),
                "weight": ((self.rows * self.taps, self.channels), "int8"),
                "table": ((3, self.channels), "int32"),
                "sums": ((self.pixels, self.channels), "int32"),
                "output": ((self.pixels, self.channels), "int8"),
            },
            lambda *buffers: self.block(TileOperands(*buffers)),
            self._arguments,
            kernel=self.name,
            written=2,
        )

    def _arguments(self, data: Any, weight: Any, table: Any, _sums: Any, output: Any) -> list[Any]:
        return [
            *(buffer.access_ptr("r") for buffer in (data, weight, table)),
            output.access_ptr("w"),
            data.strides[0] * self.dilation,
            output.strides[0],
            self.step,
            self.channels,
            self.rows,
            *self._walk,
            self.epilogue.zero_point,
        ]

    @property
    def _walk(self) -> tuple[int, int, int, int, int]:
        """Groups that the first round skips, and their taps; with them, taps of whole groups; taps left; all taps."""
        groups, left = divmod(self.taps, self._together)
        skipped = -groups % UNROLLED_GROUPS
        before, whole = skipped * self._together, (groups + skipped) * self._together
        return skipped, before, whole, left, whole + left

    @property
    def data_rows(self) -> int:
        """Rows of data from the first to the last that is read."""
        return (self.rows - 1) * self.dilation + 1

    @property
    def data_columns(self) -> int:
        """Bytes of each row from the first to the last that is read."""
        return (self.pixels - 1) * self.step + self.taps

    def block(self, operands: TileOperands) -> None:
        """Emit the tile as a TensorIR block in its plain meaning."""
        data, weight, table = operands.data, operands.weight, operands.table
        sums, output = operands.sums, operands.output
        (y, x), k0, q0, (p, c) = operands.data_at, operands.weight_at, operands.table_at, operands.output_at
        depth = self.rows * self.taps
        T.reads(
            data[y : y + self.data_rows, x : x + self.data_columns],
            weight[k0 : k0 + depth, 0 : self.channels],
            table[q0 : q0 + 3, 0 : self.channels],
        )
        T.writes(
            sums[0 : self.pixels, 0 : self.channels],
            output[p : p + self.pixels, c : c + self.channels],
        )
        outputs = (self.pixels, self.channels)
        with nest("bias", outputs) as (i, j):
            T.buffer_store(sums, table[q0, j], [i, j])
        with nest("sum", outputs, (self.rows, self.taps)) as (i, j, r, t):
            activation = T.Cast("int32", data[y + r * self.dilation, x + i * self.step + t])
            factor = T.Cast("int32", weight[k0 + r * self.taps + t, j])
            T.buffer_store(sums, sums[i, j] + activation * factor, [i, j])
        with nest("requantize", outputs) as (i, j):
            value = self.epilogue.describe(sums[i, j], table[q0 + 1, j], table[q0 + 2, j])
            T.buffer_store(output, value, [p + i, c + j])

    def assemble(self) -> Assembly:
        """Code of the tile.

        a0 data, a1 weight, a2 table, a3 output, a4 and a5 row distances of data and output, a6 distance of the
        second pixel's data, a7 channels; on the stack: rows, `_walk` and the zero point. After the beginning, a6 holds
        the channels and a7 points to the second pixel's data.
        """
        asm, sums = Assembly(), self._sums
        rows, skipped, before, whole, left, walked, zero_point = (f"{4 * index}(sp)" for index in range(7))
        asm.emit("csrwi vxrm, 0", *(["add t0, a0, a6"] if self.pixels == 2 else []), "mv a6, a7")
        asm.emit(*(["mv a7, t0"] if self.pixels == 2 else []))
        sums.begin(asm)
        row, again, end, done = 11, 12, 13, 16
        asm.emit(f"lla t4, {again}f", f"lla t1, {end}f", "sub t1, t1, t4", f"lw t0, {skipped}")
        asm.emit(f"srli t1, t1, {UNROLLED_GROUPS.bit_length() - 1}", "mul t1, t1, t0", "add t4, t4, t1")
        asm.emit(f"lw t1, {before}", "sub a0, a0, t1")
        asm.emit(*(["sub a7, a7, t1"] if self.pixels == 2 else []), f"lw t5, {rows}")
        groups, rest = divmod(self.taps, self._together)
        asm.lines.append(f"{row}:")
        with asm.repeated(self.rows):
            asm.emit(f"lw t6, {whole}", "add t6, t6, a0", "jr t4")
            asm.lines.append(f"{again}:")
            for group in range(UNROLLED_GROUPS):
                with asm.repeated(groups / UNROLLED_GROUPS):
                    self._products(asm, sums, group * self._together, self._together)
            asm.lines.append(f"{end}:")
            with asm.repeated(-(-groups // UNROLLED_GROUPS)):
                self._advance(asm, UNROLLED_GROUPS * self._together)
                asm.emit(f"bne a0, t6, {again}b")
            self._left(asm, sums, left, rest)
            asm.emit("addi t5, t5, -1", f"beqz t5, {done}f")
        with asm.repeated(self.rows - 1):
            asm.emit(f"lw t0, {walked}", "sub t0, a4, t0", "add a0, a0, t0")
            asm.emit(*(["add a7, a7, t0"] if self.pixels == 2 else []), f"j {row}b")
        asm.lines.append(f"{done}:")
        sums.finish(asm, self.epilogue, zero_point)
        return asm

    def _left(self, asm: Assembly, sums: Accumulators, left: str, rest: int) -> None:
        """Taps that fill no group, one by one."""
        if self._together == 1:
            return
        begin, end = 14, 15
        asm.emit(f"lw t6, {left}", f"beqz t6, {end}f")
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
                "int32_t data_pitch",
                "int32_t output_pitch",
                "int32_t second_pixel",
                "int32_t channels",
                "int32_t rows",
                "int32_t skipped",
                "int32_t before",
                "int32_t whole",
                "int32_t left",
                "int32_t walked",
                "int32_t zero_point",
            ),
        )

    def _advance(self, asm: Assembly, amount: int) -> None:
        advance(asm, "a0", amount)
        if self.pixels == 2:
            advance(asm, "a7", amount)

    def _products(self, asm: Assembly, sums: Accumulators, first: int, taps: int) -> None:
        """Sum products of `taps` taps in 16 bits, the first one `first` bytes from a0 (and a7), weights from a1 on."""
        pixels = ("a0", "a7")[: self.pixels]
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

    data int8[rows, bytes]; weight int8[.., channels], one row per tap; table int32[3.., channels]; sums
    int32[pixels, channels], the accumulators; output int8[pixels.., channels..].
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
