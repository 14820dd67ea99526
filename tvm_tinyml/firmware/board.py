"""Start-up code and linker script of emulated boards, and what stands in for an NPU, for projects that link."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from tvm_tinyml.resources import data_dir
from tvm_tinyml.runner.linker import default_stack_bytes, linker_script
from tvm_tinyml.target import TargetConfig

from .generated import Generated

FOLDER = "board"
NPU_FOLDER = "npu"
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


def board_files(model: Generated) -> dict[str, str]:
    """Start-up code, semihosting and linker script, by path; nothing for the host and for what does not run here."""
    board = model.config.board
    if board is None or board.qemu is None or not model.runs_here:
        return {}
    folder = data_dir("runtime_c") / "boards"
    sources = [path for path in (folder / model.config.core.family).iterdir() if path.suffix in (".c", ".S")]
    common = [folder / "common" / name for name in ("fault.c", "semihosting.c", "semihosting.h")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in [folder / "board.h", *common, *sources]}
    texts |= {"start.c": _START, "link.ld": linker_script(board, default_stack_bytes(board))}
    return {f"{FOLDER}/{name}": texts[name] for name in sorted(texts)}


def npu_files(model: Generated) -> dict[str, str]:
    """The functional model of the Ethos-U, by path, where the model calls one and runs here."""
    if not (model.calls_npu and model.runs_here):
        return {}
    paths = sorted((data_dir("runtime_c") / "ethosu").iterdir())
    return {f"{NPU_FOLDER}/{path.name}": path.read_text(encoding="utf-8") for path in paths}


def sources(files: Mapping[str, str]) -> list[str]:
    """What of the files is compiled."""
    return [path for path in files if path.endswith((".c", ".S"))]


def emulator_command(config: TargetConfig, image: str) -> str:
    """Shell command that runs an image and ends with what its main returned."""
    machine = config.board.qemu if config.board is not None else None
    if machine is None:
        raise ValueError(f"{config} has no emulated board")
    words = [machine.binary, "-M", machine.machine, *(["-cpu", machine.cpu] if machine.cpu else [])]
    words += [*machine.args, "-display", "none", "-serial", "none", "-monitor", "none"]
    words += ["-semihosting-config", "enable=on,target=native", "-kernel"]
    return f"{shlex.join(words)} {image}"
