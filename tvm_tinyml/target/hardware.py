"""What a core, a board and an NPU are: immutable records read from target_configs/*.toml.

Two records are equal when their data are equal, wherever they were read from; both can be hashed and pickled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from tvm_tinyml.errors import TargetError

Family = Literal["arm", "riscv", "host"]
Compiler = Literal["gcc", "clang"]
Runner = Literal["qemu", "host", "none"]

COMPILERS: tuple[Compiler, ...] = ("gcc", "clang")
FAMILIES: tuple[Family, ...] = ("arm", "riscv", "host")
RUNNERS: tuple[Runner, ...] = ("qemu", "host", "none")
NPU_MEMORY_MODES = ("shared-sram", "dedicated-sram", "sram-only")
"""Where an NPU finds weights and tensors: weights in flash and tensors in SRAM; both in DRAM, with fast SRAM of its
own; both in SRAM."""
FEATURES = ("dsp", "fpu", "mve", "rv32", "rvv", "thumb1")
"""Features schedules ask for: packed 8/16-bit arithmetic, floating point, Arm vectors; RISC-V, RISC-V vectors; 16-bit
Thumb only."""


@dataclass(frozen=True)
class CompilerSupport:
    """How one compiler is told about a core, or the reason why it cannot be used for it."""

    name: Compiler
    flags: tuple[str, ...] = ()
    optimization: tuple[str, ...] = ()
    refused: str = ""
    """Why this compiler cannot build for the core; empty when it can."""


@dataclass(frozen=True)
class CoreConfig:
    """One processor core: its instruction set and how compilers, TVM and QEMU are told about it."""

    name: str
    title: str
    family: Family
    features: frozenset[str]
    alignment: int
    """Alignment of buffers in the arena, in bytes."""
    gcc: str
    """Prefix of the GNU tools, for example "arm-none-eabi-"; empty for the host."""
    llvm_triple: str
    """Triple for clang and llvm-mca; empty for the host."""
    compilers: tuple[CompilerSupport, ...]
    default_compiler: Compiler
    c_library: tuple[str, ...]
    """gcc options that select the C library's headers and archives."""
    link_flags: tuple[str, ...]
    """gcc options that select the libgcc and C library variant when gcc links objects for this core."""
    default_board: str | None
    qemu_cpu: str
    """-cpu argument on a QEMU machine that leaves the choice of the core open."""
    tvm_keys: tuple[str, ...]
    notes: str

    @property
    def flags(self) -> dict[str, tuple[str, ...]]:
        """Target flags of every compiler that can build for this core."""
        return {support.name: support.flags for support in self.compilers if not support.refused}

    def support(self, compiler: str) -> CompilerSupport:
        """Return the usable support entry of `compiler`; TargetError with the reason when it is refused."""
        for entry in self.compilers:
            if entry.name == compiler:
                if entry.refused:
                    usable = ", ".join(f"-compiler={name}" for name in self.flags)
                    raise TargetError(f"{self.name} with {compiler}: {entry.refused}; use {usable}")
                return entry
        raise TargetError(f"{self.name} has no flags for {compiler}; use one of: {', '.join(self.flags)}")


@dataclass(frozen=True)
class MemoryRegion:
    """A contiguous piece of the memory map, in bytes: "rom" for code and constants, "ram" for the rest."""

    name: str
    origin: int
    length: int
    kind: Literal["rom", "ram"]

    @property
    def end(self) -> int:
        """First address behind the region."""
        return self.origin + self.length


@dataclass(frozen=True)
class QemuMachine:
    """How QEMU is started: program, -machine, -cpu ("" leaves the machine's own), -icount shift."""

    binary: str
    machine: str
    cpu: str
    icount_shift: int
    args: tuple[str, ...]
    cpu_from_core: bool
    """The machine takes any core of its instruction set: -cpu is the core's `qemu_cpu`."""


@dataclass(frozen=True)
class BoardConfig:
    """One board: the cores it can have, its memory map and what can run programs built for it.

    Regions are in the order linker scripts use them: vectors and code go to the first ROM region, constants
    to the largest; data and stack to the first RAM region, the arena to the largest.
    """

    name: str
    title: str
    cores: tuple[str, ...]
    runner: Runner
    qemu: QemuMachine | None
    memory: tuple[MemoryRegion, ...]
    notes: str

    @property
    def core(self) -> str:
        """The board's core; of a board that takes several and was not yet given one, the first."""
        return self.cores[0]

    def regions(self, kind: Literal["rom", "ram"]) -> tuple[MemoryRegion, ...]:
        """Return the regions of one kind in the order of the data file."""
        return tuple(region for region in self.memory if region.kind == kind)

    @property
    def code_region(self) -> MemoryRegion | None:
        """Where the vector table and the code lie; None on the host."""
        return next(iter(self.regions("rom")), None)

    @property
    def constants_region(self) -> MemoryRegion | None:
        """Where weights lie: the largest ROM region; None on the host."""
        return max(self.regions("rom"), key=lambda region: region.length, default=None)

    @property
    def data_region(self) -> MemoryRegion | None:
        """Where initialised data and the stack lie; None on the host."""
        return next(iter(self.regions("ram")), None)

    @property
    def arena_region(self) -> MemoryRegion | None:
        """Where the arena lies: the largest RAM region; None on the host."""
        return max(self.regions("ram"), key=lambda region: region.length, default=None)

    @property
    def ram_bytes(self) -> int | None:
        """Largest RAM budget: an arena needs one contiguous block. None when there is no limit (host)."""
        return self.arena_region.length if self.arena_region else None

    @property
    def flash_bytes(self) -> int | None:
        """Largest flash budget: all ROM regions together. None when there is no limit (host)."""
        return sum(region.length for region in self.regions("rom")) or None

    def for_core(self, core: CoreConfig) -> BoardConfig:
        """Return this board fitted with `core`, one of its `cores`: one core, its -cpu argument filled in."""
        qemu = self.qemu
        if qemu is not None and qemu.cpu_from_core:
            qemu = replace(qemu, cpu=core.qemu_cpu)
        return replace(self, cores=(core.name,), qemu=qemu)


@dataclass(frozen=True)
class NpuConfig:
    """One Ethos-U beside a core, as Vela is told about it.

    memory: memory modes and the system configuration that Vela estimates times with; the first mode is the default.
    functional_model: whether its command streams run on the functional model.
    """

    name: str
    title: str
    families: tuple[Family, ...]
    macs: int
    memory: tuple[tuple[str, str], ...]
    functional_model: bool
    notes: str

    @property
    def memory_modes(self) -> tuple[str, ...]:
        """The memory modes, the default first."""
        return tuple(mode for mode, _ in self.memory)


def describe_region(region: MemoryRegion) -> dict[str, Any]:
    """Return a region as plain data for JSON; addresses and lengths in bytes."""
    return {"name": region.name, "origin": region.origin, "length": region.length, "kind": region.kind}
