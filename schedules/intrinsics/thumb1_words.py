"""Micro-kernels for Armv6-M that make words of int8 values, four at a time from aligned memory, and add two tensors.

Compilers load such bytes one by one through an index register, because Armv6-M has no signed load with an offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from ..tensor_ir import largest_divisor
from . import thumb1_assembly as thumb1
from .tensor_intrinsic import Operand, register
from .thumb1_assembly import UNROLL, WORD


@dataclass(frozen=True)
class Widen:
    """to[i] = from[i] for `count` values, a multiple of four; `from` is aligned."""

    count: int

    @property
    def unrolled(self) -> int:
        """Groups of four values per round of the loop."""
        return largest_divisor(self.count // WORD, UNROLL)

    @property
    def name(self) -> str:
        """Name of the C function (to, from, count)."""
        return f"tinyml_widen_{self.unrolled}"

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        four = ["ldmia r1!, {r2}", "sxtb r3, r2", "lsls r4, r2, #16", "asrs r4, r4, #24", "lsls r5, r2, #8"]
        four += ["asrs r5, r5, #24", "asrs r6, r2, #24", "stmia r0!, {r3-r6}"]
        end = ["adds r2, r2, r1", "mov r12, r2"]
        parameters = "int32_t *to, const int8_t *from, int32_t count"
        return _loop(self.name, parameters, end, four * self.unrolled)

    def block(self, target: Any, source: Any, row: Any) -> None:
        """Contents of a block that widens the beginning of a row of a matrix into a vector."""
        T.reads(source[row, 0 : self.count])
        T.writes(target[0 : self.count])
        with T.serial(0, self.count) as i, T.sblock("widen"):
            vi = T.axis.spatial(self.count, i)
            T.buffer_store(target, T.Cast("int32", source[row, vi]), [vi])

    def register(self) -> str:
        """Register the micro-kernel as a tensor intrinsic and return its name."""
        operands = {
            "to": Operand((self.count,), "int32", written=True),
            "from": Operand((1, self.count), "int8", self.count),
        }
        return register(
            self.name, operands, lambda target, source: self.block(target, source, 0), [self.count]
        )


@dataclass(frozen=True)
class Pack:
    """to[i] = from[i] + (from[depth + i] << 16): two rows in the halves of words; depth is a multiple of four."""

    depth: int

    @property
    def unrolled(self) -> int:
        """Groups of four values per round of the loop."""
        return largest_divisor(self.depth // WORD, UNROLL // 2)

    @property
    def name(self) -> str:
        """Name of the C function (to, from, depth)."""
        return f"tinyml_pack_{self.unrolled}"

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        four = ["ldmia r1!, {r3}", "ldmia r2!, {r4}"]
        four += ["sxtb r5, r3", "lsls r6, r4, #24", "asrs r6, r6, #8", "adds r5, r5, r6"]
        four += ["lsls r6, r3, #16", "asrs r6, r6, #24", "sxth r7, r4", "asrs r7, r7, #8", "lsls r7, r7, #16"]
        four += ["adds r6, r6, r7", "stmia r0!, {r5, r6}"]
        four += ["lsls r5, r3, #8", "asrs r5, r5, #24", "lsls r6, r4, #8", "asrs r6, r6, #24"]
        four += ["lsls r6, r6, #16", "adds r5, r5, r6", "asrs r6, r3, #24", "asrs r7, r4, #24"]
        four += ["lsls r7, r7, #16", "adds r6, r6, r7", "stmia r0!, {r5, r6}"]
        end = ["adds r2, r2, r1", "mov r12, r2"]
        parameters = "int32_t *to, const int8_t *from, int32_t depth"
        return _loop(self.name, parameters, end, four * self.unrolled)

    def block(self, target: Any, at: Any, source: Any, row: Any) -> None:
        """Contents of a block that packs rows `row` and `row + 1` of a matrix into row `at` of another."""
        T.reads(source[row : row + 2, 0 : self.depth])
        T.writes(target[at, 0 : self.depth])
        with T.serial(0, self.depth) as i, T.sblock("pack"):
            vi = T.axis.spatial(self.depth, i)
            first, second = (T.Cast("int32", source[row + half, vi]) for half in (0, 1))
            T.buffer_store(target, first + second * T.int32(1 << 16), [at, vi])

    def register(self) -> str:
        """Register the micro-kernel as a tensor intrinsic and return its name."""
        operands = {
            "to": Operand((1, self.depth), "int32", written=True),
            "from": Operand((2, self.depth), "int8", self.depth),
        }
        return register(
            self.name, operands, lambda target, source: self.block(target, 0, source, 0), [self.depth]
        )


@dataclass(frozen=True)
class LinearSumLoop:
    """output[i] = clamp((a[i] * factor_a + b[i] * factor_b + addend) >> shift) for `count` values."""

    count: int
    factor_a: int
    factor_b: int
    addend: int
    shift: int
    clamp_min: int
    clamp_max: int

    @property
    def unrolled(self) -> int:
        """Values per round of the loop."""
        return largest_divisor(self.count, UNROLL)

    @property
    def name(self) -> str:
        """Name of the C function (output, a, b, count, factor_a, factor_b, addend)."""
        clamp = thumb1.clamp_name(self.clamp_min, self.clamp_max)
        return f"tinyml_sum_{self.unrolled}_{self.shift}{clamp}"

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        factor_a, factor_b, addend = (f"[sp, #{WORD * (5 + index)}]" for index in range(3))
        element = ["ldrsb r4, [r1, r3]", "ldrsb r5, [r2, r3]", "muls r4, r6, r4", "muls r5, r7, r5"]
        element += ["adds r4, r4, r5", "add r4, r12", f"asrs r4, r4, #{self.shift}"]
        element += thumb1.limited("r4", "r5", self.clamp_min, self.clamp_max)
        element += ["strb r4, [r0, r3]", "adds r3, r3, #1"]
        lines = ["push {r4-r7, lr}", "mov lr, r3", f"ldr r6, {factor_a}", f"ldr r7, {factor_b}"]
        lines += [f"ldr r3, {addend}", "mov r12, r3", "movs r3, #0", "1:", *(element * self.unrolled)]
        parameters = (
            "int8_t *output, const int8_t *a, const int8_t *b, int32_t count,"
            "\n    int32_t factor_a, int32_t factor_b, int32_t addend"
        )
        return thumb1.naked(self.name, parameters, [*lines, "cmp r3, lr", "bne 1b", "pop {r4-r7, pc}"])

    def block(self, output: tuple[Any, Any], a: tuple[Any, Any], b: tuple[Any, Any]) -> None:
        """Contents of a block that adds two rows of matrices; output, a, b: the matrix and its row."""
        (sums, row), (left, first), (right, second) = output, a, b
        T.reads(left[first, 0 : self.count], right[second, 0 : self.count])
        T.writes(sums[row, 0 : self.count])
        with T.serial(0, self.count) as i, T.sblock("sum"):
            vi = T.axis.spatial(self.count, i)
            operands = (T.Cast("int32", left[first, vi]), T.Cast("int32", right[second, vi]))
            products = operands[0] * self.factor_a + operands[1] * self.factor_b
            x = T.shift_right(products + self.addend, T.int32(self.shift))
            clamped = T.max(T.min(x, T.int32(self.clamp_max)), T.int32(self.clamp_min))
            T.buffer_store(sums, T.Cast("int8", clamped), [row, vi])

    def register(self) -> str:
        """Register the micro-kernel as a tensor intrinsic and return its name."""
        operands = {
            "output": Operand((1, self.count), "int8", written=True),
            "a": Operand((1, self.count), "int8"),
            "b": Operand((1, self.count), "int8"),
        }
        return register(
            self.name,
            operands,
            lambda output, a, b: self.block((output, 0), (a, 0), (b, 0)),
            [self.count, self.factor_a, self.factor_b, self.addend],
        )


def _loop(name: str, parameters: str, start: list[str], body: list[str]) -> MicroKernel:
    """A function that repeats `body` until r1 has come to r12."""
    lines = ["push {r4-r7, lr}", *start, "1:", *body, "cmp r1, r12", "bne 1b", "pop {r4-r7, pc}"]
    return thumb1.naked(name, parameters, lines)
