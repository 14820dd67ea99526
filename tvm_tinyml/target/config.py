"""TargetConfig: the one frozen, validated description of what a model is compiled for."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from tvm_tinyml.errors import TargetError
from tvm_tinyml.target import toolchain
from tvm_tinyml.target.choices import require_choice
from tvm_tinyml.target.hardware import (
    COMPILERS,
    BoardConfig,
    Compiler,
    CoreConfig,
    NpuConfig,
    describe_region,
)
from tvm_tinyml.target.sizes import check_size, format_size

if TYPE_CHECKING:
    from tvm.target import Target

Rounding = Literal["litert", "tflm"]
InputOutput = Literal["arena", "caller"]
InputMode = Literal["held", "kept", "rows", "tiles"]
PlannerMethod = Literal["auto", "greedy", "exact"]
Objective = Literal["balanced", "size", "speed"]

# The first of each is the default.
ROUNDINGS: tuple[Rounding, ...] = ("litert", "tflm")
INPUT_OUTPUT: tuple[InputOutput, ...] = ("arena", "caller")
INPUT_MODES: tuple[InputMode, ...] = ("held", "kept", "rows", "tiles")
PLANNER_METHODS: tuple[PlannerMethod, ...] = ("auto", "greedy", "exact")
OBJECTIVES: tuple[Objective, ...] = ("balanced", "size", "speed")


NPU_ALIGNMENT = 16
"""Alignment of everything that an NPU reads or writes, in bytes."""

STACK_BYTES = 1024
"""Stack that budgets reserve for an inference: the deepest that was measured is 608 bytes."""


@dataclass(frozen=True)
class TargetConfig:
    """A core, perhaps a board, a compiler, memory budgets and the options that change generated code.

    `ram_bytes` and `flash_bytes` are budgets in bytes, None when none was asked for. A board other than the
    core's default one always sets both; `board` is None only for a core that has no default board.
    `npu` computes what Vela accepts, but for the TFLite operators of `npu_ignore` (sorted); with one the default
    rounding is that of the NPU, which is TFLite Micro's, and `npu_memory` is one of its memory modes.
    `without` names graph passes to leave out, sorted; which ones may be is the pipeline's to say.
    `str(config)` is the canonical target string: parsing it gives an equal config.
    """

    core: CoreConfig
    board: BoardConfig | None
    compiler: Compiler
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    rounding: Rounding = ROUNDINGS[0]
    io: InputOutput = INPUT_OUTPUT[0]
    input: InputMode = INPUT_MODES[0]
    planner: PlannerMethod = PLANNER_METHODS[0]
    opt: Objective = OBJECTIVES[0]
    without: tuple[str, ...] = ()
    npu: NpuConfig | None = None
    npu_memory: str = ""
    npu_ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_choice("compiler", self.compiler, COMPILERS)
        self.core.support(self.compiler)
        require_choice("rounding", self.rounding, ROUNDINGS)
        require_choice("io", self.io, INPUT_OUTPUT)
        require_choice("input", self.input, INPUT_MODES)
        require_choice("planner", self.planner, PLANNER_METHODS)
        require_choice("opt", self.opt, OBJECTIVES)
        for option, budget in (("-ram", self.ram_bytes), ("-flash", self.flash_bytes)):
            if budget is not None:
                check_size(budget, option)
        if self.board is not None:
            self._check_board(self.board)
        self._check_npu()

    def _check_npu(self) -> None:
        if self.npu is None:
            for option, value in (("npu-memory", self.npu_memory), ("npu-ignore", self.npu_ignore)):
                if value:
                    raise TargetError(f"-{option} says something about an NPU, but there is no -npu=")
            return
        if self.core.family not in self.npu.families:
            # Any Cortex-M may have one: Arm's driver needs nothing that only some of them have.
            raise TargetError(
                f"-npu={self.npu.name} goes with cores of {' or '.join(self.npu.families)}, not with {self.core.name}: "
                "Arm's driver is for Cortex"
            )
        require_choice(f"memory mode of {self.npu.name}", self.npu_memory, self.npu.memory_modes)
        if self.fetches:
            raise TargetError(f"-input={self.input} streams on the CPU and cannot be had together with -npu=")

    def _check_board(self, board: BoardConfig) -> None:
        if board.cores != (self.core.name,):
            raise TargetError(f"board {board.name} has {' or '.join(board.cores)}, not {self.core.name}")
        if board.name == self.core.default_board:
            return
        for option, budget, limit in (
            ("-ram", self.ram_bytes, board.ram_bytes),
            ("-flash", self.flash_bytes, board.flash_bytes),
        ):
            if limit is not None and (budget is None or budget > limit):
                given = "no limit" if budget is None else format_size(budget)
                raise TargetError(f"{option}: {given}, but board {board.name} has {format_size(limit)}")

    @property
    def code_key(self) -> tuple[Any, ...]:
        """What generated code and memory plan depend on: equal for targets that differ in their compiler only, or in
        cores of one family with the same features.
        """
        fixed = ("core", "board", "compiler")
        options = tuple(getattr(self, one.name) for one in fields(self) if one.name not in fixed)
        return (self.core.family, self.core.features, self.alignment, *options)

    def with_compiler(self, name: str) -> TargetConfig:
        """The same target built with another compiler; TargetError when its core cannot have that."""
        return replace(self, compiler=cast(Compiler, name))

    @property
    def arena_limit(self) -> int | None:
        """Bytes that the arena, scratch included, may take of the RAM beside the stack; None without a budget."""
        return None if self.ram_bytes is None else max(0, self.ram_bytes - STACK_BYTES)

    @property
    def with_default_compiler(self) -> TargetConfig:
        """The same target built with the compiler that the core has by default."""
        return self.with_compiler(self.core.default_compiler)

    @property
    def alignment(self) -> int:
        """Alignment of buffers in the arena, in bytes."""
        return self.core.alignment if self.npu is None else max(NPU_ALIGNMENT, self.core.alignment)

    def compiler_command(self) -> tuple[str, ...]:
        """Return the compiler program followed by all target and optimization flags."""
        return toolchain.compiler_command(self.core, self.compiler, small=self.opt == "size")

    def linker_command(self) -> tuple[str, ...]:
        """Return the linking program followed by the flags that select libgcc and the C library."""
        return toolchain.linker_command(self.core, self.compiler)

    def c_library_flags(self) -> tuple[str, ...]:
        """Return the options the compiler needs to find the C library's headers; see toolchain.py."""
        return toolchain.c_library_flags(self.core, self.compiler)

    def tvm_target(self) -> Target:
        """Return the TVM target: kind "c" with the core as mcpu and a tag that parses back to this config."""
        from tvm.target import Target

        canonical = str(self)
        tag = f"tinyml/{self.core.name}" if canonical == f"tinyml -mcpu={self.core.name}" else canonical
        return Target({**tvm_fields(self.core), "tag": tag})

    @property
    def fetches(self) -> bool:
        """Whether inputs are fetched on demand."""
        return self.input in ("rows", "tiles")

    @property
    def keeps_inputs(self) -> bool:
        """Whether inputs are still in memory after the last layer."""
        return self.input == "kept"

    def __str__(self) -> str:
        words = ["tinyml", f"-mcpu={self.core.name}", *self._board_words()]
        for option, value, default in (
            ("compiler", self.compiler, self.core.default_compiler),
            ("rounding", self.rounding, default_rounding(self.npu)),
            ("io", self.io, INPUT_OUTPUT[0]),
            ("input", self.input, INPUT_MODES[0]),
            ("planner", self.planner, PLANNER_METHODS[0]),
            ("opt", self.opt, OBJECTIVES[0]),
        ):
            if value != default:
                words.append(f"-{option}={value}")
        if self.npu is not None:
            words.append(f"-npu={self.npu.name}")
            if self.npu_memory != self.npu.memory_modes[0]:
                words.append(f"-npu-memory={self.npu_memory}")
        for option, names in (("npu-ignore", self.npu_ignore), ("without", self.without)):
            if names:
                words.append(f"-{option}={','.join(names)}")
        return " ".join(words)

    def _board_words(self) -> list[str]:
        """Name the default board only when the budgets are exactly its memory, any other board always."""
        words = []
        board, ram, flash = self.board, None, None
        if board is not None:
            full = (board.ram_bytes, board.flash_bytes)
            as_built = full != (None, None) and (self.ram_bytes, self.flash_bytes) == full
            if board.name != self.core.default_board or as_built:
                words.append(f"-board={board.name}")
                ram, flash = full
        if self.ram_bytes is not None and self.ram_bytes != ram:
            words.append(f"-ram={format_size(self.ram_bytes)}")
        if self.flash_bytes is not None and self.flash_bytes != flash:
            words.append(f"-flash={format_size(self.flash_bytes)}")
        return words

    def describe(self) -> dict[str, Any]:
        """Return the config as plain data for JSON: sizes in bytes, flags as lists, absent values as None."""
        board = self.board
        return {
            "target": str(self),
            "core": self.core.name,
            "family": self.core.family,
            "features": sorted(self.core.features),
            "board": None if board is None else board.name,
            "runner": "none" if board is None else board.runner,
            "memory": [] if board is None else [describe_region(region) for region in board.memory],
            "compiler": self.compiler,
            "compiler_command": list(self.compiler_command()),
            "ram_bytes": self.ram_bytes,
            "flash_bytes": self.flash_bytes,
            "alignment": self.alignment,
            "rounding": self.rounding,
            "io": self.io,
            "input": self.input,
            "planner": self.planner,
            "opt": self.opt,
            "without": list(self.without),
            "npu": None if self.npu is None else self.npu.name,
            "npu_memory": self.npu_memory,
            "npu_ignore": list(self.npu_ignore),
        }


def default_rounding(npu: NpuConfig | None) -> Rounding:
    """How a target rounds that does not say so: as the NPU does where there is one."""
    return ROUNDINGS[0] if npu is None else "tflm"


def tvm_fields(core: CoreConfig) -> dict[str, Any]:
    """Return the fields of TVM's target for `core`: kind "c", mcpu and keys."""
    return {"kind": "c", "mcpu": core.name, "keys": ["tinyml", *core.tvm_keys]}
