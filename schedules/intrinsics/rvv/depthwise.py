"""Depthwise tile: a vector of channels, of one output pixel or of several adjacent ones.

Rows of NHWC are vectors already: with a stride of one, the channels of adjacent pixels follow each other in the input
as in the output, so few channels fill a vector with several pixels (and the weights are repeated for each). A depth
multiplier gathers each input channel into the lanes of its outputs by an indexed load.
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

# Taps that are unrolled altogether; above, rows are a loop.
UNROLLED = 25


def unrolled_rows(kernel: tuple[int, int]) -> int:
    """Rows of a window whose taps are unrolled together: all or one."""
    return kernel[0] if kernel[0] * kernel[1] <= UNROLLED else 1


@dataclass(frozen=True)
class DepthwiseTile:
    """Shape of a tile.

    lanes: 1 to 64 outputs; 1 to 32 with a multiplier.
    kernel: rows and columns of the window.
    row_step, tap_step: distance of its rows in rows of the data, and of its columns in bytes.
    multiplier: outputs per input channel.
    group: taps summed in 16 bits.
    """

    lanes: int
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
        return f"rvv_depthwise_{self.lanes}_{rows}x{columns}_group{self.group}{multiplier}_{self.epilogue.suffix}"

    def block(self, operands: DepthwiseOperands) -> None:
        """Emit the tile as a TensorIR block in its plain meaning."""
        data, weight, table = operands.data, operands.weight, operands.table
        sums, output = operands.sums, operands.output
        (y, x), k0, q0, (oy, ox) = operands.data_at, operands.weight_at, operands.table_at, operands.output_at
        (rows, columns), lanes = self.kernel, self.lanes
        height, width = self._window
        T.reads(
            data[y : y + height, x : x + width],
            weight[k0 : k0 + rows * columns, 0:lanes],
            table[q0 : q0 + 3, 0:lanes],
        )
        T.writes(sums[0, 0:lanes], output[oy, ox : ox + lanes])
        with nest("bias", (lanes,)) as (i,):
            T.buffer_store(sums, table[q0, i], [0, i])
        with nest("sum", (lanes,), self.kernel) as (i, r, t):
            channel = 0 if lanes <= self.multiplier else T.floordiv(i, self.multiplier)
            activation = T.Cast("int32", data[y + r * self.row_step, x + t * self.tap_step + channel])
            factor = T.Cast("int32", weight[k0 + r * columns + t, i])
            T.buffer_store(sums, sums[0, i] + activation * factor, [0, i])
        with nest("requantize", (lanes,)) as (i,):
            value = self.epilogue.describe(sums[0, i], table[q0 + 1, i], table[q0 + 2, i])
            T.buffer_store(output, value, [oy, ox + i])

    @property
    def _window(self) -> tuple[int, int]:
        rows, columns = self.kernel
        inputs = -(-self.lanes // self.multiplier)
        return (rows - 1) * self.row_step + 1, (columns - 1) * self.tap_step + inputs

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        lanes, (rows, columns) = self.lanes, self.kernel
        return register(
            f"{self.name}_steps{self.row_step}_{self.tap_step}",
            {
                "data": (self._window, "int8"),
                "weight": ((rows * columns, lanes), "int8"),
                "table": ((3, lanes), "int32"),
                "sums": ((1, lanes), "int32"),
                "output": ((1, lanes), "int8"),
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
        ]

    def assemble(self) -> Assembly:
        """Code of the tile: a0 data, a1 weight, a2 table, a3 output, a4 and a5 distances of rows and taps in bytes."""
        rows = self.kernel[0]
        asm, sums = Assembly(), Accumulators(self.lanes)
        asm.emit("csrwi vxrm, 0", f"li a6, {self.lanes}")
        sums.begin(asm)
        if self.multiplier > 1:
            asm.emit("vid.v v26", group=sums.group)
            asm.emit(f"li t0, {self.multiplier}")
            asm.emit("vdivu.vx v26, v26, t0", group=sums.group)
        together = unrolled_rows(self.kernel)
        with asm.loop("t5", rows // together):
            self._products(asm, sums, together)
            if together < rows:
                asm.emit("add a0, a0, a4")
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
                "int32_t row_pitch",
                "int32_t tap_pitch",
            ),
        )

    def _products(self, asm: Assembly, sums: Accumulators, rows: int) -> None:
        columns = self.kernel[1]
        taps = rows * columns
        weight = "v30" if self.multiplier > 1 else "v28"
        for tap in range(taps):
            row, column = divmod(tap, columns)
            if row and not column:
                asm.emit("add a0, a0, a4")
            pointer = "a0" if column == 0 else "t4"
            if column:
                asm.emit(f"add t4, {'a0' if column == 1 else 't4'}, a5")
            load = f"vluxei8.v v24, ({pointer}), v26" if self.multiplier > 1 else f"vle8.v v24, ({pointer})"
            asm.emit(load, f"vle8.v {weight}, (a1)", group=sums.group)
            advance(asm, "a1", self.lanes)
            multiply = "vwmul" if tap % self.group == 0 else "vwmacc"
            asm.emit(f"{multiply}.vv v16, v24, {weight}", group=2 * sums.group)
            if tap % self.group == self.group - 1 or tap == taps - 1:
                sums.add(asm)


@dataclass(frozen=True)
class DepthwiseOperands:
    """Buffers of a tile, all two-dimensional, and where in them it begins.

    data int8[rows, bytes]; weight int8[.., lanes], one row per tap; table int32[3.., lanes]; sums int32[1, lanes], the
    accumulators; output int8[rows, bytes].
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
