"""Everything the documents tell a reader to run is run, in order, in a copy of the checkout.

A block is run when its fence says sh or python. A block with `file=PATH` is written there first and with
`append=PATH` added to the end of a file, as the text around it says; it is not run by itself. Other languages are
only shown.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, Block, blocks, documents, name_of
from tests.plugin.python_process import WITHOUT_PYTORCH

RUN = ("sh", "python")
SHOWN = ("text", "c", "cmake", "make", "toml", "json")
COPIED = ("tvm_tinyml", "schedules", "target_configs", "runtime_c", "tests", "pyproject.toml", "README.md")
SECONDS = 300


def copy_checkout(folder: Path) -> None:
    """Copy what documents work on; links stay links, so the package finds its copied data folders."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copyfile(source, folder / name)


def run(block: Block, folder: Path, where: str) -> None:
    """Write or run one block; fails with its output and its place in the document."""
    for option, mode in (("file", "w"), ("append", "a")):
        if option in block.options:
            place = folder / block.options[option]
            assert place.exists() == (mode == "a"), (
                f"{where}: {place.name} is there, or not, against the text"
            )
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open(mode, encoding="utf-8") as file:
                file.write(block.text if mode == "w" else f"\n\n{block.text}")
            return
    if block.language not in RUN:
        return
    command = ["bash", "-euo", "pipefail"] if block.language == "sh" else [sys.executable, "-"]
    # What does not use PyTorch works without it, and TVM takes less time to import.
    hidden = block.language == "python" and "torch" not in block.text
    # What is compiled for one block serves the next ones.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
    }
    result = subprocess.run(
        command,
        input=WITHOUT_PYTORCH * hidden + block.text,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 0, f"{where} failed:\n{block.text}\n{result.stdout}"


def with_blocks() -> list[Path]:
    """Documents that have something to run."""
    return [path for path in documents() if any(block.language in RUN for block in blocks(path))]


@pytest.mark.slow
@pytest.mark.parametrize("path", with_blocks(), ids=name_of)
def test_blocks_run_in_order(path: Path, tmp_path: Path) -> None:
    for program in ("bash", "make", "gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; the documents assume what `make demo` installs")
    copy_checkout(tmp_path)
    for block in blocks(path):
        run(block, tmp_path, f"{name_of(path)}:{block.line}")


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_every_block_says_what_it_is(path: Path) -> None:
    for block in blocks(path):
        where = f"{name_of(path)}:{block.line}"
        assert block.language in RUN + SHOWN, f"{where}: {block.language!r} is neither run nor shown"
        assert set(block.options) <= {"file", "append"}, where
