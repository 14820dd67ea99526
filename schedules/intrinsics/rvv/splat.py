"""A row of equal bytes, made of one that is known at run time only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..description import nest, register
from .assembly import Assembly
from .memory import STRIP


@dataclass(frozen=True)
class Splat:
    """Set `nbytes` bytes to one byte in memory."""

    nbytes: int

    name = "rvv_splat"

    def block(self, target: Any, source: Any, row: Any) -> None:
        """Emit target[0, i] = source[row, 0] as a TensorIR block."""
        T.reads(source[row, 0:1])
        T.writes(target[0, 0 : self.nbytes])
        with nest("value", (self.nbytes,)) as (i,):
            T.buffer_store(target, source[row, 0], [0, i])

    def register(self) -> str:
        """Register the fill as a TensorIntrin and return its name."""
        return register(
            f"{self.name}_{self.nbytes}",
            {"source": ((1, 1), "int8"), "target": ((1, self.nbytes), "int8")},
            lambda source, target: self.block(target, source, 0),
            lambda source, target: [target.access_ptr("w"), source.access_ptr("r"), self.nbytes],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the fill: a0 target, a1 source, a2 bytes; later strips are not longer than the first."""
        asm = Assembly()
        asm.emit("lb t1, 0(a1)", "vsetvli t0, a2, e8, m8, ta, ma", "vmv.v.x v0, t1", group=8)
        with asm.strips("a2", -(-self.nbytes // STRIP)):
            asm.emit("vsetvli t0, a2, e8, m8, ta, ma", "vse8.v v0, (a0)", group=8)
            asm.emit("add a0, a0, t0", "sub a2, a2, t0")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return self.assemble().micro_kernel(
            self.name, ["int8_t *target", "const int8_t *source", "int32_t nbytes"]
        )
