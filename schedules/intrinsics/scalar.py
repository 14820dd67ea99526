"""The matrix tile of cores without vector or DSP instructions: its meaning, its C, and how TensorIR calls it.

A tile multiplies `pixels` rows of int8 activations with `channels` packed columns of int8 weights, keeps all sums
in registers and requantises them into the output. Its body is assembly on RV32 and Armv7-M and plain C elsewhere;
the preprocessor chooses, so the generated source compiles everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from . import rv32_matrix, scalar_thumb2
from .rv32_assembly import Epilogue
from .tensor_intrinsic import Operand, register

# Sums that the registers of RV32 hold.
MOST_SUMS = 16
# Before the signature of assembly. Clang would write out short loops over calls, long as they are with all arguments.
NAKED = "#if defined(__clang__)\n__attribute__((noduplicate))\n#endif\n__attribute__((naked, noinline)) "


@dataclass(frozen=True)
class TileOperands:
    """Where a tile finds its operands: matrices, and the first row (and column) of each that it touches.

    data: int8[rows, depth]; weight: int8[groups * depth, lanes]; factors: int32[channels, 2] and fine: [channels] of
    `requantize_scalar.ScalarRequantization`; output: int8[rows, output channels]; sums: int32[pixels, channels].
    """

    data: Any
    weight: Any
    factors: Any
    fine: Any
    output: Any
    sums: Any
    data_at: Any = 0
    output_at: tuple[Any, Any] = (0, 0)


@dataclass(frozen=True)
class MatrixTile:
    """One register tile.

    pixels: rows of outputs.
    lanes, groups: the tile has groups * lanes columns of outputs, done group by group.
    depth: products per output.
    pitch: elements from one row of activations to the next.
    output_pitch: elements from one row of outputs to the next.
    short: the reduction loop of RV32 is unrolled little, which takes less code.
    """

    pixels: int
    lanes: int
    groups: int
    depth: int
    pitch: int
    output_pitch: int
    epilogue: Epilogue
    short: bool = False

    @property
    def shape(self) -> str:
        """For names of functions."""
        return f"{self.pixels}x{self.lanes}{'_short' if self.short else ''}"

    @property
    def has_long_loop(self) -> bool:
        """Whether the tile is one of those that do most of the work."""
        return self.pixels * self.lanes >= MOST_SUMS and self.pixels > 1

    @property
    def channels(self) -> int:
        """Columns of outputs."""
        return self.groups * self.lanes

    @property
    def name(self) -> str:
        """Name of the C function, which is the same for products of all sizes."""
        return f"tinyml_tile_{self.shape}_{self.epilogue.name}"

    @property
    def clamp_min(self) -> int:
        """Smallest output."""
        return self.epilogue.clamp_min

    @property
    def clamp_max(self) -> int:
        """Largest output."""
        return self.epilogue.clamp_max

    @property
    def arguments(self) -> list[int]:
        """Constants of a call after its pointers."""
        return [self.groups, self.depth, self.pitch, self.output_pitch, self.epilogue.point]

    def micro_kernel(self) -> MicroKernel:
        """The C function: (data, weight[groups][depth][lanes], factors[channels][2], fine[channels], output, ...).

        Its last parameters are `arguments`.
        """
        signature = (
            f"static void {self.name}(const int8_t *data, const int8_t *weight,\n"
            f"    const int32_t *factors, const {self.epilogue.fine_type}_t *fine, int8_t *output,\n"
            "    int32_t groups, int32_t depth, int32_t pitch, int32_t output_pitch, int32_t point)\n"
        )
        naked = f"{NAKED}{signature}"
        _, outputs = rv32_matrix.matrix_tile(self)
        source = (
            "#if defined(__riscv) && __riscv_xlen == 32\n"
            f"{naked}{assembly_body(outputs)}"
            "#elif defined(__thumb2__)\n"
            f"{naked}{assembly_body(scalar_thumb2.matrix_tile(self))}"
            "#else\n"
            f"{signature}{self._portable()}"
            "#endif\n"
        )
        return MicroKernel(self.name, source)

    def sums_kernel(self) -> MicroKernel:
        """What tiles of this shape call on RV32 for their sums; nothing elsewhere."""
        name = rv32_matrix.sums_name(self)
        sums, _ = rv32_matrix.matrix_tile(self)
        return MicroKernel(name, shared_assembly(name, sums))

    def _portable(self) -> str:
        scaled = "\n".join(f"                {line}" for line in requantized_c("sum", self.epilogue))
        return f"""{{
    int32_t g, p, c, k;
    for (g = 0; g < groups; ++g) {{
        for (p = 0; p < {self.pixels}; ++p) {{
            for (c = 0; c < {self.lanes}; ++c) {{
                {factors_c("factors[2 * c + 1]", "fine[c]", self.epilogue)}
                int32_t sum = factors[2 * c];
                for (k = 0; k < depth; ++k) {{
                    sum += (int32_t)data[p * pitch + k] * weight[k * {self.lanes} + c];
                }}
{scaled}
                output[p * output_pitch + c] = (int8_t)sum;
            }}
        }}
        weight += depth * {self.lanes};
        factors += {2 * self.lanes};
        fine += {self.lanes};
        output += {self.lanes};
    }}
}}
"""

    def block(self, operands: TileOperands) -> None:
        """Emit what the tile computes as a TensorIR block's contents, in its plain meaning."""
        o = operands
        d0, (p, c), lanes = o.data_at, o.output_at, self.lanes
        T.reads(
            o.data[d0 : d0 + self.pixels, 0 : self.depth],
            o.weight[0 : self.groups * self.depth, 0:lanes],
            o.factors[c : c + self.channels, 0:2],
            o.fine[c : c + self.channels],
        )
        T.writes(
            o.output[p : p + self.pixels, c : c + self.channels], o.sums[0 : self.pixels, 0 : self.channels]
        )
        with T.grid(self.pixels, self.channels) as (i, j), T.sblock("bias"):
            vi, vj = T.axis.remap("SS", [i, j])
            T.buffer_store(o.sums, o.factors[c + vj, 0], [vi, vj])
        with T.grid(self.groups, self.pixels, lanes, self.depth) as (g, i, j, k), T.sblock("accumulate"):
            vg, vi, vj, vk = T.axis.remap("SSSR", [g, i, j, k])
            factor = T.Cast("int32", o.weight[vg * self.depth + vk, vj])
            product = T.Cast("int32", o.data[d0 + vi, vk]) * factor
            T.buffer_store(o.sums, o.sums[vi, vg * lanes + vj] + product, [vi, vg * lanes + vj])
        with T.grid(self.pixels, self.channels) as (i, j), T.sblock("requantize"):
            vi, vj = T.axis.remap("SS", [i, j])
            value = requantized_expr(o.sums[vi, vj], o.factors[c + vj, 1], o.fine[c + vj], self.epilogue)
            T.buffer_store(o.output, value, [p + vi, c + vj])

    def register(self) -> str:
        """Register the tile as a tensor intrinsic and return its name."""
        operands = {
            "data": Operand((self.pixels, self.depth), "int8", self.pitch),
            "weight": Operand((self.groups * self.depth, self.lanes), "int8", self.lanes),
            "factors": Operand((self.channels, 2), "int32", 2),
            "fine": Operand((self.channels,), self.epilogue.fine_type),
            "output": Operand((self.pixels, self.channels), "int8", self.output_pitch, written=True),
            "sums": Operand((self.pixels, self.channels), "int32", written=True, passed=False),
        }
        return register(
            self.name, operands, lambda *buffers: self.block(TileOperands(*buffers)), self.arguments
        )


