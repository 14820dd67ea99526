"""Compiles a generated project: to a shared library for the host, or to firmware for a bare-metal board."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tvm_tinyml.errors import BuildError
from tvm_tinyml.resources import data_dir
from tvm_tinyml.runner.elf import SymbolTable, read_flash, read_symbols
from tvm_tinyml.runner.glue import harness_header
from tvm_tinyml.runner.linker import linker_script, overflow_error
from tvm_tinyml.runner.project import Project
from tvm_tinyml.runner.report import FlashReport
from tvm_tinyml.runner.tools import ToolError, run_tool
from tvm_tinyml.target import BoardConfig, TargetConfig

_MODEL_FLAGS = ("-std=c99", "-ffunction-sections", "-fdata-sections")

# The memory of the functional model is too large for where other data lie.
NPU_FLAGS = ('-DNPU_SECTION=".arena"', "-DNPU_WEIGHTS=524288")

# -ffreestanding keeps the compilers from turning the copy and clear loops into calls of memcpy and memset,
# which would count as the model's code and run before .data exists.
_BOARD_FLAGS = ("-std=c11", "-ffreestanding", "-fno-builtin", "-ffunction-sections", "-fdata-sections")
_GCC_BOARD_FLAGS = ("-fno-tree-loop-distribute-patterns",)

# The board's only source that includes something of the model.
_HARNESS = "harness"


@dataclass(frozen=True)
class Firmware:
    """A linked bare-metal program."""

    elf: Path
    symbols: SymbolTable
    flash: FlashReport


def build_shared_library(project: Project, config: TargetConfig, folder: Path) -> Path:
    """Compile `project` for the host into a shared library in `folder` and return its path.

    BuildError when the compiler is missing or refuses a source.
    """
    library = folder / f"{project.model}.so"
    objects = _compile_model(project, config, folder, ("-fPIC",))
    objects += _compile_npu(project, config, folder, ("-fPIC",))
    command = [*config.linker_command(), "-shared", "-Wl,-Bsymbolic", *objects, "-o", library.name]
    run_tool(command, folder, f"linking {library.name}")
    return library


def build_firmware(
    project: Project, config: TargetConfig, board: BoardConfig, folder: Path, stack_bytes: int
) -> Firmware:
    """Compile `project`, the board's start-up code and the harness into `folder` and link them.

    BuildError when a tool is missing, a source is refused or the program does not fit; the last states needed
    and available bytes of each memory region.
    """
    (folder / "harness_model.h").write_text(harness_header(project), encoding="utf-8")
    (folder / "link.ld").write_text(linker_script(board, stack_bytes), encoding="utf-8")
    objects = [*_compile_board(project, config, folder), *_compile_model(project, config, folder, ())]
    objects += _compile_npu(project, config, folder, ())
    elf = folder / f"{project.model}.elf"
    command = [*config.linker_command(), "-nostartfiles", "-T", "link.ld", "-Wl,--gc-sections"]
    try:
        run_tool([*command, *objects, "-o", elf.name], folder, f"linking {elf.name}")
    except ToolError as failure:
        overflow = overflow_error(failure.complaint, board, project.model, project.arena_bytes)
        raise overflow or failure from None
    prefix = config.core.gcc
    return Firmware(elf, read_symbols(prefix, elf), read_flash(prefix, elf))


def board_flags(config: TargetConfig) -> tuple[str, ...]:
    """Flags of start-up code, on top of those that say what to generate code for."""
    return (*_BOARD_FLAGS, *(_GCC_BOARD_FLAGS if config.compiler == "gcc" else ()))


def _compile_model(project: Project, config: TargetConfig, folder: Path, extra: tuple[str, ...]) -> list[str]:
    objects = []
    includes = [f"-I{path}" for path in project.include_dirs]
    command = [*config.compiler_command(), *config.c_library_flags(), *_MODEL_FLAGS, *extra, *includes]
    for index, source in enumerate(project.sources):
        if not source.is_file():
            raise BuildError(f"{source} is missing; compile the model again")
        objects.append(f"model_{index}.o")
        _compile(command, source, folder, objects[-1])
    return objects


def _compile_npu(project: Project, config: TargetConfig, folder: Path, extra: tuple[str, ...]) -> list[str]:
    """The functional model of the Ethos-U in the place of its driver, where the project calls one."""
    if not project.calls_npu:
        return []
    command = (*config.compiler_command(), *config.c_library_flags(), *_MODEL_FLAGS, *NPU_FLAGS, *extra)
    objects = []
    for source in sorted((data_dir("runtime_c") / "ethosu").glob("*.c")):
        # Like the board's code it is none of the model's.
        objects.append(f"board_{source.stem}.o")
        (folder / objects[-1]).write_bytes(_object_of(command, source))
    return objects


def _compile_board(project: Project, config: TargetConfig, folder: Path) -> list[str]:
    boards = data_dir("runtime_c") / "boards"
    common, family = boards / "common", boards / config.core.family
    command = (*config.compiler_command(), *config.c_library_flags(), *board_flags(config))
    own = (f"-I{boards}", f"-I{common}")
    objects = []
    for source in sorted([*common.glob("*.c"), *family.glob("*.c"), *family.glob("*.S")]):
        # The linker script tells the board's code from the model's by this prefix.
        objects.append(f"board_{source.stem}_{source.suffix[1:].lower()}.o")
        if source.stem == _HARNESS:
            includes = [f"-I{path}" for path in (folder, *project.include_dirs)]
            _compile([*command, *includes, *own], source, folder, objects[-1])
        else:
            (folder / objects[-1]).write_bytes(_object_of((*command, *own), source))
    return objects


@lru_cache(maxsize=64)
def _object_of(command: tuple[str, ...], source: Path) -> bytes:
    """An object file of code that knows nothing of the model, made once for all models."""
    with tempfile.TemporaryDirectory(prefix="tvm-tinyml-") as name:
        _compile(command, source, Path(name), "one.o")
        return (Path(name) / "one.o").read_bytes()


def _compile(command: Sequence[str], source: Path, folder: Path, name: str) -> None:
    run_tool([*command, "-c", str(source), "-o", name], folder, f"compiling {source.name}")
