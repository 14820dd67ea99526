"""Products of two int8 vectors by element: zero points come off two values at a time, four are requantised in turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..tensor_intrinsic import register
from .assembly import naked_function
from .elementwise import CALL_INSTRUCTIONS, Offsets, describe_pairs, pair_operands
from .epilogue import AWAY, Accumulator, Epilogue


@dataclass(frozen=True)
class ProductVector:
    """output[i] = requantised (a[i] - zero_points[0]) * (b[i] - zero_points[1]); not by AWAY, which needs registers."""

    elements: int
    zero_points: tuple[int, int]
    epilogue: Epilogue

    def __post_init__(self) -> None:
        assert self.epilogue.form != AWAY

    @property
    def factors(self) -> tuple[int, int]:
        """Word and multiplier of the epilogue's only row."""
        word, multiplier = self.epilogue.rows[0]
        return int(word), int(multiplier)

    @property
    def instructions(self) -> float:
        """Instructions of one call, with those of the caller."""
        return CALL_INSTRUCTIONS + self.elements * (4 + self.epilogue.instructions)

    def describe(self, a: Any, b: Any, output: Any, offsets: Offsets = (0, 0, 0)) -> None:
        """Emit the products as a block's contents."""
        word, multiplier = self.factors

        def combine(x: Any, y: Any) -> Any:
            left, right = (
                T.Cast("int32", value) - point for value, point in zip((x, y), self.zero_points, strict=True)
            )
            return self.epilogue.value(left * right, T.int32(word), T.int32(multiplier))

        describe_pairs(self.elements, (a, b, output), offsets, combine)

    def micro_kernel(self) -> MicroKernel:
        """The C function; r0, r1 and r2 walk over operands and output, r3 counts; r4, r5: pairs of zero points."""

        def requantized(*registers: str) -> list[str]:
            accumulators = [Accumulator(register, "r6", "r7", "r8") for register in registers]
            lines = self.epilogue.requantize(accumulators, ("", ""))
            return [*lines, *(f"strb {register}, [r2], #1" for register in registers)]

        lines = [
            "push {r4-r11, lr}",
            "ldrd r4, r5, [sp, #36]",
            "ldrd r6, r12, [sp, #44]",
            "ldr lr, [sp, #52]",
        ]
        lines += [*self.epilogue.unpack("r12", "r7", "lr", "r8"), "subs r3, #4", "blt 2f", "1:"]
        lines += ["ldr r9, [r0], #4", "ldr r11, [r1], #4"]
        for even, odd, points in (("r9", "r10", "r4"), ("r11", "r12", "r5")):
            lines += [f"sxtb16 {odd}, {even}, ror #8", f"sxtb16 {even}, {even}"]
            lines += [f"ssub16 {odd}, {odd}, {points}", f"ssub16 {even}, {even}, {points}"]
        lines += ["smulbb lr, r9, r11", "smultt r9, r9, r11", "smulbb r11, r10, r12", "smultt r10, r10, r12"]
        lines += [
            *requantized("lr", "r11", "r9", "r10"),
            "subs r3, #4",
            "bge 1b",
            "2:",
            "adds r3, #4",
            "beq 4f",
        ]
        lines += [
            "3:",
            "ldrsb r9, [r0], #1",
            "ldrsb r11, [r1], #1",
            "ssub16 r9, r9, r4",
            "ssub16 r11, r11, r5",
        ]
        lines += ["smulbb lr, r9, r11", *requantized("lr"), "subs r3, #1", "bne 3b", "4:", "pop {r4-r11, pc}"]
        parameters = (
            "const int8_t *a, const int8_t *b, int8_t *output, int32_t elements, int32_t a_zero_points,"
            " int32_t b_zero_points, int32_t multiplier, int32_t word, int32_t origin"
        )
        return naked_function(f"tinyml_dsp_product_{self.epilogue.key}", parameters, lines)

    def register(self) -> str:
        """Register the TensorIntrin of `describe` and return its name."""
        word, multiplier = self.factors
        pairs = [_pair(point) for point in self.zero_points]
        arguments = [self.elements, *pairs, multiplier, word, self.epilogue.origin]
        return register(self.micro_kernel().name, pair_operands(self.elements), self.describe, arguments)


def _pair(value: int) -> int:
    """An int32 with the value in both halves."""
    word = (value & 0xFFFF) * 0x10001
    return word - (word >> 31 << 32)
