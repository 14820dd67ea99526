"""Start-up code and linker script of emulated boards, for projects that link an image of their own."""

from __future__ import annotations

import shlex

from tvm_tinyml.resources import data_dir
from tvm_tinyml.runner.linker import default_stack_bytes, linker_script
from tvm_tinyml.target import TargetConfig

FOLDER = "board"
ARENA_SECTION = ".arena"
_START = """/* Start-up code calls this; the program's result is the exit code of the emulator. */
#include "board.h"
#include "semihosting.h"

int main(void);

_Noreturn void harness_main(void)
{
    semihosting_exit((uintptr_t)main());
}
"""


def has_board(config: TargetConfig) -> bool:
    """Whether an image for the target's board can be linked and run here."""
    return config.board is not None and config.board.qemu is not None


def board_files(config: TargetConfig) -> dict[str, str]:
    """Start-up code, semihosting and linker script of the target's board, by path; nothing where there is none."""
    board = config.board
    if board is None or board.qemu is None:
        return {}
    folder = data_dir("runtime_c") / "boards"
    family = folder / config.core.family
    sources = [path for path in family.iterdir() if path.suffix in (".c", ".S")]
    common = [folder / "common" / name for name in ("fault.c", "semihosting.c", "semihosting.h")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in [folder / "board.h", *common, *sources]}
    texts |= {"start.c": _START, "link.ld": linker_script(board, default_stack_bytes(board))}
    return {f"{FOLDER}/{name}": texts[name] for name in sorted(texts)}


def board_sources(config: TargetConfig) -> list[str]:
    """What of the files of the board is compiled."""
    return [path for path in board_files(config) if path.endswith((".c", ".S"))]


def emulator_command(config: TargetConfig, image: str) -> str:
    """Shell command that runs an image and ends with what its main returned."""
    machine = config.board.qemu if config.board is not None else None
    if machine is None:
        raise ValueError(f"{config} has no emulated board")
    words = [machine.binary, "-M", machine.machine, *(["-cpu", machine.cpu] if machine.cpu else [])]
    words += [*machine.args, "-display", "none", "-serial", "none", "-monitor", "none"]
    words += ["-semihosting-config", "enable=on,target=native", "-kernel"]
    return f"{shlex.join(words)} {image}"
