"""Boards of a real Zephyr: models exact and samples that pass, where ZEPHYR_BASE is set."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.cli.invocation import DIGITS, succeed
from tvm_tinyml.resources import data_dir
from tvm_tinyml.runner.zephyr import console_lines
from tvm_tinyml.runner.zephyr_boards import name_in

BASE = os.environ.get("ZEPHYR_BASE")
pytestmark = pytest.mark.skipif(BASE is None, reason="ZEPHYR_BASE is not set: there is no Zephyr to run on")

# Core that models are compiled for, and the board by its name since Zephyr 3.7.
BOARDS = [
    ("cortex-m3", "qemu_cortex_m3"),
    ("cortex-m3", "mps2/an385"),
    ("cortex-m3", "mps2/an521/cpu0"),
    ("cortex-m55", "mps3/corstone300/an547"),
    ("rv32imc", "qemu_riscv32"),
]
SAMPLES = data_dir("runtime_c") / "zephyr" / "samples"
SECONDS = 300.0


@pytest.mark.slow
@pytest.mark.parametrize(("core", "name"), BOARDS, ids=[name for _, name in BOARDS])
def test_outputs_are_exact(core: str, name: str, tmp_path: Path) -> None:
    board = f"zephyr:{name}"
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
    assert BASE is not None
    board = name_in(Path(BASE), "mps3/corstone300/an547")
    configure = [*build, f"-DBOARD={board}", *([f"-DWEST_PYTHON={python}"] if python else [])]
    lines = list(console_lines(configure, tmp_path, SECONDS))
    for line in console_lines(["cmake", "--build", "build", "--target", "run"], tmp_path, SECONDS):
        lines.append(line)
        if said <= {line.strip() for line in lines}:
            return
    raise AssertionError("\n".join(lines))
