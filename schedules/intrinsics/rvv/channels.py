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
from .products import unrolling


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
        return (
            f"rvv_channels_{self.channels}x{self.pixels}_{self.rows}x{self.taps}"
            f"_group{self.group}_{self.epilogue.suffix}"
        )

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        return register(
            f"{self.name}_step{self.step}_dilation{self.dilation}",
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
        ]

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
        second pixel's data, which a7 points to.
        """
        asm, sums = Assembly(), Accumulators(self.channels, self.pixels)
        asm.emit("csrwi vxrm, 0")
        if self.pixels == 2:
            asm.emit("add a7, a0, a6")
        asm.emit(f"li a6, {self.channels}")
        sums.begin(asm)
        size, passes = unrolling(self.taps, self.group)
        rest = self.taps - size * passes
        walked = size * passes if passes > 1 or rest else 0
        if self.rows > 1:
            advance(asm, "a4", -walked)
        with asm.loop("t5", self.rows):
            with asm.loop("t6", passes):
                self._products(asm, sums, size)
                if walked:
                    self._advance(asm, size)
            if rest:
                self._products(asm, sums, rest)
            if self.rows > 1:
                asm.emit("add a0, a0, a4")
                if self.pixels == 2:
                    asm.emit("add a7, a7, a4")
        sums.finish(asm, self.epilogue)
        return asm

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
            ),
        )

    def _advance(self, asm: Assembly, amount: int) -> None:
        advance(asm, "a0", amount)
        if self.pixels == 2:
            advance(asm, "a7", amount)

    def _products(self, asm: Assembly, sums: Accumulators, taps: int) -> None:
        """Sum `taps` products from a0 (and a7) and a1 on."""
        pixels = ("a0", "a7")[: self.pixels]
        for first in range(0, taps, self.group):
            for tap in range(first, min(first + self.group, taps)):
                vector = ("v24", "v28")[tap % 2]
                asm.emit(f"vle8.v {vector}, (a1)", group=sums.group)
                asm.emit(f"addi a1, a1, {self.channels}")
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
