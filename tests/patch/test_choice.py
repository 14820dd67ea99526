"""Choosing from a front: the budget is kept at the least cost, or an error says how close one can get."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.patch.networks import bottlenecks, network
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch.choice import PatchFront
from tvm_tinyml.patch.footprint import Settings
from tvm_tinyml.patch.taller import with_fewer_calls

NETWORK = network(bottlenecks(3, size=16))
FRONT = PatchFront.search(NETWORK, Settings(pulled=frozenset(NETWORK.inputs)))


def test_the_least_work_within_a_budget_is_chosen() -> None:
    assert len(FRONT.plans) > 2
    for number, one in enumerate(FRONT.plans):
        assert FRONT.first_within(one.arena_bytes) == number
    assert FRONT.first_within(FRONT.plans[1].arena_bytes - 1) == 2


def test_what_a_budget_leaves_over_goes_into_rows() -> None:
    last = FRONT.plans[-1]
    assert FRONT.within(last.arena_bytes).arena_bytes <= last.arena_bytes
    roomy = FRONT.within(FRONT.plans[-2].arena_bytes - 1)
    assert roomy.macs <= FRONT.max_factor * roomy.plain_macs
    assert roomy.calls <= last.calls
    assert roomy.arena_bytes < FRONT.plans[-2].arena_bytes


def test_a_budget_takes_the_plan_with_the_least_work_once_calls_are_counted() -> None:
    better = 0
    smallest, largest = FRONT.plans[-1].arena_bytes, FRONT.plans[0].arena_bytes
    for budget in range(smallest, largest, (largest - smallest) // 8):
        found, first = FRONT.within(budget), FRONT.plans[FRONT.first_within(budget)]
        alone = with_fewer_calls(NETWORK, first, FRONT.settings, budget, found.macs + first.macs)
        assert found.arena_bytes <= budget
        assert found.cost <= alone.cost
        better += found.cost < alone.cost
    assert better > 0


def test_calls_that_cost_nothing_buy_no_work() -> None:
    front = PatchFront.search(NETWORK, replace(FRONT.settings, setup_pixels=0.0))
    budget = front.plans[-1].arena_bytes + 100
    assert front.within(budget).macs == front.plans[front.first_within(budget)].macs


def test_plans_of_a_front_are_built_with_as_many_rows_per_call_as_cost_nothing() -> None:
    built = [FRONT.taller(number) for number in range(len(FRONT.plans))]
    for found, taller in zip(FRONT.plans, built, strict=True):
        assert taller.arena_bytes <= found.arena_bytes
        assert taller.macs <= found.macs
        assert taller.calls <= found.calls
    assert sum(taller.calls for taller in built) < sum(found.calls for found in FRONT.plans)


def test_a_budget_that_cannot_be_met_names_the_smallest_arena_and_what_sets_it() -> None:
    smallest = FRONT.plans[-1].arena_bytes
    with pytest.raises(PlanError, match=f"the smallest needs {smallest:,}") as raised:
        FRONT.within(smallest - 1)
    assert "sets the peak" in str(raised.value)


def test_the_least_memory_within_a_bound_on_the_work_is_chosen() -> None:
    for one in FRONT.plans:
        assert FRONT.smallest(one.factor).arena_bytes <= one.arena_bytes
    assert FRONT.smallest(10.0).arena_bytes <= FRONT.plans[-1].arena_bytes
    with pytest.raises(PlanError, match=r"the least is 1\.000"):
        FRONT.smallest(0.9)
