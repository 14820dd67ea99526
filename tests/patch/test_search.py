"""The front of plans: against all plans of small networks, and what its figures mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.patch.networks import bottlenecks, columns_of, modules, network
from tests.transform.building import ModuleBuilder
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import verify
from tvm_tinyml.patch import PatchPlan, Region
from tvm_tinyml.patch.chains import outstanding
from tvm_tinyml.patch.footprint import PlanFigures, Settings, footprint
from tvm_tinyml.patch.network import Network
from tvm_tinyml.patch.parts import Part, Parts
from tvm_tinyml.patch.paths import Paths, at_start, unbeaten
from tvm_tinyml.patch.search import pareto_front


def every_plan(net: Network, configuration: Settings) -> Iterator[PlanFigures]:
    """All ways to cut the order into regions, with all strips, that can run."""
    names = tuple(node.name for node in net.nodes)

    def cut(begin: int) -> Iterator[tuple[Region, ...]]:
        if begin == len(names):
            yield ()
            return
        for end in range(begin + 1, len(names) + 1):
            choices: list[tuple[Region, ...]] = [()] if end == begin + 1 else []
            for strip in range(1, columns_of(net.nodes[end - 1]) + 1):
                region = Region(names[begin:end], strip, dict.fromkeys(names[begin:end], 1))
                if runs(net, region):
                    choices.append((region,))
            for rest in cut(end) if choices else ():
                yield from (choice + rest for choice in choices)

    for regions in cut(0):
        inside = {name for region in regions for name in region.operators}
        outside = [node for node in net.nodes if node.name not in inside]
        if configuration.pulled.isdisjoint(tensor for node in outside for tensor in node.inputs if tensor):
            yield footprint(net, PatchPlan(names, regions), configuration)


def runs(net: Network, region: Region) -> bool:
    """Whether a region can run and its inner tensors are read nowhere else."""
    end = net.position[region.operators[-1]]
    if any(net.spans[net.roots[node.tensor]][1] > end for node in net.chosen(region)[:-1]):
        return False
    try:
        footprint(net, PatchPlan(tuple(node.name for node in net.nodes), (region,)), Settings())
    except PlanError:
        return False
    return True


@settings(max_examples=40, deadline=None, derandomize=True)
@given(modules(most=4), st.booleans(), st.booleans(), st.lists(st.integers(0, 60), min_size=4, max_size=4))
def test_no_plan_beats_the_front(module: Any, pull: bool, io_in_arena: bool, own: list[int]) -> None:
    net = network(module)
    scratch = {
        node.name: size for node, size in zip(net.nodes, own, strict=False) if not node.operator.is_view
    }
    pulled = frozenset(net.inputs) if pull else frozenset()
    configuration = Settings(4, io_in_arena, pulled, scratch=scratch)
    plans = [one for one in every_plan(net, configuration) if one.macs <= 1.5 * one.plain_macs]
    if not plans:
        with pytest.raises(PlanError, match="fetched by rows"):
            pareto_front(net, configuration, max_factor=1.5)
        return
    front = pareto_front(net, configuration, max_factor=1.5)
    for one in plans:
        assert any(best.arena_bytes <= one.arena_bytes and best.macs <= one.macs for best in front), one.plan


def test_the_front_falls_in_memory_as_it_rises_in_work() -> None:
    front = pareto_front(network(bottlenecks(3, size=16)), Settings())
    assert len(front) > 2
    assert [one.macs for one in front] == sorted(one.macs for one in front)
    assert [one.arena_bytes for one in front] == sorted({one.arena_bytes for one in front}, reverse=True)
    assert front[0].factor == 1.0
    for one in front:
        verify(one.program, one.memory)


def test_bands_lower_the_arena_of_bottlenecks() -> None:
    net = network(bottlenecks(3, size=24))
    front = pareto_front(net, Settings(pulled=frozenset(net.inputs)))
    banded = [one for one in front if any(region.segments for region in one.plan.regions)]
    assert banded
    for one in banded:
        verify(one.program, one.memory)
        alone = [
            replace(region, segments=(), rows=dict.fromkeys(region.operators, 1))
            for region in one.plan.regions
        ]
        assert (
            footprint(
                net, replace(one.plan, regions=tuple(alone)), Settings(pulled=frozenset(net.inputs))
            ).arena_bytes
            > one.arena_bytes
        )


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1), st.integers(2, 12))
def test_few_of_many_chains_keep_the_ends_and_what_saves_much(
    figures: list[tuple[int, int]], most: int
) -> None:
    both = np.array([figures, [(2 * macs, memory) for macs, memory in figures]]).reshape(-1, 2)
    group = np.repeat([0, 1], len(figures))
    chosen = outstanding(group, both[:, 0], both[:, 1], most).tolist()
    kept = [figures[place] for place in chosen if place < len(figures)]
    # Twice the work in another group changes nothing.
    assert [place + len(figures) for place in chosen[: len(kept)]] == chosen[len(kept) :]
    front = sorted(
        {one for one in figures if not any(o != one and o[0] <= one[0] and o[1] <= one[1] for o in figures)}
    )
    assert len(kept) == min(most, len(front))
    assert set(kept) <= set(front)
    assert {kept[0], kept[-1]} == {front[0], front[-1]}
    # One that saves more of both than any other inside the front ever can must be there.
    for before, one, after in zip(front, front[1:], front[2:], strict=False):
        memory, work = before[1] - one[1], after[0] - one[0]
        if 2 * memory > front[0][1] - front[-1][1] and 2 * work > front[-1][0] - front[0][0] and most > 2:
            assert one in kept


def test_outputs_over_one_another_need_room_for_all_their_distances() -> None:
    """Each lies below the one before, so that the first one ends as much higher as all of them move."""
    paths = at_start()._replace(peak=np.array([100]), reach=np.array([100]))
    for number in (1, 2, 3):
        below = f"x{number - 1}"
        part = Part(110, 0, 1, number - 1, number, 8, (), 90, below, 20)
        paths = paths.through(part, 0, below, 90)
        assert paths.reach == 100 + 20 * number
    assert paths.peak == 160
    last = Part(110, 0, 1, 3, 4, 8, (), 90, "x3", 20)
    # What is beside an output and its source then lies beside the whole way that they move.
    assert paths.through(last, 0, "x3", 90).peak == 180
    assert paths.through(last, 0, "x3", 90, apart=True).peak == 110 + 180 - 110
    assert paths.through(Part(110, 0, 1, 3, 4, 0, (), 90), 0, "x3", 0).reach == 90
    # All of them lie on one side of what is there all the time.
    assert paths.through(last, 0, "x3", 90, 50).peak == 180 + 50


def test_inputs_that_are_kept_are_there_all_the_time() -> None:
    net = network(bottlenecks(2))
    assert Parts(net, Settings()).always == 0
    kept = replace(net, keeps_inputs=True)
    assert Parts(kept, Settings()).always == sum(net.specs[tensor].nbytes for tensor in net.inputs)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=40),
    st.integers(0, 3),
    st.booleans(),
)
def test_paths_are_kept_that_no_one_of_no_more_work_beats(
    figures: list[tuple[int, int, int]], runners_up: int, last: bool
) -> None:
    peak, macs, reach = np.array(figures, np.int64).reshape(-1, 3).T
    nothing = np.zeros_like(peak)
    chosen = unbeaten(Paths(peak, macs, nothing, reach, nothing, nothing), runners_up, last=last).tolist()

    def beats(one: int, other: int) -> bool:
        reaches = 0 if last else int(reach[one] - reach[other])
        key = [(macs[index], peak[index], index) for index in (one, other)]
        return key[0] < key[1] and peak[one] <= peak[other] and reaches <= 0

    every = range(len(figures))
    best = [one for one in every if not any(beats(other, one) for other in every)]
    assert set(best) <= set(chosen)
    assert runners_up or set(best) == set(chosen)
    for one in set(every) - set(chosen):
        assert sum(peak[other] <= peak[one] and macs[other] <= macs[one] for other in chosen) >= runners_up


def test_an_operator_that_needs_all_rows_is_left_out_of_regions() -> None:
    builder = ModuleBuilder()
    wide = builder.conv2d(builder.parameter(1, 8, 8, 2), kernel=1)
    mean = builder.call(
        "mean", wide, axes=(1, 2), keepdims=True, multiplier=1 << 30, shift=-5, input_zero_point=0
    )
    net = network(builder.module(mean))
    names = tuple(node.name for node in net.nodes)
    with pytest.raises(PlanError, match="reads all of"):
        footprint(net, PatchPlan(names, (Region(names, 1, dict.fromkeys(names, 1)),)), Settings())
    assert not any(
        region.operators == names for one in pareto_front(net, Settings()) for region in one.plan.regions
    )
