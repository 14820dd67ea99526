"""Sentences about a plan name what sets its peak and what would lower it."""

from __future__ import annotations

from tests.patch.networks import bottlenecks, network
from tests.transform.building import ModuleBuilder
from tvm_tinyml.patch import PatchPlan
from tvm_tinyml.patch.footprint import Settings, footprint
from tvm_tinyml.patch.search import pareto_front
from tvm_tinyml.patch.words import limits, next_step, peak_step


def test_a_held_image_and_an_operator_that_runs_whole_are_named() -> None:
    builder = ModuleBuilder()
    net = network(builder.module(builder.conv2d(builder.parameter(1, 16, 16, 4), strides=(2, 2), kernel=2)))
    found = footprint(net, PatchPlan(("conv2d_0",)), Settings())
    assert peak_step(found) == "conv2d_0"
    assert "'conv2d_0' runs whole" in limits(net, found)
    assert "Input 'x0' takes 80% of the arena" in limits(net, found)


def test_an_operator_that_needs_all_rows_is_called_that() -> None:
    builder = ModuleBuilder()
    scale = {"multiplier": 1 << 30, "shift": -5, "input_zero_point": 0}
    mean = builder.call("mean", builder.parameter(1, 8, 8, 4), axes=(1, 2), keepdims=False, **scale)
    net = network(builder.module(mean))
    assert "'mean_0' needs all rows" in limits(net, footprint(net, PatchPlan(("mean_0",)), Settings()))


def test_a_region_is_named_with_its_strips() -> None:
    net = network(bottlenecks(3, size=16))
    front = pareto_front(net, Settings(pulled=frozenset(net.inputs)))
    last = limits(net, front[-1])
    assert "It is the region" in last
    assert "columns" in last or "whole width" in last
    step = next_step(front[-2], front[-1])
    assert f"saves {front[-2].arena_bytes - front[-1].arena_bytes:,} bytes" in step
