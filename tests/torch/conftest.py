"""For all tests with PyTorch: left out where it is not installed, one thread, and none of its own warnings."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
MISSING = [name for name in ("torch", "torchao") if find_spec(name) is None]
collect_ignore_glob = ["test_*.py"] if MISSING else []
# Of the packages, about their own parts.
WARNINGS = ("DeprecationWarning", "UserWarning", "FutureWarning")

if not MISSING:
    import torch

    # Small networks gain nothing by threads, and the workers of pytest take all cores.
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ignore the warnings in the tests of this folder."""
    for item in items:
        if FOLDER in item.path.parents:
            for kind in WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))
