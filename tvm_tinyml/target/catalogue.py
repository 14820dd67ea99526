"""The known cores, boards and NPUs: every TOML file under target_configs/, and under the folders a user adds.

A core is one file cores/<name>.toml, a board boards/<name>.toml, an NPU npus/<name>.toml; the file name is the name.
Further folders of the same shape are listed in the environment variable TVM_TINYML_TARGET_PATH (separated as in PATH)
or passed to `load_catalogue`. A name may be given once over all folders: nothing is overridden silently.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_tinyml.errors import TargetError
from tvm_tinyml.resources import data_dir
from tvm_tinyml.target.choices import require_choice
from tvm_tinyml.target.hardware import (
    COMPILERS,
    BoardConfig,
    CompilerSupport,
    CoreConfig,
    MemoryRegion,
    NpuConfig,
    QemuMachine,
)
from tvm_tinyml.target.schema import BOARD, CORE, NPU, check_table

SEARCH_PATH_VARIABLE = "TVM_TINYML_TARGET_PATH"

# The standard library reads TOML from Python 3.11 on; tomli is the same reader for 3.10.
_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Catalogue:
    """All cores, boards and NPUs by name, each in natural order of the names (m4, m7, m33)."""

    cores: Mapping[str, CoreConfig]
    boards: Mapping[str, BoardConfig]
    npus: Mapping[str, NpuConfig]

    def core(self, name: str) -> CoreConfig:
        """Return the core `name`; TargetError listing the known ones when there is none."""
        return self.cores[require_choice("core", name, self.cores)]

    def board(self, name: str) -> BoardConfig:
        """Return the board `name`; TargetError listing the known ones when there is none."""
        return self.boards[require_choice("board", name, self.boards)]

    def npu(self, name: str) -> NpuConfig:
        """Return the NPU `name`; TargetError listing the known ones when there is none."""
        return self.npus[require_choice("NPU", name, self.npus)]

    def boards_with(self, core: str) -> tuple[str, ...]:
        """Return the names of the boards that can have `core`."""
        return tuple(board.name for board in self.boards.values() if core in board.cores)


def load_catalogue(extra: Iterable[str | Path] | None = None) -> Catalogue:
    """Read the built-in data files and those in the `extra` folders; results are kept per list of folders.

    `extra` None takes the folders of TVM_TINYML_TARGET_PATH. TargetError names the file and the key of the
    first defect.
    """
    if extra is None:
        extra = [part for part in os.environ.get(SEARCH_PATH_VARIABLE, "").split(os.pathsep) if part]
    return _load((str(data_dir("target_configs")), *(os.path.abspath(folder) for folder in extra)))


@functools.lru_cache(maxsize=16)
def _load(folders: tuple[str, ...]) -> Catalogue:
    for folder in folders:
        if not Path(folder).is_dir():
            raise TargetError(f"{folder}: no such folder; correct {SEARCH_PATH_VARIABLE}")
    core_files = _files(folders, "cores")
    board_files = _files(folders, "boards")
    cores = {name: _read_core(name, path) for name, path in core_files.items()}
    boards = {name: _read_board(name, path, cores) for name, path in board_files.items()}
    npus = {name: _read_npu(name, path) for name, path in _files(folders, "npus").items()}
    for core in cores.values():
        if core.default_board is not None:
            where = f"{core_files[core.name]}: default_board"
            _located(where, "board", core.default_board, boards)
            _check_cpu(where, core, boards[core.default_board])
    return Catalogue(cores, boards, npus)


def _files(folders: tuple[str, ...], kind: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in (path for folder in folders for path in (Path(folder) / kind).glob("*.toml")):
        if not _NAME.fullmatch(path.stem):
            raise TargetError(f"{path}: the file name is the name; use a-z, 0-9 and single hyphens")
        if path.stem in found:
            raise TargetError(f"{path}: {path.stem} is already defined by {found[path.stem]}; rename one")
        found[path.stem] = path
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            table: dict[str, Any] = _toml.load(file)
    except (_toml.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TargetError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror}") from None
    return table


def _located(where: str, what: str, value: str, valid: Iterable[str]) -> None:
    try:
        require_choice(what, value, valid)
    except TargetError as error:
        raise TargetError(f"{where}: {error}") from None


def _read_core(name: str, path: Path) -> CoreConfig:
    table = check_table(_read_toml(path), CORE, str(path))
    if table["alignment"] & (table["alignment"] - 1):
        raise TargetError(f"{path}: alignment: {table['alignment']} is not a power of two")
    compilers = []
    for compiler in COMPILERS:
        entry = table["compilers"][compiler]
        if entry["refused"] and (entry["flags"] or entry["optimization"]):
            raise TargetError(f"{path}: compilers: {compiler}: give flags or a reason in 'refused', not both")
        compilers.append(CompilerSupport(compiler, entry["flags"], entry["optimization"], entry["refused"]))
    default = next(support for support in compilers if support.name == table["default_compiler"])
    if default.refused:
        raise TargetError(f"{path}: default_compiler: {default.name} is refused by this very file")
    gcc = next(support for support in compilers if support.name == "gcc")
    if gcc.refused and table["link_flags"] is None:
        raise TargetError(f"{path}: link_flags: needed, because gcc links and has no flags here")
    return CoreConfig(
        name=name,
        title=table["title"],
        family=table["family"],
        features=frozenset(table["features"]),
        alignment=table["alignment"],
        gcc=table["gcc"],
        llvm_triple=table["llvm_triple"],
        compilers=tuple(compilers),
        default_compiler=table["default_compiler"],
        c_library=table["c_library"],
        link_flags=gcc.flags if table["link_flags"] is None else table["link_flags"],
        default_board=table["default_board"],
        qemu_cpu=table["qemu_cpu"],
        tvm_keys=table["tvm_keys"],
        notes=table["notes"],
    )


def _read_board(name: str, path: Path, cores: Mapping[str, CoreConfig]) -> BoardConfig:
    table = check_table(_read_toml(path), BOARD, str(path))
    for core in table["cores"]:
        _located(f"{path}: cores", "core", core, cores)
    # A core may join an existing board by naming it as its default, so that it stays one file.
    joined = [core.name for core in cores.values() if core.default_board == name]
    if not table["cores"]:
        raise TargetError(f"{path}: cores: name at least one core")
    if (table["runner"] == "qemu") != (table["qemu"] is not None):
        raise TargetError(f'{path}: qemu: a [qemu] table is needed with runner = "qemu", and only then')
    board = BoardConfig(
        name=name,
        title=table["title"],
        cores=tuple(dict.fromkeys([*table["cores"], *joined])),
        runner=table["runner"],
        qemu=None if table["qemu"] is None else QemuMachine(cpu="", **table["qemu"]),
        memory=tuple(MemoryRegion(**region) for region in table["memory"]),
        notes=table["notes"],
    )
    _check_memory(board, str(path))
    for core in table["cores"]:
        _check_cpu(f"{path}: cores", cores[core], board)
    return board


def _read_npu(name: str, path: Path) -> NpuConfig:
    table = check_table(_read_toml(path), NPU, str(path))
    if not table["memory"]:
        raise TargetError(f"{path}: memory: name at least one memory mode")
    return NpuConfig(
        name=name,
        title=table["title"],
        families=table["families"],
        macs=table["macs"],
        memory=tuple((one["mode"], one["system_config"]) for one in table["memory"]),
        functional_model=table["functional_model"],
        notes=table["notes"],
    )


def _check_memory(board: BoardConfig, where: str) -> None:
    if board.runner != "host" and not (board.regions("rom") and board.regions("ram")):
        raise TargetError(f"{where}: memory: needs a region of kind rom and one of kind ram")
    ordered = sorted(board.memory, key=lambda region: region.origin)
    for region in ordered:
        if region.end > 1 << 32:
            raise TargetError(f"{where}: memory: {region.name} ends behind the 32-bit address space")
    for first, second in itertools.pairwise(ordered):
        if first.end > second.origin:
            raise TargetError(f"{where}: memory: {first.name} and {second.name} overlap")
    names = [region.name for region in board.memory]
    if len(set(names)) != len(names):
        raise TargetError(f"{where}: memory: region names must differ, got {', '.join(names)}")


def _check_cpu(where: str, core: CoreConfig, board: BoardConfig) -> None:
    if board.qemu is not None and board.qemu.cpu_from_core and not core.qemu_cpu:
        raise TargetError(f"{where}: {core.name} needs qemu_cpu: on {board.name} the core chooses -cpu")
