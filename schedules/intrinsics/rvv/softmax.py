"""Softmax of one row in two kernels: the exponentials and their sum, then each of them times the sum's reciprocal.

In gemmlowp's fixed point: `vsmul` with vxrm = rnu is its doubling high multiply, and `vssra` its rounding shift, as
what is shifted is never negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from tvm_tinyml.dialect.fixed_functions import EXP_OF_MINUS_EIGHTH, POWER_EXPONENTIALS, THIRD
from tvm_tinyml.dialect.softmax import SUM_INTEGER_BITS

from ...kernel import MicroKernel
from ..description import nest, register
from ..softmax_tiles import summed
from .assembly import Assembly

# Lanes at VLEN = 128: int32 in four registers and in eight, and int8 in eight.
_LANES, _PRODUCTS, _BYTES = 16, 32, 128
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


@dataclass(frozen=True)
class SoftmaxSum:
    """The exponentials of the differences of `depth` elements to their maximum, and the sum of them."""

    depth: int
    exponent: Exponent

    name = "rvv_softmax_sum"

    def block(self, data: Any, maximum: Any, total: Any, exponentials: Any, row: Any) -> None:
        """Emit the tile as a TensorIR block for row `row` of data.

        maximum and total int32[1, 1]; exponentials int32[1, depth] in Q0.31.
        """
        depth = self.depth
        T.reads(data[row, 0:depth])
        T.writes(maximum[0:1, 0:1], total[0:1, 0:1], exponentials[0:1, 0:depth])
        with summed(data, maximum, total, exponentials, row), nest("exponential", (depth,)) as (k,):
            T.buffer_store(exponentials, self.exponent.describe(data[row, k], maximum[0, 0]), [0, k])

    @property
    def _constants(self) -> list[int]:
        return [self.depth, self.exponent.multiplier, self.exponent.left, self.exponent.lowest]

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        one, row = ((1, 1), "int32"), (1, self.depth)
        return register(
            "_".join([self.name, *map(str, self._constants)]).replace("-", "m"),
            {"data": (row, "int8"), "maximum": one, "total": one, "exponentials": (row, "int32")},
            lambda data, maximum, total, exponentials: self.block(data, maximum, total, exponentials, 0),
            lambda data, _maximum, total, exponentials: [
                data.access_ptr("r"),
                exponentials.access_ptr("w"),
                total.access_ptr("w"),
                *self._constants,
            ],
            kernel=self.name,
            written=3,
        )

    def assemble(self) -> Assembly:
        """Code of the tile: a0 data, a1 exponentials, a2 sum, a3 depth, a5 to a7 the constants of the exponent.

        a5 multiplier, a6 shift and a7 limit come one register earlier; a4 holds the maximum then.
        """
        asm = Assembly()
        asm.emit("csrwi vxrm, 0", "mv a7, a6", "mv a6, a5", "mv a5, a4")
        asm.emit(
            "mv t1, a0", "mv t2, a3", "li t0, -128", "vsetvli t3, zero, e8, m1, ta, ma", "vmv.s.x v1, t0"
        )
        with asm.strips("t2", -(-self.depth // _BYTES)):
            asm.emit("vsetvli t0, t2, e8, m8, ta, ma")
            asm.emit("vle8.v v8, (t1)", "vredmax.vs v1, v8, v1", group=8)
            asm.emit("add t1, t1, t0", "sub t2, t2, t0")
        asm.emit("vmv.x.s a4, v1", "vsetvli t3, zero, e32, m1, ta, ma", "vmv.s.x v2, zero")
        with asm.strips("a3", -(-self.depth // _LANES)):
            asm.emit("vsetvli t0, a3, e32, m4, ta, mu")
            asm.emit("vle8.v v4, (a0)")
            self.exponent.emit(asm, "a4")
            asm.emit("vse32.v v28, (a1)", f"vssra.vi v28, v28, {SUM_INTEGER_BITS}", group=4)
            asm.emit("vredsum.vs v2, v28, v2", group=4)
            asm.emit("slli t1, t0, 2", "add a0, a0, t0", "add a1, a1, t1", "sub a3, a3, t0")
        asm.emit("vmv.x.s t0, v2", "sw t0, 0(a2)")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        pointers = ("const int8_t *data", "int32_t *exponentials", "int32_t *total")
        constants = ("int32_t depth", "int32_t multiplier", "int32_t left", "int32_t lowest")
        return self.assemble().micro_kernel(self.name, (*pointers, *constants))


@dataclass(frozen=True)
class SoftmaxScale:
    """`depth` exponentials times a factor in Q0.31, shifted right, minus 128."""

    depth: int

    name = "rvv_softmax_scale"

    def assemble(self) -> Assembly:
        """Code of the tile: a0 exponentials, a1 scale, a2 output, a3 depth."""
        asm = Assembly()
        asm.emit("csrwi vxrm, 0", "lw a4, 0(a1)", "lw a5, 4(a1)", "li a6, -128")
        with asm.strips("a3", -(-self.depth // _PRODUCTS)):
            asm.emit("vsetvli t0, a3, e32, m8, ta, ma")
            asm.emit("vle32.v v8, (a0)", "vsmul.vx v8, v8, a4", "vssra.vx v8, v8, a5", group=8)
            asm.emit("vadd.vx v8, v8, a6", group=8)
            asm.emit("vsetvli zero, t0, e16, m4, ta, ma")
            asm.emit("vnclip.wi v16, v8, 0", group=8)
            asm.emit("vsetvli zero, t0, e8, m2, ta, ma")
            asm.emit("vnclip.wi v8, v16, 0", group=4)
            asm.emit("vse8.v v8, (a2)", group=2)
            asm.emit("slli t1, t0, 2", "add a0, a0, t1", "add a2, a2, t0", "sub a3, a3, t0")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        pointers = ("const int32_t *exponentials", "const int32_t *scale", "int8_t *output")
        return self.assemble().micro_kernel(self.name, (*pointers, "int32_t depth"))
