"""Targets and boards that do not exist or cannot be used: one line that lists what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.invocation import DIGITS, HOST, M4, refuse
from tests.runner.tools import usable_target

TAKES_A_TARGET = (
    ["plan", DIGITS],
    ["compile", DIGITS, "--output", "unwritten"],
    ["run", DIGITS, "--output", "unwritten"],
    ["bench", DIGITS, "--output", "unwritten"],
)
each_command = pytest.mark.parametrize("command", TAKES_A_TARGET, ids=lambda command: command[0])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty folder, in which nothing may be left."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@each_command
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("cortex-m4", "does not start with tinyml"),
        ("tinyml -mcpu=cortex-m5", "did you mean"),
        ("tinyml -mcpu=cortex-m4 -speed=fast", "unknown target option 'speed'"),
        ("tinyml -mcpu=cortex-m4 -ram=much", "is not a size"),
        ("tinyml -mcpu=cortex-m4 -board=microbit", "board microbit has cortex-m0"),
        ("", "the target is empty"),
    ],
)
def test_bad_target(command: list[str | Path], target: str, words: str, elsewhere: Path) -> None:
    assert words in refuse(*command, "--target", target)
    assert not list(elsewhere.iterdir())


def test_unknown_board() -> None:
    message = refuse("run", DIGITS, "-t", M4, "--board", "blue-pill")
    assert "unknown board 'blue-pill'" in message
    assert "mps2-an386" in message


def test_board_of_another_core() -> None:
    assert "has cortex-m0, not cortex-m4" in refuse("run", DIGITS, "-t", M4, "--board", "microbit")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "-t", M4, "--board", "nrf52840-dk"], "nrf52840-dk can be compiled for, but not run here"),
        (["run", "-t", "tinyml/cortex-m85"], "core cortex-m85 can be compiled for, but not run here"),
        (["bench", "-t", "tinyml/cortex-m85"], "core cortex-m85 can be compiled for, but not run here"),
    ],
)
def test_board_that_cannot_run_here(arguments: list[str], words: str) -> None:
    assert words in refuse(*arguments, DIGITS)


@pytest.mark.parametrize("command", ["compile", "plan", "run"])
def test_model_beyond_the_memory_budget(command: str, elsewhere: Path) -> None:
    output = ["--output", "unwritten"] if command != "plan" else []
    message = refuse(command, DIGITS, "-t", f"{M4} -ram=2K", *output)
    assert "exceeds the RAM of 2,048 bytes" in message
    assert "the smallest needs" in message
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    ("command", "flash", "words"),
    [
        ("compile", "16K", "exceed the flash of 16,384 bytes, code not counted"),
        ("run", "16K", "exceed the flash of 16,384 bytes, code not counted"),
        ("run", "32K", "bytes of flash (text "),
    ],
)
def test_model_beyond_the_flash_budget(command: str, flash: str, words: str, elsewhere: Path) -> None:
    usable_target("-mcpu=cortex-m4")
    message = refuse(command, DIGITS, "-t", f"{M4} -flash={flash}", "--output", "unwritten")
    assert words in message
    assert not list(elsewhere.iterdir())


def test_model_beyond_the_memory_of_another_board() -> None:
    target = "tinyml -mcpu=cortex-m4 -ram=1M"
    assert "-ram=1M" in refuse("run", DIGITS, "-t", target, "--board", "nrf52840-dk")


@pytest.mark.parametrize(
    ("arguments", "program"),
    [
        (["run", "-t", M4], "arm-none-eabi-gcc"),
        (["run", "-t", HOST], "gcc"),
        (["bench", "-t", "tinyml/rv32imc", "-t", HOST], "is not installed"),
    ],
)
def test_missing_toolchain(
    arguments: list[str], program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    message = refuse(*arguments, DIGITS)
    assert program in message
    assert "is not installed; on Debian or Ubuntu: apt-get install" in message
