"""C functions whose bodies are generated assembly, and their pairing with an executable description."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import ir, s_tir
from tvm.s_tir import TensorIntrin
from tvm.s_tir.transform import StmtSimplify

from ...kernel import MicroKernel

# Longest body of an unrolled loop in instructions; with four bytes each it stays within a kilobyte.
MAX_UNROLLED = 180
# The same where code is to be small.
COMPACT = 24
# Instructions per statement of inline assembly.
STATEMENT_LINES = 96
# Largest immediate of an addition.
MAX_ADDEND = 4095


@dataclass(frozen=True)
class Intrinsic:
    """A micro-kernel and its binding to a description, the TensorIntrin `name`.

    build: makes description and implementation; called once per name, so the name must say everything they depend on.
    """

    name: str
    micro_kernel: MicroKernel
    build: Callable[[], tuple[Any, Any]]

    def register(self) -> str:
        """Register the TensorIntrin unless that is done, and return its name."""
        if self.name not in _registered:
            TensorIntrin.register(self.name, *self.build(), override=True)
            _registered.add(self.name)
        return self.name


_registered: set[str] = set()


def schedule(function: Any) -> Any:
    """A Schedule of the function after the simplification that tensorize gives to descriptions."""
    return s_tir.Schedule(StmtSimplify()(ir.IRModule({"main": function}))["main"])


def naked_function(name: str, parameters: str, lines: Sequence[str]) -> MicroKernel:
    """A C function that consists of the given instructions and labels, return included."""
    # C99 compilers need not take strings of more than 4,095 characters. The clobbers tell gcc, which looks into static
    # functions, what a call may change.
    parts: list[list[str]] = [[]]
    for line in lines:
        # What is conditional stays in the statement of its "it".
        conditional = parts[-1] and parts[-1][-1].startswith("it")
        if len(parts[-1]) >= STATEMENT_LINES and not conditional:
            parts.append([])
        parts[-1].append(line)
    clobbers = ", ".join(
        f'"{register}"' for register in ("r0", "r1", "r2", "r3", "r12", "lr", "cc", "memory")
    )
    statements = "".join(
        "    __asm__ volatile(\n"
        + "\n".join(f'        "{line}\\n"' for line in part)
        + f"\n        ::: {clobbers});\n"
        for part in parts
    )
    # Addresses of labels are relative to words, and compilers that save space align functions to half words.
    attributes = "__attribute__((naked, noinline, aligned(4)))"
    source = f"{attributes} static void {name}({parameters})\n{{\n{statements}}}\n"
    return MicroKernel(name, source)


@dataclass(frozen=True)
class Unrolled:
    """An unrolled loop that is entered in the middle, so that one function serves any number of steps.

    step: instructions of four bytes each. length: steps that are unrolled.
    """

    step: Sequence[str]
    length: int

    def entry(self, steps: int) -> int:
        """Bytes from the first unrolled step to where `steps` steps start, as an address of Thumb code."""
        ahead = (steps - 1) % self.length + 1
        return (self.length - ahead) * 4 * len(self.step) + 1

    def passes(self, steps: int) -> int:
        """How often the end of the loop is reached."""
        return -(-steps // self.length)

    def body(self, label: int, until: Sequence[str]) -> list[str]:
        """The loop; `until` compares so that "bne" goes on.

        The first instruction of several in `until` loads what is compared and must not touch what the last one of a
        step uses: they change places, so that nothing waits for the load.
        """
        unrolled = [line for _ in range(self.length) for line in self.step]
        if len(until) > 1:
            unrolled.insert(-1, until[0])
            until = until[1:]
        return [f"{label}:", *unrolled, *until, f"bne {label}b"]


def add_immediate(register: str, value: int) -> list[str]:
    """Instructions that add a number of any size to a register."""
    lines = []
    while value:
        part = max(-MAX_ADDEND, min(MAX_ADDEND, value))
        lines.append(f"{'add' if part > 0 else 'sub'} {register}, #{abs(part)}")
        value -= part
    return lines


def add_end(register: str, base: str, value: int) -> list[str]:
    """register = base + value for a value of any size."""
    return [f"mov {register}, {base}", *add_immediate(register, value)]


def repeat(
    count: int,
    step: Callable[[], Sequence[str]],
    label: int,
    until: Callable[[], Sequence[str]],
    longest: int = MAX_UNROLLED,
) -> list[str]:
    """Instructions that run `step` `count` times: unrolled, or as a loop when that would be too long.

    label: number of the local label of the loop.
    until: instructions after a loop's body that compare so that "bne" goes on; they must hold for every pass.
        The steps that do not fill a pass come before the loop.
    longest: instructions that an unrolled body may have.
    """
    length = max(1, longest // max(1, len(step())))
    passes = -(-count // length)
    if passes <= 1:
        return [line for _ in range(count) for line in step()]
    length = count // passes
    ahead = count - length * passes
    return [
        *(line for _ in range(ahead) for line in step()),
        f"{label}:",
        *(line for _ in range(length) for line in step()),
        *until(),
        f"bne {label}b",
    ]
