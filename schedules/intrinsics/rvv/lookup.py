"""Functions of one byte: a table of all 256 results, gathered by a vector of indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..description import nest, register
from .assembly import Assembly

ENTRIES = 256
# Bytes of eight registers at VLEN = 128.
STRIP = 128


@dataclass(frozen=True)
class LookupTile:
    """Look up `elements` bytes in a table, whose entries are in the order of unsigned bytes."""

    elements: int
    source: str
    target: str

    name = "rvv_lookup"

    def block(self, data: Any, table: Any, found: Any, output: Any) -> None:
        """Emit the lookup as a TensorIR block in its plain meaning; all buffers are one row.

        An index that depends on data could not be compared, so every entry is added that belongs to the element.
        """
        elements = self.elements
        T.reads(data[0, 0:elements], table[0, 0:ENTRIES])
        T.writes(found[0, 0:elements], output[0, 0:elements])
        with nest("start", (elements,)) as (i,):
            T.buffer_store(found, 0, [0, i])
        with nest("select", (elements,), (ENTRIES,)) as (i, t):
            index = T.bitwise_and(T.Cast("int32", data[0, i]), ENTRIES - 1)
            entry = T.if_then_else(index == t, T.Cast("int32", table[0, t]), 0)
            T.buffer_store(found, found[0, i] + entry, [0, i])
        with nest("narrow", (elements,)) as (i,):
            T.buffer_store(output, T.Cast(self.target, found[0, i]), [0, i])

    def register(self) -> str:
        """Register the lookup as a TensorIntrin and return its name."""
        row = (1, self.elements)
        return register(
            f"{self.name}_{self.elements}_{self.source}_{self.target}",
            {
                "data": (row, self.source),
                "table": ((1, ENTRIES), self.target),
                "found": (row, "int32"),
                "output": (row, self.target),
            },
            self.block,
            lambda data, table, _found, output: [
                data.access_ptr("r"),
                table.access_ptr("r"),
                output.access_ptr("w"),
                self.elements,
            ],
            kernel=self.name,
            written=2,
        )

    def assemble(self) -> Assembly:
        """Code of the lookup: a0 data, a1 table, a2 output, a3 counts elements."""
        asm = Assembly()
        with asm.strips("a3", -(-self.elements // STRIP)):
            asm.emit("vsetvli t0, a3, e8, m8, ta, ma")
            asm.emit("vle8.v v8, (a0)", "vluxei8.v v0, (a1), v8", "vse8.v v0, (a2)", group=8)
            asm.emit("add a0, a0, t0", "add a2, a2, t0", "sub a3, a3, t0")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        parameters = ("const void *data", "const void *table", "void *output", "int32_t elements")
        return self.assemble().micro_kernel(self.name, parameters)
