"""`measure`: counted instructions decide, and what cannot be counted is one clear error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.runner.tools import usable_target
from tests.schedules.layers_rvv import convolution
from tests.support.layers import module_of
from tvm_tinyml.errors import RunError, TinyMLError
from tvm_tinyml.module import AOTModule
from tvm_tinyml.schedules import Candidate, Problem, candidates
from tvm_tinyml.target import parse_target


def misjudged(problem: Problem) -> list[Candidate]:
    """The candidates of all rules, each with an estimate that is worse the better the true one is."""
    return [replace(one, instructions=1e9 / one.instructions) for one in candidates(problem)]


def test_counts_overrule_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    config = usable_target("-mcpu=cortex-m4 -opt=speed")
    module = module_of([convolution(np.random.default_rng(1), (6, 6, 8), 8, (1, 1))])
    monkeypatch.setattr("tvm_tinyml.lower.candidates", misjudged)
    believed = AOTModule(module, config).compiled.model.layers[0]
    measured = AOTModule(module, config, measure=True).compiled.model.layers[0]
    counts = {one.schedule: one.counted_instructions for one in measured.alternatives}
    assert None not in counts.values()
    assert counts[measured.schedule] == min(count for count in counts.values() if count is not None)
    assert measured.schedule != believed.schedule


@pytest.mark.parametrize("target", ["tinyml/host", "tinyml -board=nrf52840-dk"])
def test_only_emulated_boards_are_measured(target: str) -> None:
    module = module_of([convolution(np.random.default_rng(1), (4, 4, 4), 4, (1, 1))])
    with pytest.raises(RunError, match="emulated"):
        AOTModule(module, parse_target(target), measure=True)


def test_missing_programs_are_named_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(TinyMLError, match="is not installed"):
        AOTModule(None, parse_target("tinyml/cortex-m4"), measure=True)
