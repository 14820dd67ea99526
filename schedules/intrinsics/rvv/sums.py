"""Sum or difference of two quantised tensors, with the three roundings of TFLite's ADD and SUB.

Each operand is brought to a common grid, a power of two finer than the coarser one; the sum is scaled to the output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812
from tvm.sym import Analyzer

from ...kernel import MicroKernel
from ..description import nest, register
from .assembly import Assembly
from .epilogue import Epilogue

# Lanes of a group of eight registers at VLEN = 128.
_LANES = 32


@dataclass(frozen=True)
class Operand:
    """How an operand comes to the common grid: ((x - zero_point) << left) * multiplier >> 31 >> right, rounded."""

    zero_point: int
    left: int
    multiplier: int
    right: int

    @property
    def is_shift(self) -> bool:
        """Whether the factor is one half: then nothing is rounded."""
        return self.multiplier == 1 << 30 and self.right == 0

    def describe(self, x: Any) -> Any:
        """TensorIR expression of the scaled operand."""
        shifted = (T.Cast("int32", x) - self.zero_point) * (1 << self.left)
        scaled = T.call_pure_extern(
            "int32", "tinyml_requantize_double", shifted, self.multiplier, -self.right
        )
        # As the descriptions of intrinsics are simplified before they are matched.
        return Analyzer().simplify(scaled)

    def emit(self, asm: Assembly, register: str, zero_point: str, multiplier: str, spare: str) -> None:
        """Scale int32 lanes in place; the two constants lie in registers, the zero point negated."""
        asm.emit(f"vadd.vx {register}, {register}, {zero_point}", group=8)
        if self.is_shift:
            asm.emit(f"vsll.vi {register}, {register}, {self.left - 1}", group=8)
            return
        asm.emit(f"vsll.vi {register}, {register}, {self.left}", group=8)
        asm.emit(f"vsmul.vx {register}, {register}, {multiplier}", group=8)
        if self.right:
            asm.emit(f"vsra.vi {spare}, {register}, 31", f"vadd.vv {register}, {register}, {spare}", group=8)
            asm.emit(f"vssra.vi {register}, {register}, {self.right}", group=8)


@dataclass(frozen=True)
class SumTile:
    """`elements` sums (or differences) of operands `a` and `b`, scaled by multiplier * 2**(-31 - right)."""

    elements: int
    subtract: bool
    a: Operand
    b: Operand
    multiplier: int
    right: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        operands = "_".join(
            f"{operand.zero_point}_{operand.left}_{operand.multiplier}_{operand.right}"
            for operand in (self.a, self.b)
        )
        kind = "difference" if self.subtract else "sum"
        scale = f"{self.multiplier}_{self.right}"
        return f"rvv_{kind}_{self.elements}_{operands}_{scale}_{self.epilogue.suffix}".replace("-", "m")

    def block(self, a: Any, b: Any, output: Any, rows: tuple[Any, Any, Any] = (0, 0, 0)) -> None:
        """Emit the tile as a TensorIR block in its plain meaning; rows: of each buffer."""
        elements, (ra, rb, row) = self.elements, rows
        T.reads(a[ra, 0:elements], b[rb, 0:elements])
        T.writes(output[row, 0:elements])
        with nest("sum", (elements,)) as (i,):
            first, second = self.a.describe(a[ra, i]), self.b.describe(b[rb, i])
            total = first - second if self.subtract else first + second
            right = T.int32(self.right)
            value = Analyzer().simplify(self.epilogue.describe(total, self.multiplier, right))
            T.buffer_store(output, value, [row, i])

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        row = ((1, self.elements), "int8")
        return register(
            self.name,
            {"a": row, "b": row, "output": row},
            self.block,
            lambda a, b, output: [a.access_ptr("r"), b.access_ptr("r"), output.access_ptr("w")],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the tile: a0 and a1 the operands, a2 output, a3 counts elements."""
        asm = Assembly()
        constants = {
            "a4": -self.a.zero_point,
            "a5": self.a.multiplier,
            "a6": -self.b.zero_point,
            "a7": self.b.multiplier,
            "t4": self.multiplier,
            "t5": self.epilogue.zero_point,
        }
        asm.emit("csrwi vxrm, 0", f"li a3, {self.elements}")
        asm.emit(*(f"li {register}, {value}" for register, value in constants.items()))
        with asm.strips("a3", -(-self.elements // _LANES)):
            # `scale` needs t0, so the vector length lies in t2.
            asm.emit("vsetvli t2, a3, e32, m8, ta, ma")
            asm.emit("vle8.v v0, (a0)", "vle8.v v2, (a1)", group=2)
            asm.emit("vsext.vf4 v8, v0", "vsext.vf4 v16, v2", group=8)
            self.a.emit(asm, "v8", "a4", "a5", "v24")
            self.b.emit(asm, "v16", "a6", "a7", "v24")
            asm.emit(f"{'vsub' if self.subtract else 'vadd'}.vv v8, v8, v16", group=8)
            self.epilogue.scale(asm, "v8", "t4", "v24", 8)
            asm.emit(f"vssra.vi v8, v8, {self.right}", group=8)
            self.epilogue.store_strip(asm, "t5")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return self.assemble().micro_kernel(
            self.name, ("const int8_t *a", "const int8_t *b", "int8_t *output")
        )
