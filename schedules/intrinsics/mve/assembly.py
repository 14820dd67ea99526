"""Functions in assembly: the C frame around them and an address register that follows its accesses.

A micro-kernel is a naked function, so that every register is the generator's. `noipa` keeps gcc from reasoning about
arguments and registers that it sees unused. Calling convention: AAPCS with d8-d15, r4-r11 preserved.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...kernel import MicroKernel

# Defined once, before the functions that use it.
PRELUDE = MicroKernel(
    "tinyml_mve_prelude",
    "/* Functions written in assembly: gcc must not draw conclusions from their empty C bodies. */\n"
    "#if defined(__clang__)\n"
    "#define TINYML_ASSEMBLY __attribute__((naked, noinline))\n"
    "#else\n"
    "#define TINYML_ASSEMBLY __attribute__((naked, noipa))\n"
    "#endif\n"
    "/* Functions that only others written in assembly enter. */\n"
    "#define TINYML_SHARED TINYML_ASSEMBLY __attribute__((used))\n",
)

# push {r4-r11, lr} and vpush {d8-d15}.
SAVED_BYTES = 100
# Immediate offsets of contiguous vector loads: seven bits, scaled by the size of an element.
WORD_RANGE = 508
BYTE_RANGE = 127
# Immediate of ADDW and SUBW.
ADD_RANGE = 4095
# Even registers: the accumulators that VMLADAV accepts.
ACCUMULATORS = ("r0", "r2", "r4", "r6", "r8", "r10", "r12", "lr")
ACCUMULATOR_LIST = "{" + ", ".join(ACCUMULATORS) + "}"


def save(stack: int) -> list[str]:
    """Entry of a function that uses every register; `stack` bytes of its own, 4 more than a multiple of 8."""
    return ["push {r4-r11, lr}", "vpush {d8-d15}", f"sub sp, sp, #{stack}"]


def restore(stack: int) -> list[str]:
    """Return from a function entered by `save`."""
    return [f"add sp, sp, #{stack}", "vpop {d8-d15}", "pop {r4-r11, pc}"]


def add_constant(target: str, value: int) -> list[str]:
    """target += value, in steps of what an immediate operand holds."""
    mnemonic, left, code = ("addw" if value > 0 else "subw"), abs(value), []
    while left:
        step = min(left, ADD_RANGE)
        code.append(f"{mnemonic} {target}, {target}, #{step}")
        left -= step
    return code


def load_constant(target: str, value: int) -> list[str]:
    """target = value."""
    low = [f"movw {target}, #{value & 0xFFFF}"]
    return low + ([f"movt {target}, #{value >> 16 & 0xFFFF}"] if value >> 16 & 0xFFFF else [])


class Cursor:
    """An address register walking over a tile: loads at byte offsets from the tile's start.

    The register stands `position` bytes after the start; offsets out of an instruction's reach move it as far as
    lower offsets, or higher ones when the tile is read upwards, stay within reach.
    """

    def __init__(self, register: str, position: int = 0, *, downwards: bool = True) -> None:
        self.register = register
        self.position = position
        self._downwards = downwards

    def load(self, vector: str, offset: int, *, aligned: bool) -> list[str]:
        """Load 16 bytes at `offset`; `aligned` to words."""
        moves = self._reach(offset, aligned)
        return [*moves, f"{_load(aligned)} {vector}, [{self.register}, #{offset - self.position}]"]

    def load_and_move(self, vector: str, offset: int, position: int, *, aligned: bool) -> list[str]:
        """Load, then put the register at `position`: one instruction when the load is where it stands."""
        step = position - self.position
        if offset != self.position or abs(step) > (WORD_RANGE if aligned else BYTE_RANGE):
            return [*self.load(vector, offset, aligned=aligned), *self.move(position)]
        self.position = position
        return [f"{_load(aligned)} {vector}, [{self.register}], #{step}"]

    def load_pair(
        self, first: str, second: str, low: int, high: int, *, aligned: bool, masked: bool
    ) -> list[str]:
        """Load at two offsets, at most twice a reach apart; `masked` ones under the predicate, zero elsewhere."""
        reach = WORD_RANGE if aligned else BYTE_RANGE
        both = abs(low - self.position) <= reach and abs(high - self.position) <= reach
        moves = [] if both else self.move(high - reach)
        mnemonic = _load(aligned).replace(".", "t.") if masked else _load(aligned)
        loads = [
            f"{mnemonic} {vector}, [{self.register}, #{offset - self.position}]"
            for vector, offset in ((first, low), (second, high))
        ]
        return [*moves, *(["vpstt"] if masked else []), *loads]

    def move(self, position: int) -> list[str]:
        """Put the register at `position`."""
        step, self.position = position - self.position, position
        return add_constant(self.register, step)

    def store(self, vector: str, offset: int) -> list[str]:
        """Store 16 bytes at `offset`."""
        moves = self._reach(offset, False)
        return [*moves, f"vstrb.8 {vector}, [{self.register}, #{offset - self.position}]"]

    def _reach(self, offset: int, aligned: bool) -> list[str]:
        reach = WORD_RANGE if aligned else BYTE_RANGE
        if abs(offset - self.position) <= reach:
            return []
        return self.move(offset - reach if self._downwards else offset + reach)


def _load(aligned: bool) -> str:
    return "vldrw.u32" if aligned else "vldrb.u8"


def data(values: Sequence[int], size: int) -> list[str]:
    """Constants of `size` bytes each, a word per line as instructions are."""
    directive, per_line = {1: ".byte", 2: ".short", 4: ".word"}[size], 4 // size
    lines = (values[start : start + per_line] for start in range(0, len(values), per_line))
    return [f"{directive} {', '.join(map(str, line))}" for line in lines]


def function(name: str, parameters: Sequence[str], instructions: Sequence[str]) -> MicroKernel:
    """Wrap assembly into a C function."""
    return _wrap("TINYML_ASSEMBLY", name, parameters, instructions)


def shared_function(name: str, parameters: Sequence[str], instructions: Sequence[str]) -> MicroKernel:
    """Wrap assembly that other assembly branches to, which compilers do not see."""
    return _wrap("TINYML_SHARED", name, parameters, instructions)


def _wrap(kind: str, name: str, parameters: Sequence[str], instructions: Sequence[str]) -> MicroKernel:
    unused = ", ".join(f"{parameter} __attribute__((unused))" for parameter in parameters)
    text = "\n".join(f'        "{instruction}\\n"' for instruction in instructions)
    return MicroKernel(
        name, f"{kind} static void {name}({unused})\n{{\n    __asm__ volatile(\n{text});\n}}\n"
    )
