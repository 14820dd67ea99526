"""Runs a script in a Python process of its own, because what `import tvm` does can be seen only once.

`import tvm` imports PyTorch where it is installed, which takes longer than everything that is tested here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from importlib.metadata import entry_points

import pytest

WITHOUT_PYTORCH = "import sys; sys.modules['torch'] = None\n"


def run_script(script: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `script` and return the finished process; skips when the package is not installed."""
    if "tinyml" not in {entry.name for entry in entry_points(group="tvm.backends")}:
        pytest.skip("tvm-tinyml is not installed, so TVM cannot find its entry point")
    return subprocess.run(
        [sys.executable, *options, "-c", WITHOUT_PYTORCH + textwrap.dedent(script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def output_of(script: str, **environment: str) -> str:
    """Run `script`, which must succeed and say nothing on standard error, and return what it prints."""
    result = run_script(script, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout
