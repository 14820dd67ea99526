"""Runs an application in the user's Zephyr, on the emulator that Zephyr has for the board, and reads its console.

Zephyr is the user's: ZEPHYR_BASE says where, and its own variables say which toolchain and modules. The application
prints what `firmware/zephyr_run.py` makes it print: one line per inference, its outputs in hexadecimal, and an end.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tvm_tinyml.errors import BuildError, RunError
from tvm_tinyml.runner.project import Array, Project
from tvm_tinyml.runner.qemu import default_timeout
from tvm_tinyml.runner.report import RunReport
from tvm_tinyml.runner.tools import require_program
from tvm_tinyml.runner.zephyr_boards import name_in

PREFIX = "zephyr:"
_LINE = re.compile(r"tvm-tinyml: (inference|output|end) (-?\d+)(?: ([0-9a-f]+))?$")
_TELLING = re.compile(r"error|fatal|no board named|overflowed|undefined|not found", re.IGNORECASE)
_FAULT = "ZEPHYR FATAL ERROR"
# The kind of a fault, where it was, and what Zephyr makes of it; not the registers.
_OF_FAULT = re.compile(rf"\*\*\*\*\* |instruction address|{_FAULT}")
_SHOWN_LINES = 8
_BUILD_SECONDS = 600.0
_STOP_SECONDS = 5.0
# Zephyr's own start, on a machine that is busy with other work.
_BOOT_SECONDS = 30.0


def zephyr_board(board: str | None) -> str | None:
    """The name that Zephyr has for a board, from "zephyr:NAME"; None for boards of ours."""
    return board.removeprefix(PREFIX) if board is not None and board.startswith(PREFIX) else None


def require_zephyr(board: str) -> None:
    """Raise RunError where there is no Zephyr to run on, or no name of a board."""
    if not board:
        raise RunError(f"{PREFIX} lacks the name of a board; for example {PREFIX}qemu_cortex_m3")
    base = os.environ.get("ZEPHYR_BASE")
    remedy = "set ZEPHYR_BASE to the folder zephyr/ of a workspace, and ZEPHYR_TOOLCHAIN_VARIANT as Zephyr describes"
    if not base:
        raise RunError(f"board {PREFIX}{board} runs in your Zephyr, and ZEPHYR_BASE is not set; {remedy}")
    if not (Path(base) / "share" / "zephyr-package").is_dir():
        raise RunError(f"ZEPHYR_BASE is {base}, which is no Zephyr; {remedy}")


def run_zephyr(
    application: Path,
    board: str,
    project: Project,
    inferences: int,
    *,
    timeout: float | None = None,
    keep_elf: Path | None = None,
) -> RunReport:
    """Build an application for a board of Zephyr and read the outputs of its inferences.

    timeout: seconds it may run (default: `default_timeout` and Zephyr's start). keep_elf: where to leave the firmware.
    The stack of the report is that of the thread that runs the model, the thread's start included.
    BuildError when it does not build; RunError when there is no Zephyr or no emulator, or the program fails.
    """
    require_zephyr(board)
    build = application / "build"
    _configure_and_build(application, build, board)
    if keep_elf is not None:
        shutil.copyfile(build / "zephyr" / "zephyr.elf", keep_elf)
    limit = default_timeout(project, inferences) + _BOOT_SECONDS if timeout is None else timeout
    stacks: list[int] = []
    outputs: list[dict[int, bytes]] = []
    result = None
    console: list[str] = []
    for line in console_lines(["cmake", "--build", str(build), "--target", "run"], application, limit):
        console.append(line)
        found = _LINE.search(line)
        if found is None:
            if _FAULT in line:
                break
            continue
        kind, number = found[1], int(found[2])
        if kind == "end":
            result = number
            break
        if kind == "inference":
            stacks.append(number)
            outputs.append({})
        elif outputs:
            outputs[-1][number] = outputs[-1].get(number, b"") + bytes.fromhex(found[3] or "")
    if console and _FAULT in console[-1]:
        told = " / ".join(line.removeprefix("E: ").strip() for line in console if _OF_FAULT.search(line))
        raise RunError(f"board {PREFIX}{board}: {project.entry} faulted: {told}")
    if result is None:
        raise RunError(f"board {PREFIX}{board}: no result within {limit:g} s; {_last(console)}")
    if result != 0:
        raise RunError(f"board {PREFIX}{board}: {project.entry} returned {result} instead of 0")
    return RunReport(
        outputs=[_decode(project, one, board) for one in outputs],
        board=f"{PREFIX}{board}",
        arena_bytes=project.arena_bytes,
        stack_bytes=max(stacks, default=None),
        elf=keep_elf,
    )


def _configure_and_build(application: Path, build: Path, board: str) -> None:
    generator = ["-GNinja"] if shutil.which("ninja") else []
    # west tells CMake which Python has the modules of Zephyr's scripts; without it this may.
    python = os.environ.get("WEST_PYTHON")
    name = name_in(Path(os.environ["ZEPHYR_BASE"]), board)
    options = [f"-DBOARD={name}", *([f"-DWEST_PYTHON={python}"] if python else [])]
    configure = ["cmake", "-S", str(application), "-B", str(build), *generator, *options]
    for command, doing in ((configure, "configuring"), (["cmake", "--build", str(build)], "building")):
        program = require_program(command[0])
        try:
            done = subprocess.run(
                [program, *command[1:]],
                cwd=application,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_BUILD_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BuildError(f"{doing} for {PREFIX}{board} took more than {_BUILD_SECONDS:.0f} s") from None
        if done.returncode != 0:
            raise BuildError(f"{doing} for {PREFIX}{board} failed:\n{_complaint(done.stdout)}")


def _complaint(said: str) -> str:
    """The lines of a build that tell what is wrong, or its last ones; CMake indents the text of an error."""
    lines = [line for line in said.splitlines() if line.strip()]
    telling: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        continues = line.startswith("  ") and bool(telling) and telling[-1] is before
        if _TELLING.search(line) or continues:
            telling.append(line)
    return "\n".join(telling[:_SHOWN_LINES] or lines[-_SHOWN_LINES:])


def console_lines(command: Sequence[str], folder: Path, limit: float) -> Iterator[str]:
    """Lines of a program's output as they come, until it ends or the time is over; then it is stopped.

    Zephyr's emulators do not end by themselves, and are children of the build tool: all of its session is stopped.
    """
    deadline = time.monotonic() + limit
    process = subprocess.Popen(
        [require_program(command[0]), *command[1:]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    pending = b""
    try:
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([process.stdout], [], [], left)[0]:
                return
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace").rstrip()
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _decode(project: Project, found: dict[int, bytes], board: str) -> list[Array]:
    arrays = []
    for number, tensor in enumerate(project.outputs):
        data = found.get(number, b"")
        if len(data) != tensor.nbytes:
            raise RunError(
                f"board {PREFIX}{board}: {len(data)} of {tensor.nbytes} bytes of output {tensor.name!r} arrived; "
                "its console lost some"
            )
        arrays.append(tensor.decode(data))
    return arrays


def _last(console: Sequence[str]) -> str:
    said = [line for line in console if line and not line.startswith("tvm-tinyml:")]
    shown = " / ".join(said[-_SHOWN_LINES:])
    return f"the last it said: {shown}" if shown else "it said nothing"
