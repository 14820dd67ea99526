"""Every way to compute a layer, not only the one that the selection takes: all candidates of many layers in one run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from unittest import mock

from tests.support.layers import LayerCase, assert_layers_exact, module_of
from tvm_tinyml.lower import Lowering
from tvm_tinyml.module import AOTModule
from tvm_tinyml.pipeline import passes
from tvm_tinyml.schedules import Candidate, Problem
from tvm_tinyml.target import TargetConfig, parse_target

# Passes that would compute less of a layer, or nothing when its output is always the same.
PASSES_LEFT_OUT = "FoldConstantChannels,FoldConstants,JoinUnary,MergeClamps,MergeEqualCalls,DropIdentity"


Offers = list[list[Candidate]]
"""The candidates of each case."""


def assert_every_candidate_exact(
    cases: Sequence[LayerCase], target: str, keep: Callable[[Offers], Offers] | None = None
) -> AOTModule:
    """Run every case on the target's board once per candidate that the rules offer for it.

    The cases become one program and one run, in which a case stands as often as it has candidates; every output equals
    the dialect's NumPy semantics. Returns the program: the `schedule` of its layers says which rules ran, and
    `micro_kernels` of its model which functions. To test some rules alone, patch `schedules.RULES` as `rules.ask_only`
    does: layers that none of them takes have the plain schedule as their only candidate.

    keep: leaves out candidates, such as `sample_of_rules`.
    """
    words = f"{target} -without={PASSES_LEFT_OUT}"
    offers = _offers(cases, parse_target(words))
    repeated: list[LayerCase] = []
    forced: dict[str, Candidate] = {}
    for case, candidates in zip(cases, keep(offers) if keep else offers, strict=True):
        for candidate in candidates:
            forced[f"{case.name}_{len(repeated)}"] = candidate
            repeated.append(case)

    def only(problem: Problem) -> list[Candidate]:
        return [forced[problem.attrs["name"]]]

    with mock.patch("tvm_tinyml.lower.candidates", only):
        module = assert_layers_exact(repeated, words)
    taken = Counter(layer.schedule for layer in module.compiled.model.layers)
    assert taken == Counter(candidate.rule for candidate in forced.values())
    return module


def sample_of_rules(offers: Offers, count: int) -> Offers:
    """Of each rule `count` candidates, evenly spread over the cases."""
    by_rule: dict[str, list[tuple[int, Candidate]]] = defaultdict(list)
    for case, candidates in enumerate(offers):
        for candidate in candidates:
            by_rule[candidate.rule].append((case, candidate))
    kept: Offers = [[] for _ in offers]
    for found in by_rule.values():
        for index in range(min(count, len(found))):
            case, candidate = found[index * len(found) // min(count, len(found))]
            kept[case].append(candidate)
    return kept


def with_micro_kernels(offers: Offers) -> Offers:
    """The candidates that call micro-kernels."""
    return [[candidate for candidate in candidates if candidate.micro_kernels()] for candidates in offers]


def _offers(cases: Sequence[LayerCase], config: TargetConfig) -> Offers:
    """The candidates of each case; layers that need no code have none."""
    module = module_of(cases)
    for one in passes(config):
        module = one(module)
    lowering = Lowering(module, config)
    found = zip(lowering.outline.layers, lowering.candidates, strict=True)
    by_name = {layer.name: list(candidates) for layer, candidates in found}
    return [by_name.get(f"{case.name}_{index}", []) for index, case in enumerate(cases)]