def assembly_body(lines: list[str]) -> str:
    """Body of a naked C function made of assembly instructions."""
    text = "\n".join(f'        "{line}\\n"' for line in lines)
    return f"{{\n    __asm__ volatile(\n{text});\n}}\n"


def shared_assembly(name: str, lines: list[str]) -> str:
    """C source of assembly for RV32 that only assembly calls."""
    return (
        "#if defined(__riscv) && __riscv_xlen == 32\n"
        f"__attribute__((naked, noinline, used)) static void {name}(void)\n{assembly_body(lines)}#endif\n"
    )


def factors_c(multiplier: str, fine: str, epilogue: Epilogue) -> str:
    """C declaration of a channel's `multiplier`, `shift` and `addend` from its table; `point` is a variable."""
    shift, part = (f"{fine} & 31", f"({fine} >> 5)") if epilogue.apart else (f"{multiplier} & 31", fine)
    return (
        f"const int32_t multiplier = {multiplier}, shift = {shift},"
        f" addend = (tinyml_shift_left(point, shift) >> 1) + {part};"
    )


def requantized_c(x: str, epilogue: Epilogue) -> list[str]:
    """C statements that turn the sum `x` into a clamped output; see `factors_c` for the variables."""
    if epilogue.finer:
        lines = [
            f"{x} = tinyml_multiply_keep_high(tinyml_shift_left({x}, {epilogue.finer}), multiplier);",
            f"{x} += tinyml_shift_left({x} >> 31, {epilogue.finer - 1});",
        ]
    else:
        lines = [f"{x} = tinyml_multiply_keep_high({x}, multiplier);"]
    return [
        *lines,
        f"{x} = ({x} + addend) >> shift;",
        f"{x} = {x} > {epilogue.clamp_max} ? {epilogue.clamp_max} : {x};",
        f"{x} = {x} < {epilogue.clamp_min} ? {epilogue.clamp_min} : {x};",
    ]


def requantized_expr(total: Any, multiplier: Any, fine: Any, epilogue: Epilogue) -> Any:
    """TensorIR expression of one output, int8; multiplier, fine: the channel's constants."""
    finer = epilogue.finer
    wide = T.Cast("int64", T.shift_left(total, T.int32(finer)) if finer else total)
    high = T.Cast("int32", T.shift_right(wide * T.Cast("int64", multiplier), T.int64(32)))
    if finer:
        high = high + T.shift_left(T.shift_right(high, T.int32(31)), T.int32(finer - 1))
    fine = T.Cast("int32", fine)
    shift = T.bitwise_and(fine if epilogue.apart else multiplier, T.int32(31))
    part = T.shift_right(fine, T.int32(5)) if epilogue.apart else fine
    addend = T.shift_right(T.shift_left(T.int32(epilogue.point), shift), T.int32(1)) + part
    scaled = T.shift_right(high + addend, shift)
    return T.Cast("int8", T.max(T.min(scaled, T.int32(epilogue.clamp_max)), T.int32(epilogue.clamp_min)))
