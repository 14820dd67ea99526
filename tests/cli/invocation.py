"""Runs the command in this process, or in one of its own where that is what is tested."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_tinyml.cli import main

DIGITS = Path(__file__).resolve().parents[1] / "models" / "digits.tflite"
M4 = "tinyml -mcpu=cortex-m4"
HOST = "tinyml -mcpu=host"


@dataclass(frozen=True)
class Outcome:
    """How the command ended and what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as JSON: fails when it holds anything else."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document


def invoke(*arguments: object) -> Outcome:
    """Run the command in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Outcome(code, stdout.getvalue(), stderr.getvalue())


def succeed(*arguments: object) -> Outcome:
    """Run the command, which must end well and without a word on standard error."""
    outcome = invoke(*arguments)
    assert (outcome.code, outcome.stderr) == (0, "")
    return outcome


def refuse(*arguments: object) -> str:
    """Run the command, which must refuse with one message and no output; returns the message."""
    outcome = invoke(*arguments)
    assert outcome.code == 2, outcome
    assert outcome.stdout == ""
    lines = outcome.stderr.splitlines()
    assert len(lines) == 1, outcome.stderr
    assert lines[0].startswith("tvm-tinyml: error: ")
    return lines[0].removeprefix("tvm-tinyml: error: ")


def run_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "tvm_tinyml", *map(str, arguments)]
    settings: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, "check": False}
    return subprocess.run(command, **(settings | options))
