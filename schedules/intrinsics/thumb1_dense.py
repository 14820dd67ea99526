"""Products of a vector with several rows of weights at a time on Armv6-M, whose signed loads have no offsets.

Weights are stored 128 higher, as unsigned bytes, which have loads with offsets; 128 times the sum of the vector comes
off at the end. A product takes three instructions, and what the lanes share another three. Four sums lie in low
registers, the others in high ones, to which Armv6-M adds as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from . import thumb1_assembly as thumb1
from .tensor_intrinsic import Operand, register
from .thumb1_assembly import UNROLL, WORD

MAX_LANES = 8
OFFSET = 128
_SUMS = ("r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11")


@dataclass(frozen=True)
class DenseSums:
    """sums[j] = sum over k of data[k] * (weight[k, j] - 128) for `lanes` rows of `depth` weights; at most eight."""

    lanes: int
    depth: int

    @property
    def name(self) -> str:
        """Name of the C function (sums, data, weight, depth)."""
        return f"tinyml_dense_{self.lanes}"

    @property
    def instructions(self) -> float:
        """Estimate of one call, with those of the caller."""
        return 60 + self.depth * (3 + 3 * self.lanes + 4 / UNROLL)

    def micro_kernel(self) -> MicroKernel:
        """The C function; r0 and r1 walk over data and weights to r12, lr sums the data, the rest is on the stack."""
        sums = _SUMS[: self.lanes]
        lines = ["str r0, [sp, #0]", "adds r4, r1, r3", "str r4, [sp, #4]", "movs r4, #3", "bics r3, r4"]
        lines += ["adds r3, r3, r1", "mov r12, r3", "movs r0, r1", "movs r1, r2", "movs r2, #0", "mov lr, r2"]
        lines += [f"mov {one}, r2" for one in sums]
        lines += ["cmp r0, r12", "beq 2f", "1:"]
        lines += [line for k in range(UNROLL) for line in self._products(k)]
        lines += [f"adds r0, #{UNROLL}", f"adds r1, #{UNROLL * self.lanes}", "cmp r0, r12", "bne 1b"]
        lines += ["2:", "ldr r3, [sp, #4]", "mov r12, r3", "cmp r0, r12", "beq 4f", "3:", *self._products(0)]
        lines += ["adds r0, #1", f"adds r1, #{self.lanes}", "cmp r0, r12", "bne 3b", "4:"]
        lines += ["mov r2, lr", "lsls r2, r2, #7", "ldr r0, [sp, #0]"]
        for one in sums:
            lines += [f"mov r3, {one}", "subs r3, r3, r2", "stmia r0!, {r3}"]
        parameters = "int32_t *sums, const int8_t *data, const uint8_t *weight, int32_t depth"
        return thumb1.function(self.name, parameters, lines, 2 * WORD)

    def _products(self, k: int) -> list[str]:
        lines = [f"ldrb r2, [r0, #{k}]", "sxtb r2, r2", "add lr, r2"]
        for lane, total in enumerate(_SUMS[: self.lanes]):
            lines += [f"ldrb r3, [r1, #{k * self.lanes + lane}]", "muls r3, r2, r3", f"add {total}, r3"]
        return lines

    def block(self, sums: Any, data: Any, weight: Any, row: Any, first: Any) -> None:
        """Contents of a block; sums int32[1, lanes], a row of the data, weights from row `first` on."""
        T.reads(data[row, 0 : self.depth], weight[first : first + self.depth, 0 : self.lanes])
        T.writes(sums[0, 0 : self.lanes])
        with T.serial(0, self.lanes) as j, T.serial(0, self.depth) as k, T.sblock("product"):
            vj, vk = T.axis.spatial(self.lanes, j), T.axis.reduce(self.depth, k)
            with T.init():
                T.buffer_store(sums, T.int32(0), [0, vj])
            centred = T.Cast("int32", weight[first + vk, vj]) - OFFSET
            T.buffer_store(sums, sums[0, vj] + T.Cast("int32", data[row, vk]) * centred, [0, vj])

    def register(self) -> str:
        """Register the micro-kernel as a tensor intrinsic and return its name."""
        operands = {
            "sums": Operand((1, self.lanes), "int32", written=True),
            "data": Operand((1, self.depth), "int8"),
            "weight": Operand((self.depth, self.lanes), "uint8", self.lanes),
        }
        return register(
            self.name,
            operands,
            lambda sums, data, weight: self.block(sums, data, weight, 0, 0),
            [self.depth],
        )
