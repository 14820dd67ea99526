"""Matrix tile over output pixels: a vector of pixels for one or two output channels.

Where channels are few, pixels fill the vectors: each tap is a vector of activations times one weight, which is a scalar
operand. Activations lie in planes, one vector per tap or per input channel; up to 64 pixels of one channel, or 32 of
two, fill the accumulators of VLEN = 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..description import nest, register
from .accumulators import Accumulators
from .assembly import Assembly, advance
from .epilogue import Epilogue
from .products import unrolling


@dataclass(frozen=True)
class PixelTile:
    """Shape of a tile.

    rows, columns: output pixels, `pitch` lanes from row to row; lanes between them are computed and dropped.
    channels: 1, or 2 for up to 32 lanes.
    taps: planes; the window takes each at `kernel` positions, `row_step` and `column_step` bytes apart.
    group: taps summed in 16 bits.
    """

    rows: int
    columns: int
    pitch: int
    channels: int
    taps: int
    kernel: tuple[int, int]
    row_step: int
    column_step: int
    group: int
    epilogue: Epilogue

    @property
    def lanes(self) -> int:
        """Lanes of the vector."""
        return (self.rows - 1) * self.pitch + self.columns

    @property
    def window(self) -> int:
        """Weights of one channel."""
        return self.taps * self.kernel[0] * self.kernel[1]

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        shape = f"{self.rows}x{self.columns}_pitch{self.pitch}_{self.channels}"
        window = f"{self.kernel[0]}x{self.kernel[1]}x{self.taps}_steps{self.row_step}_{self.column_step}"
        return f"rvv_pixels_{shape}_{window}_group{self.group}_{self.epilogue.code}"

    @property
    def _span(self) -> int:
        """Bytes of a plane from the first to the last that is read."""
        (rows, columns) = self.kernel
        return (rows - 1) * self.row_step + (columns - 1) * self.column_step + self.lanes

    def block(self, operands: PixelOperands) -> None:
        """Emit the tile as a TensorIR block in its plain meaning."""
        data, weight, table = operands.data, operands.weight, operands.table
        sums, output = operands.sums, operands.output
        x, n, (p, c) = operands.data_at, operands.channel, operands.output_at
        (rows, columns), taps, lanes = self.kernel, self.taps, self.lanes
        T.reads(
            data[0:taps, x : x + self._span],
            weight[n : n + self.channels, 0 : self.window + 1],
            table[n : n + self.channels, 0:2],
        )
        T.writes(
            sums[0 : self.channels, 0:lanes],
            output[p : p + self.rows * self.columns, c : c + self.channels],
        )
        with nest("bias", (self.channels, lanes)) as (j, i):
            T.buffer_store(sums, table[n + j, 0], [j, i])
        with nest("sum", (self.channels, lanes), (rows, columns, taps)) as (j, i, r, k, t):
            activation = T.Cast("int32", data[t, x + r * self.row_step + k * self.column_step + i])
            factor = T.Cast("int32", weight[n + j, r * (columns * taps) + k * taps + t])
            T.buffer_store(sums, sums[j, i] + activation * factor, [j, i])
        with nest("requantize", (self.channels, self.rows, self.columns)) as (j, r, i):
            shift = T.Cast("int32", weight[n + j, self.window])
            value = self.epilogue.describe(sums[j, r * self.pitch + i], table[n + j, 1], shift)
            T.buffer_store(output, value, [p + r * self.columns + i, c + j])

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        return register(
            f"{self.name}_zero{self.epilogue.zero_point}",
            {
                "data": ((self.taps, self._span), "int8"),
                "weight": ((self.channels, self.window + 1), "int8"),
                "table": ((self.channels, 2), "int32"),
                "sums": ((self.channels, self.lanes), "int32"),
                "output": ((self.rows * self.columns, self.channels), "int8"),
            },
            lambda *buffers: self.block(PixelOperands(*buffers)),
            self._arguments,
            kernel=self.name,
            written=2,
        )

    def _arguments(self, data: Any, weight: Any, table: Any, _sums: Any, output: Any) -> list[Any]:
        pointers = [buffer.access_ptr("r") for buffer in (data, weight, table)]
        pitches = [data.strides[0], output.strides[0]]
        return [*pointers, output.access_ptr("w"), *pitches, self.epilogue.zero_point]

    def assemble(self) -> Assembly:
        """Code of the tile.

        a0 data, a1 weight, a2 table, a3 output, a4 distance of the planes, a5 of the output's pixels, a6 the zero
        point, which moves to t2 and makes room for the number of lanes; a7 points to the second channel's weights.
        """
        asm, sums = Assembly(), Accumulators(self.lanes, self.channels)
        asm.emit("csrwi vxrm, 0", "mv t2, a6", f"li a6, {self.lanes}")
        if self.channels == 2:
            advance(asm, "a7", self.window + 1, source="a1")
        self._begin(asm, sums)
        self._sum(asm, sums)
        with asm.finishing():
            self._scale(asm, sums)
            self._store(asm, sums)
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
                "int32_t plane_pitch",
                "int32_t pixel_pitch",
                "int32_t zero_point",
            ),
        )

    def _begin(self, asm: Assembly, sums: Accumulators) -> None:
        asm.emit("vsetvli t0, zero, e32, m8, ta, ma", "lw t1, 0(a2)")
        for index, name in enumerate(sums.names):
            if index and self.channels == 2:
                asm.emit("lw t1, 8(a2)")
            asm.emit(f"vmv.v.x {name}, t1", group=8)
        sums.narrow(asm)

    def _sum(self, asm: Assembly, sums: Accumulators) -> None:
        """Walk over the window: position by position, at each over all planes."""
        size, passes = unrolling(self.taps, self.group)
        rest = self.taps - size * passes
        rows, columns = self.kernel
        if rows * columns > 1:
            # From behind the last plane of a position to the first plane of the next.
            asm.emit(f"li t4, {self.taps}", "mul t4, t4, a4", f"li t0, {self.column_step}", "sub t4, t0, t4")
        with asm.loop("t5", rows):
            with asm.loop("t6", columns):
                with asm.loop("t3", passes):
                    self._products(asm, sums, size)
                if rest:
                    self._products(asm, sums, rest)
                if rows * columns > 1:
                    asm.emit("add a0, a0, t4")
            if rows > 1:
                advance(asm, "a0", self.row_step - columns * self.column_step)

    def _products(self, asm: Assembly, sums: Accumulators, taps: int) -> None:
        """Sum products of `taps` planes from a0 on, and move on by as many planes and weights."""
        weights = ("a1", "a7")[: self.channels]
        for first in range(0, taps, self.group):
            for tap in range(first, min(first + self.group, taps)):
                vector = ("v24", "v28")[tap % 2]
                asm.emit(f"vle8.v {vector}, (a0)", group=sums.group)
                asm.emit("add a0, a0, a4")
                for index, (pointer, product) in enumerate(zip(weights, sums.products, strict=True)):
                    asm.emit(f"lb t{index}, {tap}({pointer})")
                    multiply = (
                        f"vwmul.vx {product}, {vector}, t{index}"
                        if tap == first
                        else f"vwmacc.vx {product}, t{index}, {vector}"
                    )
                    asm.emit(multiply, group=2 * sums.group)
            sums.add(asm)
        if taps < self.window:
            for pointer in weights:
                advance(asm, pointer, taps)

    def _scale(self, asm: Assembly, sums: Accumulators) -> None:
        """Scale the accumulators by the channel's factor."""
        asm.emit("vsetvli t0, zero, e32, m8, ta, ma")
        # The shift lies behind the weights, to which the pointers have moved unless all taps are unrolled.
        left = self.window if unrolling(self.taps, self.group)[0] == self.window else 0
        for index, name in enumerate(sums.names):
            second = index > 0 and self.channels == 2
            if index == 0 or second:
                asm.emit(f"lw t1, {12 if second else 4}(a2)")
                asm.emit(f"lbu t3, {left}({'a7' if second else 'a1'})")
            self.epilogue.scale(asm, name, "t1", "v16", 8)
            asm.emit(f"vssra.vx {name}, {name}, t3", group=8)

    def _store(self, asm: Assembly, sums: Accumulators) -> None:
        """Narrow, clamp and store row by row."""
        results = sums.narrow_results(asm, "t2")
        for channel in range(self.channels):
            sums.narrow(asm)
            asm.emit(f"vnclip.wi v24, {results[channel]}, 0", group=2 * sums.group)
            self.epilogue.clamp(asm, "v24", "t1", sums.group)
            if channel:
                asm.emit("addi a3, a3, 1")
            if self.rows > 1:
                asm.emit(f"li t0, {self.columns}", f"vsetvli zero, t0, e8, m{sums.group}, ta, ma")
                asm.emit("mul t3, t0, a5", "mv t2, a3")
            asm.emit("vsse8.v v24, (a3), a5", group=sums.group)
            for row in range(1, self.rows):
                asm.emit(f"li t1, {row * self.pitch}", "add t2, t2, t3")
                asm.emit("vslidedown.vx v28, v24, t1", "vsse8.v v28, (t2), a5", group=sums.group)


@dataclass(frozen=True)
class PixelOperands:
    """Buffers of a tile, all two-dimensional, and where in them it begins.

    data int8[taps, bytes], the planes; weight int8[channels.., window + 1], whose rows end with the right shift; table
    int32[channels.., 2] of bias and multiplier; sums int32[channels, lanes], the accumulators; output
    int8[pixels.., channels..].
    """

    data: Any
    weight: Any
    table: Any
    sums: Any
    output: Any
    data_at: Any = 0
    channel: Any = 0
    output_at: tuple[Any, Any] = (0, 0)
