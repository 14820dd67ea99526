"""Estimated cost of plans: what is asked about calls, what lies between, and which plan that makes the best."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from tests.patch.networks import bottlenecks, network
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import PatchPlan, Region, Stage
from tvm_tinyml.patch.choice import PatchFront
from tvm_tinyml.patch.costs import NOTHING, SHARED, Instructions, Moving
from tvm_tinyml.patch.footprint import Settings, footprint

NETWORK = network(bottlenecks(2, size=16))
NAMES = tuple(node.name for node in NETWORK.nodes)


def pixels(stage: Stage) -> float:
    """A call costs 1000, and 1 for each pixel that it makes."""
    _, rows, columns, _ = stage.output.shape
    return 1000.0 + rows * columns


def settings(moving: Moving = NOTHING) -> Settings:
    costs = Instructions(NETWORK, pixels, moving)
    return Settings(pulled=frozenset(NETWORK.inputs), costs=costs)


def test_sizes_between_those_that_are_asked_about_lie_on_lines() -> None:
    asked: list[tuple[int, ...]] = []

    def of(stage: Stage) -> float:
        asked.append(stage.output.shape)
        return float(stage.output.shape[1] * stage.output.shape[2])

    costs = Instructions(NETWORK, of, NOTHING)
    index = next(i for i, node in enumerate(NETWORK.nodes) if node.operator.name == "depthwise_conv2d")
    exact = costs.call(index, 1, 4) / 4
    for rows, width in ((1, 3), (2, 5), (3, 3), (6, 7)):
        assert costs.call(index, rows, width) == pytest.approx(rows * width * exact)
    count = len(asked)
    costs.call(index, 6, 7)
    assert len(asked) == count


@pytest.mark.parametrize("width", [5, 7, 21, 31, 33])
def test_pixels_that_fill_no_tile_cost_as_much_beside_any_number_of_tiles(width: int) -> None:
    def of(stage: Stage) -> float:
        return 100.0 - 10.0 * (-stage.output.shape[1] * stage.output.shape[2] // 4)

    costs = Instructions(NETWORK, of, NOTHING)
    index = next(i for i, node in enumerate(NETWORK.nodes) if node.operator.name == "maximum")
    assert costs.call(index, 1, width) == pytest.approx(SHARED * (100 + 10 * -(-width // 4)))


def test_a_call_of_a_segment_is_asked_about_with_all_of_its_columns() -> None:
    asked: list[tuple[int, ...]] = []

    def of(stage: Stage) -> float:
        asked.append(stage.output.shape[1:3])
        return 1.0

    costs = Instructions(NETWORK, of, NOTHING)
    index = next(i for i, node in enumerate(NETWORK.nodes) if node.operator.name == "depthwise_conv2d")
    costs.call(index, 8, 2, swapped=True)
    assert asked == [(8, 2)]


def test_rows_in_planes_cost_less_where_one_operator_makes_them_for_one_other() -> None:
    def in_planes(stage: Stage, data_plane: int, output_plane: int) -> float:
        reads = stage.node.operator.name == "depthwise_conv2d"
        possible = not output_plane if reads else not data_plane
        return pixels(stage) - 100.0 if possible else inf

    plain = settings()
    planes = replace(plain, costs=Instructions(NETWORK, pixels, NOTHING, in_planes))
    alone = PatchPlan(NAMES, (Region(NAMES, 8, dict.fromkeys(NAMES, 1)),))
    usual, less = (footprint(NETWORK, alone, one).cost for one in (plain, planes))
    deep = [node for node in NETWORK.nodes if node.operator.name == "depthwise_conv2d"]
    rows = sum(node.output.shape[1] for node in deep)
    # Both the depthwise layers and those that make rows for them.
    assert usual - less == pytest.approx(SHARED * 2 * 100 * rows)
    front, other = (PatchFront.search(NETWORK, one).plans[-1] for one in (plain, planes))
    assert other.arena_bytes == front.arena_bytes


def test_a_plan_costs_its_calls_and_what_moves_rows() -> None:
    region = Region(NAMES, 8, dict.fromkeys(NAMES, 1))
    plan = PatchPlan(NAMES, (region,))
    found = footprint(NETWORK, plan, settings())
    # Rows are fetched by calls of the application, which cost nothing here.
    calls = found.calls - NETWORK.inputs[next(iter(NETWORK.inputs))].shape[1]
    assert found.cost == pytest.approx(SHARED * 1008 * calls)
    moving = footprint(NETWORK, plan, settings(Moving(event=10.0, copy=1.0, row=1.0, byte=0.1)))
    assert moving.cost > found.cost + 10 * found.calls
    fewer = Region(NAMES, 8, dict.fromkeys(NAMES, 2))
    assert footprint(NETWORK, PatchPlan(NAMES, (fewer,)), settings()).cost < 0.7 * found.cost


def test_dear_calls_buy_work_and_a_bound_on_the_work_forbids_it() -> None:
    front = PatchFront.search(NETWORK, settings())
    by_work = PatchFront.search(NETWORK, replace(front.settings, costs=None, setup_pixels=0.0))
    fewer = 0
    for one in front.plans[-3:]:
        cheap, least = front.within(one.arena_bytes), by_work.within(one.arena_bytes)
        bounded = front.within(one.arena_bytes, least.factor)
        assert max(cheap.arena_bytes, bounded.arena_bytes) <= one.arena_bytes
        assert cheap.cost <= bounded.cost
        assert bounded.factor <= least.factor
        fewer += cheap.calls < least.calls
    assert fewer > 0
    with pytest.raises(PlanError, match="the least within those bytes"):
        front.within(front.plans[-1].arena_bytes, 0.9)
