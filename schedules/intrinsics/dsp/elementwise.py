"""Two int8 vectors combined by element: sums on one line, and the larger or smaller of both.

SMLAWB and SMLAWT multiply a 32-bit factor with half a word and keep the upper 32 of the product's 48 bits, so the
operands stay in pairs as SXTB16 delivers them; SSAT shifts and clamps. SSUB8 compares four bytes at a time and SEL
takes each from one operand or the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..tensor_intrinsic import Operand, register
from .assembly import naked_function

SUM_INSTRUCTIONS, EXTREME_INSTRUCTIONS, CALL_INSTRUCTIONS = 5.6, 1.6, 40
"""Per element, and per call with those of the caller."""

Offsets = tuple[Any, Any, Any]
"""First elements of two operands and of the output."""


@dataclass(frozen=True)
class SumVector:
    """output[i] = saturate(((a[i] * factor_a >> 16) + (b[i] * factor_b >> 16) + addend) >> shift)."""

    elements: int
    factor_a: int
    factor_b: int
    addend: int
    shift: int

    @property
    def instructions(self) -> float:
        """Instructions of one call, with those of the caller."""
        return CALL_INSTRUCTIONS + SUM_INSTRUCTIONS * self.elements

    def describe(self, a: Any, b: Any, output: Any, offsets: Offsets = (0, 0, 0)) -> None:
        """Emit the sums as a block's contents."""

        def scaled(x: Any, factor: int) -> Any:
            return T.Cast("int32", (T.Cast("int64", x) * T.int64(factor)) >> T.int64(16))

        def combine(x: Any, y: Any) -> Any:
            total = scaled(x, self.factor_a) + scaled(y, self.factor_b) + self.addend
            return T.Cast("int8", T.max(T.min(T.shift_right(total, self.shift), 127), -128))

        describe_pairs(self.elements, (a, b, output), offsets, combine)

    def micro_kernel(self) -> MicroKernel:
        """The C function; r0 and r1 walk over the operands, r2 over the output, r3 counts; r4 to r6 the constants."""
        step = [
            "ldr r7, [r0], #4",
            "ldr r8, [r1], #4",
            "sxtb16 r9, r7",
            "sxtb16 r7, r7, ror #8",
            "sxtb16 r10, r8",
            "sxtb16 r8, r8, ror #8",
            "smlawb r11, r4, r9, r6",
            "smlawb r11, r5, r10, r11",
            "smlawb r12, r4, r7, r6",
            "smlawb r12, r5, r8, r12",
            "smlawt r9, r4, r9, r6",
            "smlawt r9, r5, r10, r9",
            "smlawt r7, r4, r7, r6",
            "smlawt r7, r5, r8, r7",
            *(
                f"ssat {register}, #8, {register}, asr #{self.shift}"
                for register in ("r11", "r12", "r9", "r7")
            ),
            *(f"strb {register}, [r2], #1" for register in ("r11", "r12", "r9", "r7")),
        ]
        lines = [
            "push {r4-r11, lr}",
            "ldrd r4, r5, [sp, #36]",
            "ldr r6, [sp, #44]",
            "subs r3, #8",
            "blt 2f",
            "1:",
            *step,
            *step,
            "subs r3, #8",
            "bge 1b",
            "2:",
            "adds r3, #8",
            "beq 4f",
            "3:",
            "ldrsb r7, [r0], #1",
            "ldrsb r8, [r1], #1",
            "smlawb r11, r4, r7, r6",
            "smlawb r11, r5, r8, r11",
            f"ssat r11, #8, r11, asr #{self.shift}",
            "strb r11, [r2], #1",
            "subs r3, #1",
            "bne 3b",
            "4:",
            "pop {r4-r11, pc}",
        ]
        parameters = (
            "const int8_t *a, const int8_t *b, int8_t *output, int32_t count, int32_t factor_a, int32_t factor_b,"
            " int32_t addend"
        )
        return naked_function(f"tinyml_dsp_sum_{self.shift}", parameters, lines)

    def register(self) -> str:
        """Register the TensorIntrin of `describe` and return its name."""
        arguments = [self.elements, self.factor_a, self.factor_b, self.addend]
        return register(self.micro_kernel().name, pair_operands(self.elements), self.describe, arguments)


@dataclass(frozen=True)
class ExtremeVector:
    """The larger (or smaller) of a[i] and b[i]."""

    elements: int
    larger: bool

    @property
    def instructions(self) -> float:
        """Instructions of one call, with those of the caller."""
        return CALL_INSTRUCTIONS + EXTREME_INSTRUCTIONS * self.elements

    def describe(self, a: Any, b: Any, output: Any, offsets: Offsets = (0, 0, 0)) -> None:
        """Emit the choice as a block's contents."""
        describe_pairs(self.elements, (a, b, output), offsets, T.max if self.larger else T.min)

    def micro_kernel(self) -> MicroKernel:
        """The C function; r0 and r1 walk over the operands, r2 over the output, r3 counts."""
        chosen = ["ssub8 r6, r4, r5", f"sel r4, {'r4, r5' if self.larger else 'r5, r4'}"]
        four = ["ldr r4, [r0], #4", "ldr r5, [r1], #4", *chosen, "str r4, [r2], #4"]
        one = ["ldrb r4, [r0], #1", "ldrb r5, [r1], #1", *chosen, "strb r4, [r2], #1"]
        lines = ["push {r4-r6, lr}", "subs r3, #8", "blt 2f", "1:", *four, *four, "subs r3, #8", "bge 1b"]
        lines += ["2:", "adds r3, #8", "beq 4f", "3:", *one, "subs r3, #1", "bne 3b", "4:", "pop {r4-r6, pc}"]
        parameters = "const int8_t *a, const int8_t *b, int8_t *output, int32_t count"
        return naked_function(f"tinyml_dsp_{'maximum' if self.larger else 'minimum'}", parameters, lines)

    def register(self) -> str:
        """Register the TensorIntrin of `describe` and return its name."""
        return register(
            self.micro_kernel().name, pair_operands(self.elements), self.describe, [self.elements]
        )


def describe_pairs(
    elements: int, buffers: tuple[Any, Any, Any], offsets: Offsets, combine: Callable[[Any, Any], Any]
) -> None:
    """Emit a block's contents that combine the elements of two operands from some offset on."""
    (a, b, output), (first, second, to) = buffers, offsets
    T.reads(a[first : first + elements], b[second : second + elements])
    T.writes(output[to : to + elements])
    with T.serial(0, elements) as i, T.sblock("pair"):
        vi = T.axis.spatial(elements, i)
        T.buffer_store(output, combine(a[first + vi], b[second + vi]), [to + vi])


def pair_operands(elements: int) -> dict[str, Operand]:
    """Two operands and the output of a micro-kernel, for `register`."""
    read = {name: Operand((elements,), "int8") for name in ("a", "b")}
    return {**read, "output": Operand((elements,), "int8", written=True)}
