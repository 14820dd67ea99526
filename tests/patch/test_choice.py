"""Choosing from a front: the budget is kept at the least cost, or an error says how close one can get."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.patch.networks import bottlenecks, network
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import verify
from tvm_tinyml.patch.choice import PatchFront
from tvm_tinyml.patch.footprint import Settings
from tvm_tinyml.patch.taller import with_fewer_calls

NETWORK = network(bottlenecks(3, size=16))


@pytest.fixture(scope="module")
def front() -> PatchFront:
    return PatchFront.search(NETWORK, Settings(pulled=frozenset(NETWORK.inputs)))


def test_the_least_work_within_a_budget_is_chosen(front: PatchFront) -> None:
    assert len(front.plans) > 2
    for number, one in enumerate(front.plans):
        assert front.first_within(one.arena_bytes) == number
    assert front.first_within(front.plans[1].arena_bytes - 1) == 2


def test_what_a_budget_leaves_over_goes_into_rows(front: PatchFront) -> None:
    last = front.plans[-1]
    assert front.within(last.arena_bytes).arena_bytes <= last.arena_bytes
    roomy = front.within(front.plans[-2].arena_bytes - 1)
    assert roomy.macs <= front.max_factor * roomy.plain_macs
    assert roomy.calls <= last.calls
    assert roomy.arena_bytes < front.plans[-2].arena_bytes


def test_a_budget_takes_the_plan_with_the_least_work_once_calls_are_counted(front: PatchFront) -> None:
    better = 0
    smallest, largest = front.plans[-1].arena_bytes, front.plans[0].arena_bytes
    for budget in range(smallest, largest, (largest - smallest) // 8):
        found, first = front.within(budget), front.plans[front.first_within(budget)]
        alone = with_fewer_calls(NETWORK, first, front.settings, budget, found.macs + first.macs)
        assert found.arena_bytes <= budget
        assert found.cost <= alone.cost
        better += found.cost < alone.cost
    assert better > 0


def test_calls_that_cost_nothing_buy_no_work(front: PatchFront) -> None:
    free = PatchFront.search(NETWORK, replace(front.settings, setup_pixels=0.0))
    budget = free.plans[-1].arena_bytes + 100
    assert free.within(budget).macs == free.plans[free.first_within(budget)].macs


def test_plans_of_a_front_are_built_with_as_many_rows_per_call_as_cost_nothing(front: PatchFront) -> None:
    built = [front.taller(number) for number in range(len(front.plans))]
    for found, taller in zip(front.plans, built, strict=True):
        assert taller.arena_bytes <= found.arena_bytes
        assert taller.macs <= found.macs
        assert taller.calls <= found.calls
    assert sum(taller.calls for taller in built) < sum(found.calls for found in front.plans)


def test_a_budget_that_cannot_be_met_names_the_smallest_arena_and_what_sets_it(front: PatchFront) -> None:
    smallest = front.plans[-1].arena_bytes
    with pytest.raises(PlanError, match=f"the smallest needs {smallest:,}") as raised:
        front.within(smallest - 1)
    assert "sets the peak" in str(raised.value)


def test_the_least_memory_within_a_bound_on_the_work_is_chosen(front: PatchFront) -> None:
    for one in front.plans:
        assert front.smallest(one.factor).arena_bytes <= one.arena_bytes
    assert front.smallest(10.0).arena_bytes <= front.plans[-1].arena_bytes
    with pytest.raises(PlanError, match=r"the least is 1\.000"):
        front.smallest(0.9)


def test_bands_that_are_searched_again_for_their_cost_keep_the_budget(
    front: PatchFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheapest = front.cheapest
    assert cheapest is not None
    banded = [one for one in front.plans if any(region.segments for region in one.plan.regions)]
    budget, macs = banded[-1].arena_bytes * 5 // 4, banded[-1].macs * 5 // 4
    monkeypatch.setattr("tvm_tinyml.patch.cheapest.DEAR", 10.0)
    once = cheapest.plans(budget, macs)
    monkeypatch.setattr("tvm_tinyml.patch.cheapest.DEAR", -10.0)
    again = cheapest.plans(budget, macs)
    assert again[0].cost < once[0].cost
    for found in again:
        assert found.arena_bytes <= budget
        assert found.macs <= macs
        verify(found.program, found.memory)
