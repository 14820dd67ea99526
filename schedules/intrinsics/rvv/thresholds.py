"""Quantisation of floating-point numbers on a core without floating point: a search among thresholds.

A quantiser is monotone, so its result is the number of thresholds that an input reaches. Bit patterns of floats, with
those of negative numbers inverted but for the sign, are ordered as integers like the numbers they stand for; a binary
search over 255 patterns takes eight gathers for a vector of inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..description import nest, register
from .assembly import Assembly

THRESHOLDS = 255
_MAGNITUDE, _INFINITY = 0x7FFFFFFF, 0x7F800000
# Lanes of a group of eight registers at VLEN = 128.
_LANES = 32


@dataclass(frozen=True)
class QuantizeTile:
    """Quantise `elements` numbers to results from `lowest` on."""

    elements: int
    lowest: int

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        return f"rvv_quantize_{self.elements}_{self.lowest}".replace("-", "m")

    def block(self, data: Any, table: Any, counts: Any, output: Any, at: Any = 0) -> None:
        """Emit the tile as a TensorIR block in its plain meaning; all buffers are of one row."""
        elements = self.elements
        T.reads(data[0, at : at + elements], table[0, 0:THRESHOLDS])
        T.writes(counts[0, 0:elements], output[0, at : at + elements])
        with nest("start", (elements,)) as (i,):
            T.buffer_store(counts, self.lowest, [0, i])
        with nest("count", (elements,), (THRESHOLDS,)) as (i, t):
            bits = T.reinterpret("int32", data[0, at + i])
            number = T.if_then_else(T.int32(_INFINITY) < T.bitwise_and(bits, _MAGNITUDE), 0, bits)
            key = T.bitwise_xor(number, T.if_then_else(number < 0, _MAGNITUDE, 0))
            T.buffer_store(counts, counts[0, i] + T.if_then_else(table[0, t] <= key, 1, 0), [0, i])
        with nest("narrow", (elements,)) as (i,):
            T.buffer_store(output, T.Cast(str(output.dtype), counts[0, i]), [0, at + i])

    def register(self, dtype: str) -> str:
        """Register the tile as a TensorIntrin for results of type `dtype` and return its name."""
        row = (1, self.elements)
        return register(
            f"{self.name}_{dtype}",
            {
                "data": (row, "float32"),
                "table": ((1, THRESHOLDS), "int32"),
                "counts": (row, "int32"),
                "output": (row, dtype),
            },
            self.block,
            lambda data, table, _counts, output: [
                data.access_ptr("r"),
                table.access_ptr("r"),
                output.access_ptr("w"),
            ],
            kernel=self.name,
            written=2,
        )

    def assemble(self) -> Assembly:
        """Code of the tile: a0 data, a1 table, a2 output; a3 counts elements, v16 holds offsets into the table."""
        asm = Assembly()
        asm.emit(f"li a3, {self.elements}", f"li a4, {_MAGNITUDE}", f"li a5, {_INFINITY}")
        with asm.strips("a3", -(-self.elements // _LANES)):
            asm.emit("vsetvli t0, a3, e32, m8, ta, mu")
            asm.emit("vle32.v v8, (a0)", "vand.vx v16, v8, a4", "vmsgtu.vx v0, v16, a5", group=8)
            asm.emit("vmerge.vim v8, v8, 0, v0", "vsra.vi v16, v8, 31", "vsrl.vi v16, v16, 1", group=8)
            asm.emit("vxor.vv v8, v8, v16", "vmv.v.i v16, 0", group=8)
            for bit in reversed(range(8)):
                step = 4 << bit
                asm.emit(f"addi t1, a1, {step - 4}")
                asm.emit("vluxei32.v v24, (t1), v16", "vmsle.vv v0, v24, v8", group=8)
                if step > 15:
                    asm.emit(f"li t1, {step}")
                    asm.emit("vadd.vx v16, v16, t1, v0.t", group=8)
                else:
                    asm.emit(f"vadd.vi v16, v16, {step}, v0.t", group=8)
            asm.emit("vsetvli zero, t0, e16, m4, ta, ma")
            asm.emit("vnsrl.wi v8, v16, 2", group=8)
            asm.emit("vsetvli zero, t0, e8, m2, ta, ma", f"li t1, {self.lowest}")
            asm.emit("vnsrl.wi v4, v8, 0", group=4)
            asm.emit("vadd.vx v4, v4, t1", "vse8.v v4, (a2)", group=2)
            asm.emit("slli t1, t0, 2", "add a0, a0, t1", "add a2, a2, t0", "sub a3, a3, t0")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        parameters = ("const float *data", "const int32_t *table", "void *output")
        return self.assemble().micro_kernel(self.name, parameters)
