"""The demo tells the truth: bit-exact when it is, exit code 1 when an output differs, 2 for a user's mistake."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.plugin.python_process import WITHOUT_PYTORCH

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(__file__).resolve().parent

needs_board = pytest.mark.skipif(
    not (shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc")),
    reason="needs qemu-system-arm and arm-none-eabi-gcc",
)


DEMO = ROOT / "tools" / "demo.py"


def demo(*arguments: str | Path) -> Result:
    """Run tools/demo.py on three images, in this process."""
    command = runpy.run_path(str(DEMO))["main"]
    return CliRunner().invoke(command, ["--count", "3", *map(str, arguments)])


@needs_board
def test_demo_reports_accuracy_sizes_and_instructions_per_layer() -> None:
    script = f"{WITHOUT_PYTORCH}import runpy; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    command = [sys.executable, "-c", script, str(DEMO), "--count", "3"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if line[:1].isalpha())
    assert facts["bit-exact"].startswith("yes (all 30 outputs")
    assert facts["accuracy"] == "3 of 3 held-out images (100.00%)"
    assert {"arena", "stack", "flash", "instructions"} <= set(facts)
    layers = [line for line in result.stdout.splitlines() if "conv2d" in line]
    assert len(layers) == 17


@needs_board
def test_demo_fails_when_an_output_differs(tmp_path: Path) -> None:
    shutil.copy(MODELS / "digits.tflite", tmp_path)
    with np.load(MODELS / "digits_golden.npz") as archive:
        golden = dict(archive)
    golden["outputs"][1, 4] ^= 1
    np.savez(tmp_path / "digits_golden.npz", allow_pickle=False, **golden)
    result = demo("--models", tmp_path)
    assert result.exit_code == 1
    assert "no (1 of 30 outputs differ from LiteRT's)" in result.stdout


def test_demo_refuses_an_unknown_core_in_one_line() -> None:
    result = demo("--target", "tinyml -mcpu=z80")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
