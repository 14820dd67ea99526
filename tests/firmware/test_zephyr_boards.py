"""Boards of a real Zephyr: models exact and samples that pass, where ZEPHYR_BASE is set."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.cli.invocation import DIGITS, succeed
from tvm_tinyml.resources import data_dir
from tvm_tinyml.runner.zephyr import console_lines

BASE = os.environ.get("ZEPHYR_BASE")
pytestmark = pytest.mark.skipif(BASE is None, reason="ZEPHYR_BASE is not set: there is no Zephyr to run on")

# Core that models are compiled for, the board's name since Zephyr 3.7, and the one before.
BOARDS = [
    ("cortex-m3", "qemu_cortex_m3", "qemu_cortex_m3"),
    ("cortex-m3", "mps2/an385", "mps2_an385"),
    ("cortex-m3", "mps2/an521/cpu0", "mps2_an521"),
    ("cortex-m55", "mps3/corstone300/an547", "mps3_an547"),
    ("rv32imc", "qemu_riscv32", "qemu_riscv32"),
]
SAMPLES = data_dir("runtime_c") / "zephyr" / "samples"
SECONDS = 300.0


def board_name(new: str, old: str) -> str:
    """The name that the Zephyr at hand has for a board."""
    assert BASE is not None
    version = dict(
        line.split("=", 1)
        for line in (Path(BASE) / "VERSION").read_text().replace(" ", "").splitlines()
        if "=" in line
    )
    return new if (int(version["VERSION_MAJOR"]), int(version["VERSION_MINOR"])) >= (3, 7) else old


@pytest.mark.slow
@pytest.mark.parametrize(("core", "new", "old"), BOARDS, ids=[old for _, _, old in BOARDS])
def test_outputs_are_exact(core: str, new: str, old: str, tmp_path: Path) -> None:
    board = f"zephyr:{board_name(new, old)}"
    command = ["run", DIGITS, "--target", f"tinyml -mcpu={core}", "--board", board, "--random", 3]
    document = succeed(*command, "--check", "--json", "--output", tmp_path / "out").document
    assert document["bit_exact"] is True
    assert document["board"] == board
    assert document["stack_bytes"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sample", "said"),
    [("hello", {"digits: passed"}), ("two_models", {"digits: passed", "digits_streamed: passed"})],
)
def test_samples_pass(sample: str, said: set[str], tmp_path: Path) -> None:
    command = tmp_path / "tvm-tinyml"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tvm_tinyml "$@"\n')
    command.chmod(0o755)
    build = ["cmake", "-S", str(SAMPLES / sample), "-B", "build", f"-DTVM_TINYML={command}"]
    python = os.environ.get("WEST_PYTHON")
    board = board_name("mps3/corstone300/an547", "mps3_an547")
    configure = [*build, f"-DBOARD={board}", *([f"-DWEST_PYTHON={python}"] if python else [])]
    lines = list(console_lines(configure, tmp_path, SECONDS))
    for line in console_lines(["cmake", "--build", "build", "--target", "run"], tmp_path, SECONDS):
        lines.append(line)
        if said <= {line.strip() for line in lines}:
            return
    raise AssertionError("\n".join(lines))
