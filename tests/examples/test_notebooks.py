"""The example notebooks run from top to bottom, and show what their text promises."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tvm_tinyml.target.config import STACK_BYTES

PACKAGES = ("torch", "torchao", "sklearn", "matplotlib", "ipykernel", "nbformat", "nbclient")
# What notebooks import takes seconds, which is left to the processes that run them.
MISSING = [package for package in PACKAGES if find_spec(package) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed")

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600
"""For one cell, on a machine that is busy otherwise."""


@pytest.mark.slow
def test_digits_from_training_to_a_smaller_arena(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbclient
    import nbformat

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(ROOT / "examples" / "digits.ipynb", nbformat.NO_CONVERT)
    assert not any(cell.get("outputs") for cell in notebook.cells), "stored without outputs"
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=place).execute()
    said = "\n".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "stream" and output["name"] == "stdout"
    )
    print(said)
    exact = float(found(r"float accuracy: ([\d.]+)%", said))
    quantised = float(found(r"int8 accuracy on the Cortex-M55: ([\d.]+)% of 360 images", said))
    moved = float(found(r"int8 accuracy after redistribution: ([\d.]+)%", said))
    assert exact > 94
    assert abs(quantised - exact) <= 0.5
    assert moved > exact - 4
    arenas = [number(one) for one in re.findall(r"arena ([\d,]+) -> ([\d,]+) bytes", said)[0]]
    # The budget of 10 KB is kept, the stack included, which the build without one exceeds.
    assert arenas[1] + STACK_BYTES <= 10 << 10 < arenas[0]
    assert int(found(r"repeated work: (\d+)% less", said)) >= 60
    assert any("image/png" in output.get("data", {}) for output in notebook.cells[-1].outputs)


def found(pattern: str, text: str) -> str:
    """What the group of a pattern matches."""
    match = re.search(pattern, text)
    assert match, text
    return match[1]


def number(text: str) -> int:
    """A number with grouped digits."""
    return int(text.replace(",", ""))
