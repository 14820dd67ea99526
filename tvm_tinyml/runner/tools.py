"""External programs: compilers, linkers, binutils and emulators, with the package that provides each.

A missing program is an error naming what to install (Debian and Ubuntu package names).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tvm_tinyml.errors import BuildError, TinyMLError

_PACKAGES = {
    "arm-none-eabi-": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "riscv64-unknown-elf-": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-riscv32": "qemu-system-misc",
    "clang": "clang-19",
    "gcc": "gcc libc6-dev",
    "cc": "gcc libc6-dev",
}

_ERROR_LINES = 6
"""How much of a compiler's complaint goes into an error message."""

_TOOL_SECONDS = 600.0


def require_program(program: str, error: type[TinyMLError] = BuildError) -> str:
    """Return the path of `program`; `error` naming the package to install when it is not on PATH."""
    path = shutil.which(program)
    if path is None:
        package = next((names for prefix, names in _PACKAGES.items() if program.startswith(prefix)), program)
        raise error(f"{program} is not installed; on Debian or Ubuntu: apt-get install {package}")
    return path


def run_tool(command: Sequence[str], folder: Path, purpose: str) -> str:
    """Run a build tool in `folder` and return its standard output.

    BuildError with `purpose` ("compiling kws.c") and the first lines of the complaint when it fails.
    """
    program = require_program(command[0])
    try:
        result = subprocess.run(
            [program, *command[1:]],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TOOL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{purpose}: {command[0]} did not finish within {_TOOL_SECONDS:.0f} s") from None
    if result.returncode != 0:
        raise ToolError(purpose, command[0], result.stderr or result.stdout)
    return result.stdout


class ToolError(BuildError):
    """A compiler or linker refused its input; `complaint` is everything it said."""

    def __init__(self, purpose: str, program: str, complaint: str) -> None:
        lines = complaint.strip().splitlines()
        shown = "\n".join(lines[:_ERROR_LINES])
        if len(lines) > _ERROR_LINES:
            shown += f"\n({len(lines) - _ERROR_LINES} more lines)"
        super().__init__(f"{purpose}: {program} failed:\n{shown}")
        self.complaint = complaint
