"""Assembly text of RVV micro-kernels, and what executing it costs.

A kernel is a naked C function: all registers are chosen here, the C ABI's caller-saved ones first, and the others are
saved. `Assembly` collects the instructions and counts how often each is executed, once plainly and once
weighted by the registers of its vector group: a core whose datapath is as wide as a register needs about that many
cycles.

Vector length: lanes are given as application vector lengths, so the code is right for any VLEN of 128 bits and more.
Widened accumulators are kept as register groups, whose lane numbers depend on VLEN: operations on them run over
whole groups, loads and stores over the lanes that exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ...kernel import MicroKernel
from ...parts import Parts

# Instructions per statement of inline assembly.
STATEMENT_LINES = 96
# How instructions begin that multiply activations by weights.
MULTIPLICATIONS = ("vwmul", "vwmacc")


@dataclass
class Assembly:
    """Instructions of one kernel in order.

    executed: instructions executed by one call.
    outputs: those of them that requantise and store.
    multiplications: those of them that multiply vectors, requantisation left out.
    registers: the same, each vector instruction counted as the registers of its widest operand.
    """

    lines: list[str] = field(default_factory=list)
    executed: float = 0
    registers: float = 0
    outputs: float = 0
    multiplications: float = 0
    _times: float = 1
    _labels: int = 0

    def emit(self, *instructions: str, group: int = 1) -> None:
        """Append instructions whose widest operand is a group of `group` registers."""
        for instruction in instructions:
            self.lines.append(instruction)
            self.executed += self._times
            self.registers += self._times * group
            self.multiplications += self._times * instruction.startswith(MULTIPLICATIONS)

    @contextmanager
    def loop(self, counter: str, times: int) -> Iterator[None]:
        """Repeat the body; `counter` is a free register. One pass needs no counter."""
        if times == 1:
            yield
            return
        self.emit(f"li {counter}, {times}")
        label = self.label()
        self._times *= times
        yield
        self.emit(f"addi {counter}, {counter}, -1", f"bnez {counter}, {label}b")
        self._times /= times

    @contextmanager
    def strips(self, left: str, times: int) -> Iterator[None]:
        """Repeat the body while register `left` is not zero, which the body brings about after `times` passes."""
        label = self.label()
        self._times *= times
        yield
        self.emit(f"bnez {left}, {label}b")
        self._times /= times

    @contextmanager
    def repeated(self, times: float) -> Iterator[None]:
        """Count what the body executes so often; the instructions that repeat it are emitted by the caller."""
        before = self._times
        self._times *= times
        yield
        self._times = before

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Count what the body executes among `outputs`."""
        before = self.executed
        yield
        self.outputs += self.executed - before

    @contextmanager
    def saved(self, registers: Sequence[str]) -> Iterator[None]:
        """Let the body use registers that belong to the caller; stack arguments lie `frame_bytes` further up."""
        frame = frame_bytes(registers)
        self.emit(f"addi sp, sp, -{frame}")
        self.emit(*(f"sw {register}, {4 * index}(sp)" for index, register in enumerate(registers)))
        yield
        self.emit(*(f"lw {register}, {4 * index}(sp)" for index, register in enumerate(registers)))
        self.emit(f"addi sp, sp, {frame}")

    @property
    def parts(self) -> Parts:
        """What one call is spent on."""
        products = self.executed - self.outputs
        return Parts(products, self.outputs, multiplications=self.multiplications)

    @property
    def code_bytes(self) -> int:
        """Upper bound of the code's size."""
        return 4 * len(self.lines)

    def label(self) -> int:
        """Place a new local label and return its number."""
        self._labels += 1
        self.lines.append(f"{self._labels}:")
        return self._labels

    def forward(self) -> int:
        """Number of the label that will be placed next."""
        return self._labels + 1

    def micro_kernel(self, name: str, parameters: Sequence[str]) -> MicroKernel:
        """The C function; it ends with a return."""
        self.emit("ret")
        # C99 compilers need not take strings of more than 4,095 characters.
        parts = [self.lines[at : at + STATEMENT_LINES] for at in range(0, len(self.lines), STATEMENT_LINES)]
        statements = "".join(
            "    __asm__(\n" + "\n".join(f'        "{line}\\n"' for line in part) + ");\n" for part in parts
        )
        head = f"__attribute__((naked, noinline)) static void {name}({', '.join(parameters)})"
        return MicroKernel(name, f"{head}\n{{\n{statements}}}\n")


def frame_bytes(registers: Sequence[str]) -> int:
    """Bytes of stack that saved registers take; the stack stays aligned to 16."""
    return -(-4 * len(registers) // 16) * 16


def advance(
    assembly: Assembly, register: str, amount: int, scratch: str = "t0", source: str | None = None
) -> None:
    """`register = source + amount` for any constant; nothing when that changes nothing."""
    origin = source or register
    if amount == 0 and origin == register:
        return
    if -2048 <= amount < 2048:
        assembly.emit(f"addi {register}, {origin}, {amount}")
    else:
        assembly.emit(f"li {scratch}, {amount}", f"add {register}, {origin}, {scratch}")
