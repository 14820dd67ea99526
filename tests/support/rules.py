"""Which schedule rules a test asks."""

from __future__ import annotations

import pytest

from tvm_tinyml.schedules import RULES


def ask_only(monkeypatch: pytest.MonkeyPatch, instructions: str) -> None:
    """Ask only the rules for "mve", "rvv", "dsp" or "thumb1", so that nothing cheaper hides them."""
    rules = tuple(rule for rule in RULES if instructions in rule.__module__)
    assert rules, f"no rule for {instructions}"
    monkeypatch.setattr("tvm_tinyml.schedules.RULES", rules)
