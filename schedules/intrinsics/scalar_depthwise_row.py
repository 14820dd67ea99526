"""The depthwise row of cores without vector instructions: some neighbouring outputs of one channel.

Rows of the window outside the image are left out by the caller; columns outside of it are left out here. Assembly on
RV32 and Armv7-M, plain C elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from ..parts import Parts
from . import rv32_depthwise_row, thumb2_depthwise_row
from .listing import executed
from .rv32_assembly import Epilogue, output_instructions
from .scalar import NAKED, assembly_body, factors_c, requantized_c, requantized_expr
from .scalar_depthwise import StripOperands
from .tensor_intrinsic import Operand, register


@dataclass(frozen=True)
class DepthwiseRow:
    """Geometry and requantisation of a row.

    kernel_w, stride: of the window.
    outputs: number of outputs.
    left: columns of the first output's window that lie left of the image.
    width: columns of the image from where the first output's window enters it.
    pitch, output_pitch: elements from one pixel to the next.
    row_pitch: elements from one row of the image to the next.
    """

    kernel_w: int
    stride: int
    outputs: int
    left: int
    width: int
    pitch: int
    output_pitch: int
    row_pitch: int
    zero_point: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the C function; it holds every parameter but the number of rows of the window."""
        return (
            f"tinyml_depthwise_row_{self.kernel_w}_s{self.stride}_n{self.outputs}_l{self.left}_w{len(self.columns)}"
            f"_c{self.pitch}_{self.output_pitch}_{self.row_pitch}_z{self.zero_point}"
            f"_{self.epilogue.name}"
        ).replace("-", "m")

    @property
    def span(self) -> int:
        """Columns of the image that the windows hold."""
        return min((self.outputs - 1) * self.stride + self.kernel_w - self.left, self.width)

    @property
    def columns(self) -> list[int]:
        """Columns of the image, from where the windows enter it, that some window holds."""
        return [column for column in range(self.span) if self.products(column)]

    def products(self, column: int) -> list[tuple[int, int]]:
        """(output, kernel column) of all products that a column is part of."""
        return [
            (output, column + self.left - output * self.stride)
            for output in range(self.outputs)
            if 0 <= column + self.left - output * self.stride < self.kernel_w
        ]

    def micro_kernel(self) -> MicroKernel:
        """The C function: (data, weight, factors, fine, output, rows of the window, point).

        Raises rv32_assembly.OutOfRegistersError when RV32 cannot hold the row.
        """
        signature = (
            f"static void {self.name}(const int8_t *data, const int8_t *weight,\n"
            f"    const int32_t *factors, const {self.epilogue.fine_type}_t *fine, int8_t *output, int32_t rows,\n"
            "    int32_t point)\n"
        )
        source = (
            "#if defined(__riscv) && __riscv_xlen == 32\n"
            f"__attribute__((naked, noinline)) {signature}{assembly_body(rv32_depthwise_row.depthwise_row(self))}"
            f"{self._thumb2(signature)}#else\n{signature}{self._portable()}#endif\n"
        )
        return MicroKernel(self.name, source)

    def _thumb2(self, signature: str) -> str:
        if self.outputs > thumb2_depthwise_row.most_outputs(self.kernel_w):
            return ""
        body = assembly_body(thumb2_depthwise_row.depthwise_row(self))
        return f"#elif defined(__thumb2__)\n{NAKED}{signature}{body}"

    def parts(self, rows: int, *, rv32: bool) -> Parts:
        """Instructions of a call with `rows` rows of the window."""
        if rv32:
            lines, output = rv32_depthwise_row.depthwise_row(self), output_instructions(self.epilogue)
        else:
            lines = thumb2_depthwise_row.depthwise_row(self)
            output = thumb2_depthwise_row.output_instructions(self.epilogue)
        once, outputs = executed(lines, 0), self.outputs * output
        multiplications = rows * sum(len(self.products(column)) for column in self.columns)
        products = executed(lines, rows) - once
        return Parts(products, outputs, calls=once - outputs, multiplications=multiplications)

    def _portable(self) -> str:
        zero = f" - ({self.zero_point})" if self.zero_point else ""
        lines = []
        for output in range(self.outputs):
            terms = [
                f"(data[{column * self.pitch}]{zero}) * weight[{kx}]"
                for column in self.columns
                for other, kx in self.products(column)
                if other == output
            ]
            lines += [f"sum{output} += {term};" for term in terms]
        body = "\n".join(f"        {line}" for line in lines)
        finish = []
        for output in range(self.outputs):
            finish += requantized_c(f"sum{output}", self.epilogue)
            finish.append(f"output[{output * self.output_pitch}] = (int8_t)sum{output};")
        ending = "\n".join(f"    {line}" for line in finish)
        sums = ", ".join(f"sum{output} = factors[0]" for output in range(self.outputs))
        return f"""{{
    {factors_c("factors[1]", "fine[0]", self.epilogue)}
    int32_t {sums};
    for (; rows > 0; --rows) {{
{body}
        data += {self.row_pitch};
        weight += {self.kernel_w};
    }}
{ending}
}}
"""

    def block(self, operands: StripOperands, rows: int) -> None:
        """Emit what the row computes from `rows` rows of the window, as a TensorIR block's contents.

        The operands are those of a strip; sums are int32[1, outputs].
        """
        data, weight, factors, fine = operands.data, operands.weight, operands.factors, operands.fine
        sums, output = operands.sums, operands.output
        (y0, x0), (k0, k1) = operands.data_at, operands.weight_at
        q0, (p0, p1) = operands.channel, operands.output_at
        T.reads(
            data[y0 : y0 + rows, x0 : x0 + (self.span - 1) * self.pitch + 1],
            weight[k0, k1 : k1 + rows * self.kernel_w],
            factors[q0, 0:2],
            fine[q0],
        )
        T.writes(sums[0, 0 : self.outputs], output[p0, p1 : p1 + (self.outputs - 1) * self.output_pitch + 1])
        with T.serial(0, self.outputs) as x, T.sblock("bias"):
            vx = T.axis.spatial(self.outputs, x)
            T.buffer_store(sums, factors[q0, 0], [0, vx])
        with T.grid(self.outputs, rows, self.kernel_w) as (x, i, j), T.sblock("accumulate"):
            vx, vi, vj = T.axis.remap("SRR", [x, i, j])
            column = vx * self.stride + vj - self.left
            value = T.Cast("int32", data[y0 + vi, x0 + column * self.pitch]) - T.int32(self.zero_point)
            product = self._inside(column, value) * T.Cast("int32", weight[k0, k1 + vi * self.kernel_w + vj])
            T.buffer_store(sums, sums[0, vx] + product, [0, vx])
        with T.serial(0, self.outputs) as x, T.sblock("requantize"):
            vx = T.axis.spatial(self.outputs, x)
            T.buffer_store(
                output,
                requantized_expr(sums[0, vx], factors[q0, 1], fine[q0], self.epilogue),
                [p0, p1 + vx * self.output_pitch],
            )

    def _inside(self, column: Any, value: Any) -> Any:
        """The value where the column lies in the image, else 0; only guards that can fail are stated."""
        guards = [column >= 0] if self.left else []
        if (self.outputs - 1) * self.stride + self.kernel_w - self.left > self.width:
            guards.append(column < self.width)
        return tirx.if_then_else(tirx.all(*guards), value, T.int32(0)) if guards else value

    def register(self, rows: int) -> str:
        """Register the row with `rows` rows of the window as a tensor intrinsic and return its name."""
        operands = {
            "data": Operand((rows, (self.span - 1) * self.pitch + 1), "int8"),
            "weight": Operand((1, rows * self.kernel_w), "int8"),
            "factors": Operand((1, 2), "int32"),
            "fine": Operand((1,), self.epilogue.fine_type),
            "output": Operand((1, (self.outputs - 1) * self.output_pitch + 1), "int8", written=True),
            "sums": Operand((1, self.outputs), "int32", written=True, passed=False),
        }
        arguments = [rows, self.epilogue.point]
        return register(
            self.name, operands, lambda *buffers: self.block(StripOperands(*buffers), rows), arguments
        )
