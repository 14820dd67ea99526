"""One model for all kinds of projects, and how projects are built."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.runner.tools import usable_target
from tvm_tinyml import relay
from tvm_tinyml.module import AOTModule

DIGITS = Path(__file__).resolve().parents[1] / "models" / "digits.tflite"


@cache
def digits(options: str) -> AOTModule:
    """Our own model for a target; skips the test when a tool it needs is not installed."""
    usable_target(options)
    module, _ = relay.frontend.from_tflite(DIGITS)
    return relay.build(module, target=f"tinyml {options}")


def require(*programs: str) -> None:
    """Skip the test when a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def run(command: Sequence[str], folder: Path) -> str:
    """Run a command that must succeed; returns what it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
