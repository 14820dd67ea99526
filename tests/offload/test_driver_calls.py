"""Generated code takes every answer of the driver, and does not ask where there is no NPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tvm_tinyml.resources import data_dir


def test_errors_of_the_driver_come_back_and_nothing_waits_forever(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    program = tmp_path / "calls"
    source = Path(__file__).with_name("npu_calls.c")
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    include = data_dir("runtime_c") / "include"
    subprocess.run(["gcc", *flags, f"-I{include}", str(source), "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=10, check=True)
    absent, refused, failed, good, reserved, invoked, *placed = map(int, done.stdout.split())
    assert (absent, refused, failed, good) == (-100, -100, -3, 0)
    assert (reserved, invoked) == (0, 2)
    assert placed == [1, 16 + 48 + 16, 1]
