"""The matrix tile of cores without vector or DSP instructions: its meaning, its C, and how TensorIR calls it.

A tile multiplies `pixels` rows of int8 activations with `channels` packed columns of int8 weights, keeps all sums
in registers and requantises them into the output. Its body is assembly on RV32 and Armv7-M and plain C elsewhere;
the preprocessor chooses, so the generated source compiles everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from ..tensor_ir import drop_unit_loops
from . import rv32_matrix, scalar_thumb2
from .rv32_assembly import Epilogue


@dataclass(frozen=True)
class TileOperands:
    """Where a tile finds its operands: matrices, and the first row (and column) of each that it touches.

    data: int8[rows, depth]; weight: int8[groups * depth, lanes]; parameters: int32[groups * 4, lanes] of bias,
    multiplier, addend and shift; sums: int32[pixels, channels]; output: int8[rows, output channels].
    """

    data: Any
    weight: Any
    parameters: Any
    sums: Any
    output: Any
    data_at: Any = 0
    weight_at: Any = 0
    parameters_at: Any = 0
    output_at: tuple[Any, Any] = (0, 0)


@dataclass(frozen=True)
class MatrixTile:
    """One register tile.

    pixels: rows of outputs.
    lanes, groups: the tile has groups * lanes columns of outputs, done group by group.
    depth: products per output.
    pitch: elements from one row of activations to the next.
    output_pitch: elements from one row of outputs to the next.
    clamp_min, clamp_max: limits of the outputs.
    finer: see `requantize_scalar.ScalarRequantization`.
    """

    pixels: int
    lanes: int
    groups: int
    depth: int
    pitch: int
    output_pitch: int
    clamp_min: int
    clamp_max: int
    finer: int

    @property
    def channels(self) -> int:
        """Columns of outputs."""
        return self.groups * self.lanes

    @property
    def name(self) -> str:
        """Name of the C function; it holds every parameter."""
        clamp = f"{self.clamp_min}_{self.clamp_max}".replace("-", "m")
        return (
            f"tinyml_tile_{self.pixels}x{self.lanes}x{self.groups}_k{self.depth}"
            f"_a{self.pitch}_o{self.output_pitch}_{clamp}_f{self.finer}"
        )

    @property
    def epilogue(self) -> Epilogue:
        """How sums become outputs."""
        return Epilogue(self.clamp_min, self.clamp_max, self.finer)

    def micro_kernel(self) -> MicroKernel:
        """The C function: (data, weight[groups][depth][lanes], parameters[groups][4][lanes], output)."""
        signature = (
            f"static void {self.name}(\n"
            "    const int8_t *data, const int8_t *weight, const int32_t *parameters, int8_t *output)\n"
        )
        naked = f"__attribute__((naked, noinline)) {signature}"
        source = (
            "#if defined(__riscv) && __riscv_xlen == 32\n"
            f"{naked}{assembly_body(rv32_matrix.matrix_tile(self))}"
            "#elif defined(__thumb2__)\n"
            f"{naked}{assembly_body(scalar_thumb2.matrix_tile(self))}"
            "#else\n"
            f"{signature}{self._portable()}"
            "#endif\n"
        )
        return MicroKernel(self.name, source)

    def _portable(self) -> str:
        factors = [f"parameters[{index * self.lanes} + c]" for index in (1, 2, 3)]
        scaled = "\n".join(f"                {line}" for line in requantized_c("sum", factors, self.epilogue))
        return f"""{{
    int32_t g, p, c, k;
    for (g = 0; g < {self.groups}; ++g) {{
        for (p = 0; p < {self.pixels}; ++p) {{
            for (c = 0; c < {self.lanes}; ++c) {{
                int32_t sum = parameters[c];
                for (k = 0; k < {self.depth}; ++k) {{
                    sum += (int32_t)data[p * {self.pitch} + k] * weight[k * {self.lanes} + c];
                }}
{scaled}
                output[p * {self.output_pitch} + c] = (int8_t)sum;
            }}
        }}
        weight += {self.depth * self.lanes};
        parameters += {4 * self.lanes};
        output += {self.lanes};
    }}
}}
"""

    def block(self, operands: TileOperands) -> None:
        """Emit what the tile computes as a TensorIR block's contents, in its plain meaning."""
        data, weight, parameters = operands.data, operands.weight, operands.parameters
        sums, output = operands.sums, operands.output
        d0, k0, q0, (p, c) = operands.data_at, operands.weight_at, operands.parameters_at, operands.output_at
        lanes = self.lanes
        T.reads(
            data[d0 : d0 + self.pixels, 0 : self.depth],
            weight[k0 : k0 + self.groups * self.depth, 0:lanes],
            parameters[q0 : q0 + self.groups * 4, 0:lanes],
        )
        T.writes(sums[0 : self.pixels, 0 : self.channels], output[p : p + self.pixels, c : c + self.channels])
        with T.grid(self.groups, self.pixels, lanes) as (g, i, j), T.sblock("bias"):
            vg, vi, vj = T.axis.remap("SSS", [g, i, j])
            T.buffer_store(sums, parameters[q0 + vg * 4, vj], [vi, vg * lanes + vj])
        with T.grid(self.groups, self.pixels, lanes, self.depth) as (g, i, j, k), T.sblock("accumulate"):
            vg, vi, vj, vk = T.axis.remap("SSSR", [g, i, j, k])
            factor = T.Cast("int32", weight[k0 + vg * self.depth + vk, vj])
            product = T.Cast("int32", data[d0 + vi, vk]) * factor
            T.buffer_store(sums, sums[vi, vg * lanes + vj] + product, [vi, vg * lanes + vj])
        with T.grid(self.groups, self.pixels, lanes) as (g, i, j), T.sblock("requantize"):
            vg, vi, vj = T.axis.remap("SSS", [g, i, j])
            factors = [parameters[q0 + vg * 4 + index, vj] for index in (1, 2, 3)]
            value = requantized_expr(sums[vi, vg * lanes + vj], factors, self.epilogue)
            T.buffer_store(output, value, [p + vi, c + vg * lanes + vj])

    def register(self) -> str:
        """Register the tile as a tensor intrinsic and return its name."""
        name = f"tinyml.{self.name}"
        if TensorIntrin.get(name, allow_missing=True) is None:
            TensorIntrin.register(
                name, drop_unit_loops(self._function(call=False)), self._function(call=True)
            )
        return name

    def _function(self, *, call: bool) -> Any:
        shapes = {
            "data": ((self.pixels, self.depth), "int8", self.pitch),
            "weight": ((self.groups * self.depth, self.lanes), "int8", self.lanes),
            "parameters": ((self.groups * 4, self.lanes), "int32", self.lanes),
            "sums": ((self.pixels, self.channels), "int32", self.channels),
            "output": ((self.pixels, self.channels), "int8", self.output_pitch),
        }
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("tile")
            handles = {name: T.arg(name, T.handle()) for name in shapes}
            data, weight, parameters, sums, output = (
                T.match_buffer(handles[name], shape, dtype, offset_factor=1, strides=[pitch, 1])
                for name, (shape, dtype, pitch) in shapes.items()
            )
            with T.sblock("root"):
                if call:
                    T.reads(data[:, :], weight[:, :], parameters[:, :])
                    T.writes(sums[:, :], output[:, :])
                    arguments = [buffer.access_ptr("r") for buffer in (data, weight, parameters)]
                    T.evaluate(T.call_extern("int32", self.name, *arguments, output.access_ptr("w")))
                else:
                    self.block(TileOperands(data, weight, parameters, sums, output))
        return builder.get()


