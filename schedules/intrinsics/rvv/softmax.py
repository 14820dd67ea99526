"""Softmax of one row in two kernels: the sum of the exponentials, then each of them times the sum's reciprocal.

Exponentials are computed twice rather than kept, in gemmlowp's fixed point: `vsmul` with vxrm = rnu is its doubling
high multiply, and `vssra` its rounding shift, as what is shifted is never negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from tvm_tinyml.dialect.fixed_functions import EXP_OF_MINUS_EIGHTH, POWER_EXPONENTIALS, THIRD
from tvm_tinyml.dialect.softmax import SUM_INTEGER_BITS

from ...kernel import MicroKernel
from .assembly import Assembly
from .description import nest, register

# Lanes at VLEN = 128: int32 in four registers, and int8 in eight.
_LANES, _BYTES = 16, 128
_ROUNDED_BITS = 24


@dataclass(frozen=True)
class Exponent:
    """How a difference to the maximum becomes an exponent: shifted left, then multiplied; below `lowest` it is -inf."""

    multiplier: int
    left: int
    lowest: int

    def describe(self, x: Any, maximum: Any) -> Any:
        """TensorIR expression of the exponential of x - maximum, in Q0.31."""
        difference = T.Cast("int32", x) - maximum
        scaled = T.call_pure_extern(
            "int32", "tinyml_requantize_double", difference, self.multiplier, self.left
        )
        exponential = T.call_pure_extern("int32", "tinyml_exp_negative", scaled)
        return T.if_then_else(T.int32(self.lowest) <= difference, exponential, 0)

    def emit(self, asm: Assembly, maximum: str) -> None:
        """Exponentials of int8 lanes in v4, which lie in v28 then; a5 the multiplier, a6 the shift, a7 the limit."""

        def vector(*instructions: str) -> None:
            asm.emit(*instructions, group=4)

        vector("vsext.vf4 v8, v4", f"vsub.vx v4, v8, {maximum}", "vsll.vx v8, v4, a6", "vsmul.vx v8, v8, a5")
        # v12: minus the fraction's distance to the next multiple of 1/4; v16: that plus 1/8, in Q0.31.
        asm.emit(f"li t1, {2**_ROUNDED_BITS - 1}")
        vector("vand.vx v12, v8, t1")
        asm.emit("addi t1, t1, 1")
        vector("vsub.vx v12, v12, t1", "vsll.vi v16, v12, 5")
        asm.emit(f"li t1, {2**28}")
        vector("vadd.vx v16, v16, t1", "vsmul.vv v20, v16, v16", "vsmul.vv v24, v20, v16")
        vector("vsmul.vv v28, v20, v20", "vssra.vi v28, v28, 2", "vadd.vv v24, v24, v28")
        asm.emit(f"li t1, {THIRD}")
        vector(
            "vsmul.vx v24, v24, t1", "vadd.vv v24, v24, v20", "vssra.vi v24, v24, 1", "vadd.vv v24, v24, v16"
        )
        asm.emit(f"li t1, {EXP_OF_MINUS_EIGHTH}")
        vector("vsmul.vx v28, v24, t1", "vadd.vx v28, v28, t1")
        # Each power of two of what is left selects a factor.
        vector("vsub.vv v12, v12, v8")
        for index, factor in enumerate(POWER_EXPONENTIALS):
            asm.emit(f"li t1, {1 << (_ROUNDED_BITS + index)}", f"li t2, {factor}")
            vector("vand.vx v16, v12, t1", "vmsne.vi v0, v16, 0", "vsmul.vx v28, v28, t2, v0.t")
        asm.emit(f"li t1, {2**31 - 1}")
        vector("vmseq.vi v0, v8, 0", "vmerge.vxm v28, v28, t1, v0")
        vector("vmslt.vx v0, v4, a7", "vmerge.vim v28, v28, 0, v0")

    @property
    def arguments(self) -> list[int]:
        """What both kernels take."""
        return [self.multiplier, self.left, self.lowest]


@dataclass(frozen=True)
class SoftmaxSum:
    """The maximum of `depth` elements, and the sum of the exponentials of their differences to it."""

    depth: int
    exponent: Exponent

    name = "rvv_softmax_sum"

    def block(self, data: Any, sums: Any, row: Any) -> None:
        """Emit the tile as a TensorIR block: sums int32[1, 2] of row `row` of data, the maximum first."""
        depth = self.depth
        T.reads(data[row, 0:depth])
        T.writes(sums[0:1, 0:2])
        with nest("start", (2,)) as (i,):
            T.buffer_store(sums, T.if_then_else(i == 0, -128, 0), [0, i])
        with nest("maximum", (), (depth,)) as (k,):
            T.buffer_store(sums, T.max(sums[0, 0], T.Cast("int32", data[row, k])), [0, 0])
        with nest("sum", (), (depth,)) as (k,):
            exponential = self.exponent.describe(data[row, k], sums[0, 0])
            rounded = T.call_pure_extern(
                "int32", "tinyml_shift_right_rounding", exponential, SUM_INTEGER_BITS
            )
            T.buffer_store(sums, sums[0, 1] + rounded, [0, 1])

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        return register(
            "_".join([self.name, str(self.depth), *map(str, self.exponent.arguments)]).replace("-", "m"),
            {"data": ((1, self.depth), "int8"), "sums": ((1, 2), "int32")},
            lambda data, sums: self.block(data, sums, 0),
            lambda data, sums: [
                data.access_ptr("r"),
                sums.access_ptr("w"),
                self.depth,
                *self.exponent.arguments,
            ],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the tile: a0 data, a1 sums, a2 depth, then multiplier, shift and limit; a4 holds the maximum."""
        asm = Assembly()
        asm.emit("csrwi vxrm, 0", "mv a7, a5", "mv a6, a4", "mv a5, a3")
        asm.emit(
            "mv t1, a0", "mv t2, a2", "li t0, -128", "vsetvli t3, zero, e8, m1, ta, ma", "vmv.s.x v1, t0"
        )
        with asm.strips("t2", -(-self.depth // _BYTES)):
            asm.emit("vsetvli t0, t2, e8, m8, ta, ma")
            asm.emit("vle8.v v8, (t1)", "vredmax.vs v1, v8, v1", group=8)
            asm.emit("add t1, t1, t0", "sub t2, t2, t0")
        asm.emit("vmv.x.s a4, v1", "vsetvli t3, zero, e32, m1, ta, ma", "vmv.s.x v2, zero")
        with asm.strips("a2", -(-self.depth // _LANES)):
            asm.emit("vsetvli t0, a2, e32, m4, ta, mu")
            asm.emit("vle8.v v4, (a0)")
            self.exponent.emit(asm, "a4")
            asm.emit(f"vssra.vi v28, v28, {SUM_INTEGER_BITS}", "vredsum.vs v2, v28, v2", group=4)
            asm.emit("add a0, a0, t0", "sub a2, a2, t0")
        asm.emit("vmv.x.s t0, v2", "sw a4, 0(a1)", "sw t0, 4(a1)")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return self.assemble().micro_kernel(self.name, _parameters("const int8_t *data", "int32_t *sums"))


@dataclass(frozen=True)
class SoftmaxScale:
    """Exponentials of `depth` differences to the maximum times a factor in Q0.31, shifted right, minus 128."""

    depth: int
    exponent: Exponent

    name = "rvv_softmax_scale"

    def block(self, data: Any, scale: Any, output: Any, row: Any) -> None:
        """Emit the tile as a TensorIR block: scale int32[1, 3] holds the maximum, the factor and the shift below 32."""
        depth = self.depth
        T.reads(data[row, 0:depth], scale[0:1, 0:3])
        T.writes(output[row, 0:depth])
        with nest("scale", (depth,)) as (k,):
            exponential = self.exponent.describe(data[row, k], scale[0, 0])
            product = T.call_pure_extern("int32", "tinyml_multiply_high", exponential, scale[0, 1])
            scaled = T.call_pure_extern("int32", "tinyml_shift_right_rounding", product, scale[0, 2])
            T.buffer_store(output, T.Cast("int8", T.max(T.min(scaled - 128, 127), -128)), [row, k])

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        return register(
            "_".join([self.name, str(self.depth), *map(str, self.exponent.arguments)]).replace("-", "m"),
            {
                "data": ((1, self.depth), "int8"),
                "scale": ((1, 3), "int32"),
                "output": ((1, self.depth), "int8"),
            },
            lambda data, scale, output: self.block(data, scale, output, 0),
            lambda data, scale, output: [
                data.access_ptr("r"),
                output.access_ptr("w"),
                self.depth,
                *self.exponent.arguments,
                scale.access_ptr("r"),
            ],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the tile: a0 data, a1 output, a2 depth, then multiplier, shift, limit and the scale's address."""
        asm = Assembly()
        asm.emit("csrwi vxrm, 0", "lw a7, 0(a6)", "lw t4, 4(a6)", "lw t5, 8(a6)", "mv t6, a7")
        asm.emit("mv a7, a5", "mv a6, a4", "mv a5, a3", "li t3, -128")
        with asm.strips("a2", -(-self.depth // _LANES)):
            asm.emit("vsetvli t0, a2, e32, m4, ta, mu")
            asm.emit("vle8.v v4, (a0)")
            self.exponent.emit(asm, "t6")
            asm.emit("vsmul.vx v28, v28, t4", "vssra.vx v28, v28, t5", "vadd.vx v28, v28, t3", group=4)
            asm.emit("vsetvli zero, t0, e16, m2, ta, ma")
            asm.emit("vnclip.wi v8, v28, 0", group=4)
            asm.emit("vsetvli zero, t0, e8, m1, ta, ma", "vnclip.wi v4, v8, 0", "vse8.v v4, (a1)")
            asm.emit("add a0, a0, t0", "add a1, a1, t0", "sub a2, a2, t0")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        parameters = _parameters("const int8_t *data", "int8_t *output")
        return self.assemble().micro_kernel(self.name, [*parameters, "const int32_t *scale"])


def _parameters(*pointers: str) -> list[str]:
    return [*pointers, *(f"int32_t {name}" for name in ("depth", "multiplier", "left", "lowest"))]
