"""Choosing from a front: the budget is kept at the least cost, or an error says how close one can get."""

from __future__ import annotations

import pytest

from tests.patch.networks import bottlenecks, network
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch.choice import cheapest_within, smallest_within
from tvm_tinyml.patch.footprint import Settings
from tvm_tinyml.patch.search import pareto_front

NETWORK = network(bottlenecks(3, size=16))
FRONT = pareto_front(NETWORK, Settings(pulled=frozenset(NETWORK.inputs)))


def test_the_least_work_within_a_budget_is_chosen() -> None:
    assert len(FRONT) > 2
    for one in FRONT:
        assert cheapest_within(NETWORK, FRONT, one.arena_bytes) is one
    assert cheapest_within(NETWORK, FRONT, FRONT[1].arena_bytes - 1) is FRONT[2]


def test_a_budget_that_cannot_be_met_names_the_smallest_arena_and_what_sets_it() -> None:
    smallest = FRONT[-1].arena_bytes
    with pytest.raises(PlanError, match=f"the smallest needs {smallest:,}") as raised:
        cheapest_within(NETWORK, FRONT, smallest - 1)
    assert "sets the peak" in str(raised.value)


def test_the_least_memory_within_a_bound_on_the_work_is_chosen() -> None:
    for one in FRONT:
        assert smallest_within(FRONT, one.factor).arena_bytes <= one.arena_bytes
    assert smallest_within(FRONT, 10.0) is FRONT[-1]
    with pytest.raises(PlanError, match=r"the least is 1\.000"):
        smallest_within(FRONT, 0.9)
