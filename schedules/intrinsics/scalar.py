"""The matrix tile of cores without vector or DSP instructions: its meaning, its C, and how TensorIR calls it.

A tile multiplies `pixels` rows of int8 activations with `channels` packed columns of int8 weights, keeps all sums
in registers and requantises them into the output. Its body is assembly on RV32 and Armv7-M and plain C elsewhere;
the preprocessor chooses, so the generated source compiles everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from ..tensor_ir import drop_unit_loops
from . import scalar_rv32, scalar_thumb2


@dataclass(frozen=True)
class MatrixTile:
    """One register tile.

    pixels, channels: rows and columns of outputs.
    depth: products per output.
    pitch: elements from one row of activations to the next.
    output_pitch: elements from one row of outputs to the next.
    clamp_min, clamp_max: limits of the outputs.
    finer: see `requantize_scalar.ScalarRequantization`.
    """

    pixels: int
    channels: int
    depth: int
    pitch: int
    output_pitch: int
    clamp_min: int
    clamp_max: int
    finer: int

    @property
    def name(self) -> str:
        """Name of the C function; it holds every parameter."""
        clamp = f"{self.clamp_min}_{self.clamp_max}".replace("-", "m")
        return (
            f"tinyml_tile_{self.pixels}x{self.channels}_k{self.depth}"
            f"_a{self.pitch}_o{self.output_pitch}_{clamp}_f{self.finer}"
        )

    def micro_kernel(self) -> MicroKernel:
        """The C function: (data, weight[depth][channels], parameters[4][channels], output)."""
        signature = (
            f"static void {self.name}(\n"
            "    const int8_t *data, const int8_t *weight, const int32_t *parameters, int8_t *output)\n"
        )
        naked = f"__attribute__((naked, noinline)) {signature}"
        source = (
            "#if defined(__riscv) && __riscv_xlen == 32\n"
            f"{naked}{_assembly(scalar_rv32.matrix_tile(self))}"
            "#elif defined(__thumb2__)\n"
            f"{naked}{_assembly(scalar_thumb2.matrix_tile(self))}"
            "#else\n"
            f"{signature}{self._portable()}"
            "#endif\n"
        )
        return MicroKernel(self.name, source)

    def _portable(self) -> str:
        if self.finer:
            x = f"tinyml_multiply_keep_high(tinyml_shift_left(sum, {self.finer}), parameters[{self.channels} + c])"
            sign = f"\n            x += tinyml_shift_left(x >> 31, {self.finer - 1});"
        else:
            x, sign = f"tinyml_multiply_keep_high(sum, parameters[{self.channels} + c])", ""
        return f"""{{
    int32_t p, c, k;
    for (p = 0; p < {self.pixels}; ++p) {{
        for (c = 0; c < {self.channels}; ++c) {{
            int32_t sum = parameters[c];
            int32_t x;
            for (k = 0; k < {self.depth}; ++k) {{
                sum += (int32_t)data[p * {self.pitch} + k] * weight[k * {self.channels} + c];
            }}
            x = {x};{sign}
            x = (x + parameters[{2 * self.channels} + c]) >> parameters[{3 * self.channels} + c];
            x = x > {self.clamp_max} ? {self.clamp_max} : x;
            output[p * {self.output_pitch} + c] = (int8_t)(x < {self.clamp_min} ? {self.clamp_min} : x);
        }}
    }}
}}
"""

    def requantized(self, total: Any, multiplier: Any, addend: Any, shift: Any) -> Any:
        """TensorIR expression of one output, int8."""
        wide = T.Cast("int64", T.shift_left(total, T.int32(self.finer)) if self.finer else total)
        high = T.Cast("int32", T.shift_right(wide * T.Cast("int64", multiplier), T.int64(32)))
        if self.finer:
            high = high + T.shift_left(T.shift_right(high, T.int32(31)), T.int32(self.finer - 1))
        scaled = T.shift_right(high + addend, shift)
        return T.Cast("int8", T.max(T.min(scaled, T.int32(self.clamp_max)), T.int32(self.clamp_min)))

    def register(self) -> str:
        """Register the tile as a tensor intrinsic and return its name."""
        name = f"tinyml.{self.name}"
        if TensorIntrin.get(name, allow_missing=True) is None:
            TensorIntrin.register(name, *_describe(self))
        return name


def _assembly(lines: list[str]) -> str:
    text = "\n".join(f'        "{line}\\n"' for line in lines)
    return f"{{\n    __asm__ volatile(\n{text});\n}}\n"


def _describe(tile: MatrixTile) -> tuple[Any, Any]:
    pixels, channels, depth = tile.pixels, tile.channels, tile.depth
    pitch, output_pitch, call, requantized = tile.pitch, tile.output_pitch, tile.name, tile.requantized

    @T.prim_func(s_tir=True)
    def description(a: T.handle, b: T.handle, q: T.handle, d: T.handle, c: T.handle) -> None:
        data = T.match_buffer(a, (pixels, depth), "int8", offset_factor=1, strides=[pitch, 1])
        weight = T.match_buffer(b, (depth, channels), "int8", offset_factor=1, strides=[channels, 1])
        parameters = T.match_buffer(q, (4, channels), "int32", offset_factor=1, strides=[channels, 1])
        sums = T.match_buffer(d, (pixels, channels), "int32", offset_factor=1, strides=[channels, 1])
        output = T.match_buffer(c, (pixels, channels), "int8", offset_factor=1, strides=[output_pitch, 1])
        with T.sblock("root"):
            T.reads(data[0:pixels, 0:depth], weight[0:depth, 0:channels], parameters[0:4, 0:channels])
            T.writes(sums[0:pixels, 0:channels], output[0:pixels, 0:channels])
            for i, j in T.grid(pixels, channels):
                with T.sblock("bias"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    sums[vi, vj] = parameters[0, vj]
            for i, j, k in T.grid(pixels, channels, depth):
                with T.sblock("accumulate"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                    sums[vi, vj] = sums[vi, vj] + T.Cast("int32", data[vi, vk]) * T.Cast(
                        "int32", weight[vk, vj]
                    )
            for i, j in T.grid(pixels, channels):
                with T.sblock("requantize"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    output[vi, vj] = requantized(
                        sums[vi, vj], parameters[1, vj], parameters[2, vj], parameters[3, vj]
                    )

    @T.prim_func(s_tir=True)
    def implementation(a: T.handle, b: T.handle, q: T.handle, d: T.handle, c: T.handle) -> None:
        data = T.match_buffer(a, (pixels, depth), "int8", offset_factor=1, strides=[pitch, 1])
        weight = T.match_buffer(b, (depth, channels), "int8", offset_factor=1, strides=[channels, 1])
        parameters = T.match_buffer(q, (4, channels), "int32", offset_factor=1, strides=[channels, 1])
        sums = T.match_buffer(d, (pixels, channels), "int32", offset_factor=1, strides=[channels, 1])
        output = T.match_buffer(c, (pixels, channels), "int8", offset_factor=1, strides=[output_pitch, 1])
        with T.sblock("root"):
            T.reads(data[0:pixels, 0:depth], weight[0:depth, 0:channels], parameters[0:4, 0:channels])
            T.writes(sums[0:pixels, 0:channels], output[0:pixels, 0:channels])
            T.evaluate(
                T.call_extern(
                    "int32",
                    call,
                    data.access_ptr("r"),
                    weight.access_ptr("r"),
                    parameters.access_ptr("r"),
                    output.access_ptr("w"),
                )
            )

    return drop_unit_loops(description), implementation
