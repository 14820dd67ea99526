"""Which boards and compilers the runner tests cover, and skipping where their tools are missing."""

from __future__ import annotations

import shutil

import pytest

from tvm_tinyml.target import TargetConfig, list_boards, load_catalogue, parse_target

QEMU_BOARDS = [
    f"-mcpu={core} -board={board.name}"
    for board in list_boards()
    if board.runner == "qemu"
    for core in board.cores
]
"""Every core on its emulated board, as target options."""

QEMU_TARGETS = [
    f"-mcpu={core} -board={board.name} -compiler={compiler}"
    for board in list_boards()
    if board.runner == "qemu"
    for core in board.cores
    for compiler in load_catalogue().core(core).flags
]
"""The same with every compiler that can build for the core."""


def usable_target(options: str) -> TargetConfig:
    """Return the config of `options`; skips the test when a tool it needs is not installed."""
    config = parse_target(f"tinyml {options}")
    programs = {config.compiler_command()[0], config.linker_command()[0]}
    if config.board is not None and config.board.qemu is not None:
        programs |= {config.board.qemu.binary, "cc"}
    for program in sorted(programs):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    return config
