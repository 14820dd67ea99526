"""Depthwise tile: a vector of channels, of one output pixel or of several adjacent ones, and strips of such tiles.

Rows of NHWC are vectors already: with a stride of one, the channels of adjacent pixels follow each other in the input
as in the output, so few channels fill a vector with several pixels (and the weights are repeated for each). A depth
multiplier gathers each input channel into the lanes of its outputs by an indexed load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..description import nest, register
from .accumulators import Accumulators, LaneTable
from .assembly import Assembly, frame_bytes
from .epilogue import Epilogue

# Taps that are unrolled altogether; above, rows are a loop.
UNROLLED = 25


def unrolled_rows(kernel: tuple[int, int]) -> int:
    """Rows of a window whose taps are unrolled together: all or one."""
    return kernel[0] if kernel[0] * kernel[1] <= UNROLLED else 1


@dataclass(frozen=True)
class DepthwiseTile:
    """Shape of a strip of tiles.

    lanes: 1 to 64 outputs of a tile; 1 to 32 with a multiplier.
    tiles: of the strip.
    data_step, output_step: bytes from tile to tile in data and output.
    kernel: rows and columns of the window.
    row_step, tap_step: distance of its rows in rows of the data, and of its columns in bytes.
    multiplier: outputs per input channel.
    group: taps summed in 16 bits.
    """

    lanes: int
    tiles: int
    data_step: int
    output_step: int
    kernel: tuple[int, int]
    row_step: int
    tap_step: int
    multiplier: int
    group: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        rows, columns = self.kernel
        multiplier = f"_multiplier{self.multiplier}" if self.multiplier > 1 else ""
        halves = Accumulators(self.lanes).halves
        return f"rvv_depthwise_{halves}_{rows}x{columns}_group{self.group}{multiplier}_{self.epilogue.code}"

    def block(self, operands: DepthwiseOperands) -> None:
        """Emit the strip as a TensorIR block in its plain meaning."""
        data, weight, table = operands.data, operands.weight, operands.table
        sums, output = operands.sums, operands.output
        (y, x), c, (oy, ox) = operands.data_at, operands.lane, operands.output_at
        (rows, columns), lanes = self.kernel, self.lanes
        height, width = self._window
        T.reads(
            data[y : y + height, x : x + width],
            weight[0 : rows * columns + 1, c : c + lanes],
            table[0:2, c : c + lanes],
        )
        T.writes(sums[0 : self.tiles, 0:lanes], output[oy, ox : ox + self._written])
        outputs = (self.tiles, lanes)
        with nest("bias", outputs) as (n, i):
            T.buffer_store(sums, table[0, c + i], [n, i])
        with nest("sum", outputs, self.kernel) as (n, i, r, t):
            channel = 0 if lanes <= self.multiplier else T.floordiv(i, self.multiplier)
            column = x + n * self.data_step + t * self.tap_step + channel
            activation = T.Cast("int32", data[y + r * self.row_step, column])
            factor = T.Cast("int32", weight[r * columns + t, c + i])
            T.buffer_store(sums, sums[n, i] + activation * factor, [n, i])
        with nest("requantize", outputs) as (n, i):
            shift = T.Cast("int32", weight[rows * columns, c + i])
            value = self.epilogue.describe(sums[n, i], table[1, c + i], shift)
            T.buffer_store(output, value, [oy, ox + n * self.output_step + i])

    @property
    def _window(self) -> tuple[int, int]:
        rows, columns = self.kernel
        inputs = -(-self.lanes // self.multiplier)
        width = (self.tiles - 1) * self.data_step + (columns - 1) * self.tap_step + inputs
        return (rows - 1) * self.row_step + 1, width

    @property
    def _written(self) -> int:
        """Bytes from the first to the last output."""
        return (self.tiles - 1) * self.output_step + self.lanes

    def register(self) -> str:
        """Register the strip as a TensorIntrin and return its name."""
        lanes, (rows, columns) = self.lanes, self.kernel
        return register(
            f"{self.name}_{lanes}x{self.tiles}_{self.data_step}_{self.output_step}"
            f"_steps{self.row_step}_{self.tap_step}_zero{self.epilogue.zero_point}",
            {
                "data": (self._window, "int8"),
                "weight": ((rows * columns + 1, lanes), "int8"),
                "table": ((2, lanes), "int32"),
                "sums": ((self.tiles, lanes), "int32"),
                "output": ((1, self._written), "int8"),
            },
            lambda *buffers: self.block(DepthwiseOperands(*buffers)),
            self._arguments,
            kernel=self.name,
            written=2,
        )

    def _arguments(self, data: Any, weight: Any, table: Any, _sums: Any, output: Any) -> list[Any]:
        return [
            *(buffer.access_ptr("r") for buffer in (data, weight, table)),
            output.access_ptr("w"),
            data.strides[0] * self.row_step,
            self.tap_step,
            self.lanes,
            self.data_step,
            self.output_step,
            self.epilogue.zero_point,
            self.tiles,
            weight.strides[0],
        ]

    def assemble(self) -> Assembly:
        """Code of the strip.

        a0 data, a1 weight, a2 table, a3 output, a4 and a5 distances of rows and taps in bytes, a6 lanes, a7 distance of
        the tiles in the data; on the stack: their distance in the output, zero point, tiles, and the distance of the
        rows of weights and of table. t2 and t3 walk over rows of the data and the weights, behind which lie the shifts.
        """
        rows = self.kernel[0]
        asm, sums = Assembly(), Accumulators(self.lanes)
        table = LaneTable(sums)
        saved = ("s4", "s5", "s9", *table.registers)
        frame = frame_bytes(saved)
        output_step, zero_point, tiles, width = (f"{frame + 4 * index}(sp)" for index in range(4))
        tile = 11
        with asm.saved(saved):
            asm.emit(f"lw s5, {output_step}", f"lw s4, {tiles}", f"lw s9, {width}")
            table.prepare(asm, zero_point, "s9")
            asm.lines.append(f"{tile}:")
            with asm.repeated(self.tiles):
                table.begin(asm)
                asm.emit("mv t2, a0", "mv t3, a1")
                if self.multiplier > 1:
                    asm.emit("vid.v v26", group=sums.group)
                    asm.emit(f"li t0, {self.multiplier}")
                    asm.emit("vdivu.vx v26, v26, t0", group=sums.group)
                together = unrolled_rows(self.kernel)
                with asm.loop("t5", rows // together):
                    self._products(asm, sums, together)
                    if together < rows:
                        asm.emit("add t2, t2, a4")
                with asm.finishing():
                    table.finish(asm, self.epilogue, "t3", "s5")
                asm.emit("add a0, a0, a7", "addi s4, s4, -1", f"bnez s4, {tile}b")
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
                "int32_t row_pitch",
                "int32_t tap_pitch",
                "int32_t lanes",
                "int32_t data_step",
                "int32_t output_step",
                "int32_t zero_point",
                "int32_t tiles",
                "int32_t width",
            ),
        )

    def _products(self, asm: Assembly, sums: Accumulators, rows: int) -> None:
        columns = self.kernel[1]
        taps = rows * columns
        weight = "v30" if self.multiplier > 1 else "v28"
        for tap in range(taps):
            row, column = divmod(tap, columns)
            if row and not column:
                asm.emit("add t2, t2, a4")
            pointer = "t6" if column else "t2"
            if column:
                asm.emit(f"add t6, {'t2' if column == 1 else 't6'}, a5")
            load = f"vluxei8.v v24, ({pointer}), v26" if self.multiplier > 1 else f"vle8.v v24, ({pointer})"
            asm.emit(load, f"vle8.v {weight}, (t3)", group=sums.group)
            asm.emit("add t3, t3, s9")
            multiply = "vwmul" if tap % self.group == 0 else "vwmacc"
            asm.emit(f"{multiply}.vv v16, v24, {weight}", group=2 * sums.group)
            if tap % self.group == self.group - 1 or tap == taps - 1:
                sums.add(asm)


@dataclass(frozen=True)
class DepthwiseOperands:
    """Buffers of a tile, all two-dimensional, and where in them it begins.

    data int8[rows, bytes]; weight int8[taps + 1, lanes..], the shifts last; table int32[2, lanes..] of biases and
    multipliers; lane: the first in both; sums int32[tiles, lanes], the accumulators; output int8[rows, bytes].
    """

    data: Any
    weight: Any
    table: Any
    sums: Any
    output: Any
    data_at: tuple[Any, Any] = (0, 0)
    lane: Any = 0
    output_at: tuple[Any, Any] = (0, 0)