def assembly_body(lines: list[str]) -> str:
    """Body of a naked C function made of assembly instructions."""
    text = "\n".join(f'        "{line}\\n"' for line in lines)
    return f"{{\n    __asm__ volatile(\n{text});\n}}\n"


def requantized_c(x: str, factors: Sequence[str], epilogue: Epilogue) -> list[str]:
    """C statements that turn the sum `x` into a clamped output; factors: multiplier, addend, shift."""
    multiplier, addend, shift = factors
    if epilogue.finer:
        lines = [
            f"{x} = tinyml_multiply_keep_high(tinyml_shift_left({x}, {epilogue.finer}), {multiplier});",
            f"{x} += tinyml_shift_left({x} >> 31, {epilogue.finer - 1});",
        ]
    else:
        lines = [f"{x} = tinyml_multiply_keep_high({x}, {multiplier});"]
    return [
        *lines,
        f"{x} = ({x} + {addend}) >> {shift};",
        f"{x} = {x} > {epilogue.clamp_max} ? {epilogue.clamp_max} : {x};",
        f"{x} = {x} < {epilogue.clamp_min} ? {epilogue.clamp_min} : {x};",
    ]


def requantized_expr(total: Any, factors: Sequence[Any], epilogue: Epilogue) -> Any:
    """TensorIR expression of one output, int8; factors: multiplier, addend, shift."""
    multiplier, addend, shift = factors
    finer = epilogue.finer
    wide = T.Cast("int64", T.shift_left(total, T.int32(finer)) if finer else total)
    high = T.Cast("int32", T.shift_right(wide * T.Cast("int64", multiplier), T.int64(32)))
    if finer:
        high = high + T.shift_left(T.shift_right(high, T.int32(31)), T.int32(finer - 1))
    scaled = T.shift_right(high + addend, shift)
    return T.Cast("int8", T.max(T.min(scaled, T.int32(epilogue.clamp_max)), T.int32(epilogue.clamp_min)))
