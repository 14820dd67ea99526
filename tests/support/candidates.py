"""Every way to compute a layer, not only the one that the selection takes: all candidates of many layers in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

from tests.support.layers import LayerCase, assert_layers_exact, module_of
from tvm_tinyml.lower import Lowering
from tvm_tinyml.module import AOTModule
from tvm_tinyml.pipeline import passes
from tvm_tinyml.schedules import Candidate
from tvm_tinyml.target import TargetConfig, parse_target

# Passes that would compute less of a layer, or nothing when its output is always the same.
PASSES_LEFT_OUT = "FoldConstantChannels,FoldConstants,JoinUnary,MergeClamps,MergeEqualCalls,DropIdentity"


def assert_every_candidate_exact(cases: Sequence[LayerCase], target: str) -> AOTModule:
    """Run every case on the target's board once per candidate that the rules offer for it.

    The cases become one program and one run, in which a case stands as often as it has candidates; every output equals
    the dialect's NumPy semantics. Returns the program: the `schedule` of its layers says which rules ran, and
    `micro_kernels` of its model which functions. To test some rules alone, patch `schedules.RULES` as `rules.ask_only`
    does: layers that none of them takes have the plain schedule as their only candidate.
    """
    words = f"{target} -without={PASSES_LEFT_OUT}"
    offers = _offers(cases, parse_target(words))
    repeated: list[LayerCase] = []
    forced: dict[str, Candidate] = {}
    for case, candidates in zip(cases, offers, strict=True):
        for candidate in candidates:
            forced[f"{case.name}_{len(repeated)}"] = candidate
            repeated.append(case)

    def only(problem: Any) -> list[Candidate]:
        return [forced[problem.attrs["name"]]]

    with mock.patch("tvm_tinyml.lower.candidates", only):
        return assert_layers_exact(repeated, words)


def _offers(cases: Sequence[LayerCase], config: TargetConfig) -> list[Sequence[Candidate]]:
    """The candidates of each case; those of layers that need no code are none."""
    module = module_of(cases)
    for one in passes(config):
        module = one(module)
    lowering = Lowering(module, config)
    by_name = dict(zip((layer.name for layer in lowering.outline.layers), lowering.candidates, strict=True))
    return [by_name.get(f"{case.name}_{index}", ()) for index, case in enumerate(cases)]
