"""Two rows of int8 combined element by element: products, sums with all roundings, the larger or smaller of two.

Products take eight elements at a time: 9-bit differences from the zero points, multiplied into even and odd lanes,
which narrowing brings back into order. Sums take four, whose operands need 32 bits each. Either operand may be one
element for the whole row. Rows may have any length: loops are tail-predicated where no lane is wider than what they
count, and products come once more under a predicate.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import MicroKernel
from .assembly import function
from .epilogue import Requantization, correct_ties, narrow

# Registers of the elements of both operands.
_OPERANDS = ("q0", "q1")
_POINTERS = ("r0", "r1")
_ROWS = ("const int8_t *a", "const int8_t *b", "int8_t *output", "int32_t count")
# push {r3-r11, lr}.
_SAVED_BYTES = 40
_SAVE, _RESTORE = "push {r3-r11, lr}", "pop {r3-r11, pc}"


@dataclass(frozen=True)
class ExtremeRow:
    """The larger or the smaller of two elements. repeats: operands that are one element for all."""

    larger: bool
    repeats: tuple[bool, bool]
    lanes: int = 16

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        return f"tinyml_mve_{'maximum' if self.larger else 'minimum'}{_repeating(self.repeats)}"

    def parameters(self) -> tuple[str, ...]:
        """Parameters of the micro-kernel."""
        return _ROWS

    def prologue(self) -> list[str]:
        """What runs before the loop."""
        loads = zip(self.repeats, _POINTERS, _OPERANDS, strict=True)
        return [
            line
            for repeats, pointer, vector in loads
            if repeats
            for line in (f"ldrsb {pointer}, [{pointer}]", f"vdup.8 {vector}, {pointer}")
        ]

    def body(self) -> list[str]:
        """A vector of elements."""
        code = [
            f"vldrb.u8 {vector}, [{pointer}], #16"
            for repeats, pointer, vector in zip(self.repeats, _POINTERS, _OPERANDS, strict=True)
            if not repeats
        ]
        return [*code, f"{'vmax' if self.larger else 'vmin'}.s8 q2, q0, q1", "vstrb.8 q2, [r2], #16"]


@dataclass(frozen=True)
class ProductRow:
    """Products less their zero points, requantised. ties: whether ties of negative results need a correction."""

    requantization: Requantization
    ties: bool
    repeats: tuple[bool, bool]
    lanes: int = 8

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        ties = "" if self.ties or self.requantization.kind == "fit" else "_no_ties"
        return f"tinyml_mve_product_{self.requantization.name}{ties}{_repeating(self.repeats)}"

    def parameters(self) -> tuple[str, ...]:
        """Parameters of the micro-kernel; the fitted form has an addend and a bias, others the zero point."""
        last = ("addend", "bias") if self.requantization.kind == "fit" else ("zero_point",)
        names = ("a_zero_point", "b_zero_point", "multiplier", "shift", *last)
        return (*_ROWS, *(f"int32_t {name}" for name in names))

    def prologue(self) -> list[str]:
        """What runs before the loop: r4 on the parameters after the rows, and r10 one."""
        last = "r9" if self.requantization.kind == "fit" else "r8"
        code = [f"add r12, sp, #{_SAVED_BYTES}", f"ldm r12, {{r4-{last}}}"]
        code += ["mov r10, #1"] if self.ties else []
        for index, repeats in enumerate(self.repeats):
            if repeats:
                pointer, vector = _POINTERS[index], _OPERANDS[index]
                code += [f"ldrsb {pointer}, [{pointer}]", f"sub {pointer}, {pointer}, r{4 + index}"]
                code.append(f"vdup.16 {vector}, {pointer}")
        return code

    def body(self, masked: bool = False) -> list[str]:
        """Eight products; masked: under the predicate, less."""
        code: list[str] = []
        for index, repeats in enumerate(self.repeats):
            if not repeats:
                pointer, vector = _POINTERS[index], _OPERANDS[index]
                code += _masked("vldrb", "s16", f"{vector}, [{pointer}], #8", masked)
                code.append(f"vsub.i16 {vector}, {vector}, r{4 + index}")
        both, how = ("q2", "q3"), self.requantization
        code += ["vmullb.s16 q2, q0, q1", "vmullt.s16 q3, q0, q1"]
        if how.kind == "fit":
            code += [f"vadd.i32 {x}, {x}, r9" for x in both]
        code += [f"vqrdmulh.s32 {x}, {x}, r6" for x in both]
        code += correct_ties(both, "r10") if self.ties else []
        if how.kind == "fit":
            code += [f"vadd.i32 {x}, {x}, r8" for x in both]
        code += [f"{'vshl' if how.kind == 'fit' else 'vrshl'}.s32 {x}, r7" for x in both]
        # An operand that is loaded again is free.
        code += narrow(how, *both, "q1" if self.repeats[0] else "q0", "r8")
        return [*code, *_masked("vstrb", "16", "q2, [r2], #8", masked)]


@dataclass(frozen=True)
class SumRow:
    """Sums (or differences) of operands brought to a common scale, with TFLite's three roundings.

    left_shift: of both operands. ties: whether a, b and the sum need the correction of negative ties.
    shifts: whether they are shifted at all.
    """

    subtracts: bool
    left_shift: int
    shifts: tuple[bool, bool, bool]
    ties: tuple[bool, bool, bool]
    clamp_min: int
    clamp_max: int
    repeats: tuple[bool, bool]
    lanes: int = 4

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        flags = "".join(str(int(one)) for one in (*self.shifts, *self.ties))
        limits = Requantization("sum", self.clamp_min, self.clamp_max).name
        word = "difference" if self.subtracts else "rounded"
        return f"tinyml_mve_{word}_{limits}_left{self.left_shift}_{flags}{_repeating(self.repeats)}"

    def parameters(self) -> tuple[str, ...]:
        """Parameters of the micro-kernel."""
        names = ("a_zero_point", "b_zero_point", "a_multiplier", "b_multiplier", "a_shift", "b_shift")
        return (*_ROWS, *(f"int32_t {name}" for name in (*names, "multiplier", "shift", "zero_point")))

    def prologue(self) -> list[str]:
        """What runs before the loop: r4 to r11 the parameters up to the shift, r12 one."""
        code = [f"add r12, sp, #{_SAVED_BYTES}", "ldm r12, {r4-r11}", "mov r12, #1"]
        for index, repeats in enumerate(self.repeats):
            if repeats:
                pointer, vector = _POINTERS[index], _OPERANDS[index]
                code += [
                    f"ldrsb {pointer}, [{pointer}]",
                    f"vdup.32 {vector}, {pointer}",
                    *self._operand(index),
                ]
        return code

    def _operand(self, index: int) -> list[str]:
        vector = _OPERANDS[index]
        code = [
            f"vsub.i32 {vector}, {vector}, r{4 + index}",
            f"vshl.i32 {vector}, {vector}, #{self.left_shift}",
        ]
        return [*code, *self._scaled(vector, index, f"r{6 + index}", f"r{8 + index}")]

    def _scaled(self, vector: str, index: int, multiplier: str, shift: str) -> list[str]:
        code = [f"vqrdmulh.s32 {vector}, {vector}, {multiplier}"]
        code += correct_ties((vector,), "r12") if self.ties[index] else []
        return [*code, *([f"vrshl.s32 {vector}, {shift}"] if self.shifts[index] else [])]

    def body(self) -> list[str]:
        """Four sums; r3 zero point."""
        code: list[str] = []
        for index, repeats in enumerate(self.repeats):
            if not repeats:
                code += [f"vldrb.s32 {_OPERANDS[index]}, [{_POINTERS[index]}], #4", *self._operand(index)]
        code += [
            f"{'vsub' if self.subtracts else 'vadd'}.i32 q2, q0, q1",
            *self._scaled("q2", 2, "r10", "r11"),
        ]
        code += ["vqmovnb.s32 q2, q2", "vqadd.s16 q2, q2, r3"]
        for operation, limit, natural in (("vmax", self.clamp_min, -128), ("vmin", self.clamp_max, 127)):
            if limit != natural:
                move = f"vmov.i16 q3, #{limit}" if limit >= 0 else f"vmvn.i16 q3, #{~limit}"
                code += [move, f"{operation}.s16 q2, q2, q3"]
        return [*code, "vqmovnb.s16 q2, q2", "vstrb.32 q2, [r2], #4"]


Row = ExtremeRow | ProductRow | SumRow


def row_kernel(row: Row) -> MicroKernel:
    """Micro-kernel of a row of `count` elements."""
    if isinstance(row, ProductRow):
        # Products take two lanes: a predicate of single elements would leave half of the last one as it was.
        loop = ["lsrs r11, r3, #3", "wls lr, r11, 2f", "1:", *row.body(), "le lr, 1b", "2:"]
        loop += ["ands r3, r3, #7", "beq 3f", "vctp.16 r3", *row.body(masked=True), "3:"]
    else:
        loop = [f"wlstp.{128 // row.lanes} lr, r3, 2f"]
        # The count is in the loop's register now.
        loop += [f"ldr r3, [sp, #{_SAVED_BYTES + 32}]"] if isinstance(row, SumRow) else []
        loop += ["1:", *row.body(), "letp lr, 1b", "2:"]
    return function(row.name, row.parameters(), [_SAVE, *row.prologue(), *loop, _RESTORE])


def row_instructions(row: Row, elements: int) -> float:
    """Instructions of one call."""
    frame = len(row.prologue()) + 4
    if isinstance(row, ProductRow):
        whole, rest = divmod(elements, row.lanes)
        return frame + 3 + whole * (len(row.body()) + 1) + (1 + len(row.body(masked=True)) if rest else 0)
    return frame + (len(row.body()) + 1) * -(-elements // row.lanes)


def _masked(mnemonic: str, kind: str, operands: str, masked: bool) -> list[str]:
    return ["vpst", f"{mnemonic}t.{kind} {operands}"] if masked else [f"{mnemonic}.{kind} {operands}"]


def _repeating(repeats: tuple[bool, bool]) -> str:
    names = "".join(name for name, one in zip("ab", repeats, strict=True) if one)
    return f"_one_{names}" if names else ""
