"""More rows per call: within the arena, without more work, and with the same meaning."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.patch.networks import bottlenecks, modules, network
from tests.patch.test_meaning import assert_region_means_the_same
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import PatchPlan, Region, Segment
from tvm_tinyml.patch.footprint import Settings, footprint
from tvm_tinyml.patch.search import pareto_front
from tvm_tinyml.patch.taller import with_fewer_calls


@settings(max_examples=25, deadline=None)
@given(modules(), st.booleans(), st.integers(0, 300))
def test_calls_fall_within_the_arena_at_the_same_work_and_meaning(module: Any, pull: bool, room: int) -> None:
    net = network(module)
    configuration = Settings(4, pulled=frozenset(net.inputs) if pull else frozenset())
    try:
        found = pareto_front(net, configuration)[-1]
    except PlanError:
        assume(False)
    taller = with_fewer_calls(net, found, configuration, found.arena_bytes + room)
    assert taller.arena_bytes <= found.arena_bytes + room
    assert taller.macs <= found.macs
    assert taller.calls <= found.calls
    cuts = [(region.operators, region.strip) for region in found.plan.regions]
    assert [(region.operators, region.strip) for region in taller.plan.regions] == cuts
    for region in taller.plan.regions:
        assert_region_means_the_same(module, net, region)


def test_with_all_the_memory_every_operator_is_called_once_per_strip() -> None:
    net = network(bottlenecks(2, size=16))
    found = pareto_front(net, Settings())[-1]
    taller = with_fewer_calls(net, found, Settings(), 1 << 30)
    strips = sum(-(-8 // region.strip) * len(region.operators) for region in found.plan.regions)
    whole = sum(found.plan.region_of(node.name) is None for node in net.nodes)
    assert taller.calls == strips + whole < found.calls


def test_odd_heights_get_rows_beyond_the_image_where_saved_calls_are_worth_more_than_they_cost() -> None:
    net = network(bottlenecks(2, size=19))
    found = pareto_front(net, Settings())[-1]
    room = found.arena_bytes + 500
    cheap, costly = Settings(), Settings(setup_pixels=4)
    same = with_fewer_calls(net, found, cheap, room, 2 * found.macs)
    assert same.macs <= found.macs
    taller = with_fewer_calls(net, found, costly, room, 2 * found.macs)
    assert found.macs < taller.macs < 1.2 * found.macs
    assert taller.calls < same.calls


def test_segments_make_more_columns_at_a_time_with_the_same_meaning() -> None:
    module = bottlenecks(2, size=16)
    net = network(module)
    names = tuple(node.name for node in net.nodes)
    banded = Region(names, 8, {}, (Segment(names, 2, 2),))
    found = footprint(net, PatchPlan(names, (banded,)), Settings())
    wider = with_fewer_calls(net, found, Settings(setup_pixels=4), found.arena_bytes + 600)
    (region,) = wider.plan.regions
    (segment,) = region.segments
    assert segment.columns > 1
    assert wider.calls < found.calls
    assert found.arena_bytes < wider.arena_bytes <= found.arena_bytes + 600
    assert_region_means_the_same(module, net, region)


def test_segments_make_fewer_columns_at_a_time_where_that_saves_columns_beyond_the_image() -> None:
    module = bottlenecks(2, size=16)
    net = network(module)
    names = tuple(node.name for node in net.nodes)
    banded = Region(names, 8, {}, (Segment(names, 2, 2, columns=3),))
    found = footprint(net, PatchPlan(names, (banded,)), Settings())
    narrower = with_fewer_calls(net, found, Settings(), found.arena_bytes)
    (region,) = narrower.plan.regions
    (segment,) = region.segments
    assert segment.columns == 2
    assert narrower.macs < found.macs
    assert narrower.arena_bytes <= found.arena_bytes
    assert_region_means_the_same(module, net, region)


def test_operators_grow_one_by_one_where_a_region_cannot_as_a_whole() -> None:
    net = network(bottlenecks(2, size=16))
    found = pareto_front(net, Settings())[-1]
    taller = with_fewer_calls(net, found, Settings(), found.arena_bytes + 100)
    assert taller.calls < found.calls
    assert taller.arena_bytes <= found.arena_bytes + 100
    rows = [set(region.rows.values()) for region in taller.plan.regions]
    assert {1, 2} in rows
