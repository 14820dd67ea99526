"""`measure`: counted instructions decide, and what cannot be counted is one clear error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.runner.tools import usable_target
from tests.schedules.layers_rvv import convolution
from tests.support.layers import module_of
from tvm_tinyml.codegen import LoweredModel
from tvm_tinyml.errors import RunError, TinyMLError
from tvm_tinyml.lower import Lowering
from tvm_tinyml.module import AOTModule
from tvm_tinyml.schedules import Candidate, Choice, Problem, candidates
from tvm_tinyml.target import parse_target


def misjudged(problem: Problem) -> list[Candidate]:
    """The candidates of all rules, each with an estimate that is worse the better the true one is."""
    return [replace(one, instructions=1e9 / one.instructions) for one in candidates(problem)]


def test_counts_overrule_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    config = usable_target("-mcpu=cortex-m4 -opt=speed -without=PatchInference")
    module = module_of([convolution(np.random.default_rng(1), (6, 6, 8), 8, (1, 1))])
    monkeypatch.setattr("tvm_tinyml.lower.candidates", misjudged)
    believed = AOTModule(module, config).compiled.model.layers[0]
    measured = AOTModule(module, config, measure=True).compiled.model.layers[0]
    counts = {one.schedule: one.counted_instructions for one in measured.alternatives}
    assert None not in counts.values()
    assert counts[measured.schedule] == min(count for count in counts.values() if count is not None)
    assert measured.schedule != believed.schedule


def test_layers_of_equal_kind_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers with other weights but one geometry: half of the runs, and every candidate of both is counted."""
    config = usable_target("-mcpu=cortex-m4 -opt=speed -without=PatchInference")
    generator = np.random.default_rng(1)
    one, other = (convolution(generator, (6, 6, 8), 8, (1, 1)) for _ in range(2))
    cases = [one, replace(other, attrs=one.attrs)]
    built: list[object] = []
    build = Lowering.build

    def recorded(self: Lowering, choices: Sequence[Choice]) -> LoweredModel:
        built.append(choices)
        return build(self, choices)

    monkeypatch.setattr(Lowering, "build", recorded)
    layers = AOTModule(module_of(cases), config, measure=True).compiled.model.layers
    first, second = ([one.counted_instructions for one in layer.alternatives] for layer in layers)
    assert first == second
    assert None not in first
    # The last one is what was chosen.
    assert len(built) == -(-len(first) // 2) + 1


@pytest.mark.parametrize("target", ["tinyml/host", "tinyml -board=nrf52840-dk"])
def test_only_emulated_boards_are_measured(target: str) -> None:
    module = module_of([convolution(np.random.default_rng(1), (4, 4, 4), 4, (1, 1))])
    with pytest.raises(RunError, match="emulated"):
        AOTModule(module, parse_target(target), measure=True)


def test_missing_programs_are_named_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(TinyMLError, match="is not installed"):
        AOTModule(None, parse_target("tinyml/cortex-m4"), measure=True)
