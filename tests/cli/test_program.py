"""The program as a whole: help, both spellings, exit codes, what it imports, how it ends when things go wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.invocation import DIGITS, HOST, invoke, refuse, run_process
from tvm_tinyml import __version__
from tvm_tinyml.cli import cli

COMMANDS = ("bench", "compile", "evaluate", "inspect", "ops", "plan", "run", "targets")


def test_every_command_has_help() -> None:
    assert tuple(sorted(cli.commands)) == COMMANDS
    for name in COMMANDS:
        outcome = invoke(name, "--help")
        assert outcome.code == 0
        assert outcome.stdout.startswith(f"Usage: tvm-tinyml {name} ")


def test_without_a_command_it_shows_what_there_is() -> None:
    outcome = invoke()
    assert outcome.code == 0
    for name in COMMANDS:
        assert f"  {name} " in outcome.stdout


def test_module_and_script_are_the_same_program() -> None:
    by_module = run_process("--version")
    assert by_module.stdout == f"tvm-tinyml, version {__version__}\n"
    script = Path(sys.executable).with_name("tvm-tinyml")
    if not script.exists():
        pytest.skip("the package is not installed, so there is no script")
    by_script = subprocess.run(
        [script, "--version"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (by_script.returncode, by_script.stdout) == (by_module.returncode, by_module.stdout)


@pytest.mark.parametrize("arguments", [["--help"], ["targets"], ["run", "missing.tflite", "-t", HOST]])
def test_tvm_is_not_imported_before_it_is_needed(arguments: list[str]) -> None:
    script = (
        "import atexit, sys; from tvm_tinyml.cli import main; "
        "atexit.register(lambda: print([m for m in ('tvm', 'numpy') if m in sys.modules])); "
        f"main({arguments!r})"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command"),
        (["run"], "Missing argument 'MODEL'. (see `tvm-tinyml run --help`)"),
        (["run", str(DIGITS)], "Missing option '--target'"),
        (["run", str(DIGITS), "-t", HOST, "--random", "-1"], "--random"),
        (["compile", str(DIGITS), "-t", HOST, "--wrong"], "No such option"),
        (["bench", "-t", HOST], "Missing argument 'MODELS...'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], words: str) -> None:
    assert words in refuse(*arguments)


def test_a_defect_keeps_its_traceback_and_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise AssertionError("broken invariant")

    monkeypatch.setitem(cli.commands, "ops", click.Command("ops", callback=fail))
    outcome = invoke("ops")
    assert outcome.code == 3
    assert "AssertionError: broken invariant" in outcome.stderr
    assert "please report it" in outcome.stderr


def test_interrupt_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.commands, "ops", click.Command("ops", callback=interrupt))
    outcome = invoke("ops")
    assert (outcome.code, outcome.stdout) == (130, "")
    assert "Traceback" not in outcome.stderr


def test_a_reader_that_stops_early_is_no_error() -> None:
    head = shutil.which("head")
    if head is None:
        pytest.skip("head is not installed")
    command = f"{sys.executable} -m tvm_tinyml targets | {head} -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120, check=False)
    assert result.stderr == ""


def test_full_disk_on_standard_output_is_one_error() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    with full.open("w") as stdout:
        result = run_process("targets", capture_output=False, stdout=stdout, stderr=subprocess.PIPE)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "tvm-tinyml: error: No space left on device; check the path, its permissions and the free space"
    ]


def test_a_terminal_without_unicode_gets_question_marks() -> None:
    result = run_process("inspect", DIGITS, env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"})
    assert (result.returncode, result.stderr) == (0, "")
    assert "CONV_2D" in result.stdout
