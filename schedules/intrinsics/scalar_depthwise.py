"""The depthwise strip of cores without vector instructions: some rows of output of one channel.

The window must lie inside the image vertically; columns outside of it count as zero point. Assembly on RV32, plain C
with one expression per output elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from ..parts import Parts
from . import rv32_depthwise
from .listing import executed
from .rv32_assembly import Epilogue, output_instructions
from .scalar import assembly_body, factors_c, requantized_c, requantized_expr
from .tensor_intrinsic import Operand, register


@dataclass(frozen=True)
class StripOperands:
    """Where a strip finds its operands: matrices, and where in them it begins.

    data: int8[rows, width * channels]; weight: int8[rows, taps] with taps one after the other; factors: int32[channels,
    2] and fine: [channels] of `requantize_scalar.ScalarRequantization`; sums: int32[rows, outputs]; output: int8[rows,
    outputs * channels].
    """

    data: Any
    weight: Any
    factors: Any
    fine: Any
    output: Any
    sums: Any
    data_at: tuple[Any, Any] = (0, 0)
    weight_at: tuple[Any, Any] = (0, 0)
    channel: Any = 0
    output_at: tuple[Any, Any] = (0, 0)


@dataclass(frozen=True)
class DepthwiseStrip:
    """Geometry and requantisation of a strip.

    kernel_h, kernel_w, stride: of the window.
    width, outputs: columns of input and output.
    pad: columns of padding on the left.
    pitch, output_pitch: elements from one pixel to the next.
    folded: whether biases take in what the zero point adds to a window, which is then read as it is.
    """

    kernel_h: int
    kernel_w: int
    stride: int
    width: int
    outputs: int
    pad: int
    pitch: int
    output_pitch: int
    zero_point: int
    epilogue: Epilogue
    folded: bool = False

    @property
    def clamp_min(self) -> int:
        """Smallest output."""
        return self.epilogue.clamp_min

    @property
    def clamp_max(self) -> int:
        """Largest output."""
        return self.epilogue.clamp_max

    @property
    def name(self) -> str:
        """Name of the C function; it holds every parameter but the number of rows."""
        return (
            f"tinyml_depthwise_{self.kernel_h}x{self.kernel_w}_s{self.stride}_w{self.width}_{self.outputs}"
            f"_p{self.pad}_c{self.pitch}_{self.output_pitch}_z{self.zero_point}"
            f"_{'f_' if self.folded else ''}{self.epilogue.name}"
        ).replace("-", "m")

    def origin(self, output: int) -> int:
        """First input column of an output's window; negative in the padding."""
        return self.stride * output - self.pad

    def products(self, column: int) -> list[tuple[int, int]]:
        """(output, kernel column) of all products that an input column is part of."""
        return [
            (output, column - self.origin(output))
            for output in range(self.outputs)
            if 0 <= column - self.origin(output) < self.kernel_w
        ]

    def missing(self, output: int) -> list[tuple[int, int]]:
        """Ranges of kernel columns of an output that lie outside the image."""
        left = max(-self.origin(output), 0)
        right = max(self.origin(output) + self.kernel_w - self.width, 0)
        ranges = [(0, left), (self.kernel_w - right, self.kernel_w)]
        return [(begin, end) for begin, end in ranges if begin < end]

    @property
    def clipped(self) -> list[tuple[int, int]]:
        """All different ranges of missing kernel columns."""
        return sorted({missing for output in range(self.outputs) for missing in self.missing(output)})

    def micro_kernel(self) -> MicroKernel:
        """The C function: (data, weight, factors, fine, output, rows, point).

        Raises rv32_assembly.OutOfRegistersError or rv32_depthwise.OutOfReachError when RV32 cannot do it.
        """
        signature = (
            f"static void {self.name}(const int8_t *data, const int8_t *weight,\n"
            f"    const int32_t *factors, const {self.epilogue.fine_type}_t *fine, int8_t *output, int32_t rows,\n"
            "    int32_t point)\n"
        )
        source = (
            "#if defined(__riscv) && __riscv_xlen == 32\n"
            f"__attribute__((naked, noinline)) {signature}{assembly_body(rv32_depthwise.depthwise_strip(self))}"
            f"#else\n{signature}{self._portable()}#endif\n"
        )
        return MicroKernel(self.name, source)

    def parts_rv32(self, rows: int) -> Parts:
        """Instructions of a call with `rows` rows of output on RV32."""
        lines, columns = rv32_depthwise.counted_strip(self)
        inner = [columns] if columns else []
        once, outputs = executed(lines, *inner, 0), rows * self.outputs * output_instructions(self.epilogue)
        products = executed(lines, *inner, rows) - once - outputs
        return Parts(products, outputs, calls=once, multiplications=self.multiplications(rows))

    def multiplications(self, rows: int) -> int:
        """Products of `rows` rows of output; columns outside of the image have none."""
        return rows * self.kernel_h * sum(len(self.products(column)) for column in range(self.width))

    def _portable(self) -> str:
        taps = [(ky, kx) for ky in range(self.kernel_h) for kx in range(self.kernel_w)]
        weights = ", ".join(f"w{ky}_{kx} = weight[{ky * self.kernel_w + kx}]" for ky, kx in taps)
        inside = [output for output in range(self.outputs) if not self.missing(output)]
        lines = []
        for output in range(self.outputs):
            if self.missing(output):
                lines += self._output(str(output), self.origin(output), output)
            elif output == inside[0]:
                lines.append(f"for (x = {inside[0]}; x < {inside[-1] + 1}; ++x) {{")
                lines += [f"    {line}" for line in self._output("x", None, output)] + ["}"]
        body = "\n".join(f"        {line}" for line in lines)
        loop = "    int32_t x;\n" if inside else ""
        return f"""{{
    const int32_t {weights};
    const int32_t bias = factors[0];
    {factors_c("factors[1]", "fine[0]", self.epilogue)}
{loop}    for (; rows > 0; --rows) {{
        int32_t sum;
{body}
        data += {self.stride * self.width * self.pitch};
        output += {self.outputs * self.output_pitch};
    }}
}}
"""

    def _output(self, x: str, origin: int | None, output: int) -> list[str]:
        """Statements of one output; `origin` None: its window is found from the loop variable."""
        lines = ["sum = bias;"]
        zero = f" - ({self.zero_point})" if self.zero_point and not self.folded else ""
        for ky in range(self.kernel_h):
            for kx in range(self.kernel_w):
                row = ky * self.width * self.pitch
                if origin is None:
                    offset = row + (kx - self.pad) * self.pitch
                    place = f"{self.stride * self.pitch} * x + ({offset})"
                elif 0 <= origin + kx < self.width:
                    place = str(row + (origin + kx) * self.pitch)
                else:
                    if self.folded and self.zero_point:
                        lines.append(f"sum += {self.zero_point} * w{ky}_{kx};")
                    continue
                lines.append(f"sum += (data[{place}]{zero}) * w{ky}_{kx};")
        lines += requantized_c("sum", self.epilogue)
        return [*lines, f"output[{x} * {self.output_pitch}] = (int8_t)sum;"]

    def block(self, operands: StripOperands, rows: int) -> None:
        """Emit what `rows` rows of the strip compute as a TensorIR block's contents, in its plain meaning."""
        data, weight, factors, fine = operands.data, operands.weight, operands.factors, operands.fine
        sums, output = operands.sums, operands.output
        (y0, x0), (k0, k1) = operands.data_at, operands.weight_at
        q0, (p0, p1) = operands.channel, operands.output_at
        taps = self.kernel_h * self.kernel_w
        depth = (rows - 1) * self.stride + self.kernel_h
        T.reads(
            data[y0 : y0 + depth, x0 : x0 + (self.width - 1) * self.pitch + 1],
            weight[k0, k1 : k1 + taps],
            factors[q0, 0:2],
            fine[q0],
        )
        T.writes(
            sums[0:rows, 0 : self.outputs],
            output[p0 : p0 + rows, p1 : p1 + (self.outputs - 1) * self.output_pitch + 1],
        )
        with T.grid(rows, self.outputs) as (y, x), T.sblock("bias"):
            vy, vx = T.axis.remap("SS", [y, x])
            T.buffer_store(sums, factors[q0, 0], [vy, vx])
        with T.grid(rows, self.outputs, self.kernel_h, self.kernel_w) as (y, x, i, j), T.sblock("accumulate"):
            vy, vx, vi, vj = T.axis.remap("SSRR", [y, x, i, j])
            column = vx * self.stride + vj - self.pad
            value = T.Cast("int32", data[y0 + vy * self.stride + vi, x0 + column * self.pitch])
            taken = value if self.folded else value - T.int32(self.zero_point)
            product = self._inside(column, taken) * T.Cast("int32", weight[k0, k1 + vi * self.kernel_w + vj])
            T.buffer_store(sums, sums[vy, vx] + product, [vy, vx])
        with T.grid(rows, self.outputs) as (y, x), T.sblock("requantize"):
            vy, vx = T.axis.remap("SS", [y, x])
            value = requantized_expr(sums[vy, vx], factors[q0, 1], fine[q0], self.epilogue)
            T.buffer_store(output, value, [p0 + vy, p1 + vx * self.output_pitch])

    def _inside(self, column: Any, value: Any) -> Any:
        """The value where the column lies in the image, else the zero point's; only guards that can fail are stated."""
        guards = [column >= 0] if self.pad else []
        if self.origin(self.outputs - 1) + self.kernel_w > self.width:
            guards.append(column < self.width)
        outside = T.int32(self.zero_point if self.folded else 0)
        return tirx.if_then_else(tirx.all(*guards), value, outside) if guards else value

    def register(self, rows: int) -> str:
        """Register `rows` rows of the strip as a tensor intrinsic and return its name."""
        depth = (rows - 1) * self.stride + self.kernel_h
        operands = {
            "data": Operand((depth, (self.width - 1) * self.pitch + 1), "int8"),
            "weight": Operand((1, self.kernel_h * self.kernel_w), "int8"),
            "factors": Operand((1, 2), "int32"),
            "fine": Operand((1,), self.epilogue.fine_type),
            "output": Operand((rows, (self.outputs - 1) * self.output_pitch + 1), "int8", written=True),
            "sums": Operand((rows, self.outputs), "int32", written=True, passed=False),
        }
        arguments = [rows, self.epilogue.point]
        return register(
            self.name, operands, lambda *buffers: self.block(StripOperands(*buffers), rows), arguments
        )
