"""Functions of one byte by a table of all 256 results: load the byte, load its entry, store it.

Four bytes take turns, so that no load waits for the one before it. Three instructions per byte; to extract bytes from
words and to put results together takes more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..tensor_intrinsic import Operand, register
from .assembly import naked_function

ENTRIES = 256
# Instructions per byte and per call.
TABLE_INSTRUCTIONS, TABLE_CALL_INSTRUCTIONS = 3.3, 30
_TURN = ("r4", "r5", "r6", "r12")


@dataclass(frozen=True)
class ByteTable:
    """Look up `elements` bytes of type `source` in a table of `target`, in the order of unsigned bytes."""

    elements: int
    source: str
    target: str

    def describe(self, data: Any, table: Any, output: Any, found: Any) -> None:
        """Emit the lookup as a block's contents.

        Indices that depend on data cannot be compared, so every entry is added that belongs to the byte.
        """
        count = self.elements
        T.reads(data[0:count], table[0:ENTRIES])
        T.writes(found[0:count], output[0:count])
        with T.serial(0, count) as i, T.sblock("start"):
            vi = T.axis.spatial(count, i)
            T.buffer_store(found, 0, [vi])
        with T.grid(count, ENTRIES) as (i, t), T.sblock("select"):
            vi, vt = T.axis.remap("SR", [i, t])
            index = T.bitwise_and(T.Cast("int32", data[vi]), ENTRIES - 1)
            entry = T.if_then_else(index == vt, T.Cast("int32", table[vt]), 0)
            T.buffer_store(found, found[vi] + entry, [vi])
        with T.serial(0, count) as i, T.sblock("finish"):
            vi = T.axis.spatial(count, i)
            T.buffer_store(output, T.Cast(self.target, found[vi]), [vi])

    def micro_kernel(self) -> MicroKernel:
        """The C function; r0 walks over the data, r2 over the output, r3 counts."""
        turn = [f"ldrb {register}, [r0], #1" for register in _TURN]
        turn += [f"ldrb {register}, [r1, {register}]" for register in _TURN]
        turn += [f"strb {register}, [r2], #1" for register in _TURN]
        lines = ["push {r4-r6, lr}", "subs r3, #8", "blt 2f", "1:", *turn, *turn, "subs r3, #8", "bge 1b"]
        lines += ["2:", "adds r3, #8", "beq 4f"]
        lines += [
            "3:",
            "ldrb r4, [r0], #1",
            "ldrb r4, [r1, r4]",
            "strb r4, [r2], #1",
            "subs r3, #1",
            "bne 3b",
        ]
        lines += ["4:", "pop {r4-r6, pc}"]
        parameters = "const void *data, const void *table, void *output, int32_t elements"
        types = "" if self.source == self.target == "int8" else f"_{self.source}_{self.target}"
        return naked_function(f"tinyml_dsp_table{types}", parameters, lines)

    def register(self) -> str:
        """Register the TensorIntrin of `describe` and return its name."""
        operands = {
            "data": Operand((self.elements,), self.source),
            "table": Operand((ENTRIES,), self.target),
            "output": Operand((self.elements,), self.target, written=True),
            "found": Operand((self.elements,), "int32", written=True, passed=False),
        }
        return register(self.micro_kernel().name, operands, self.describe, [self.elements])
