"""Line buffers that face each other: rows of one lie at its end, and nothing is lost where another one's begin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.patch.networks import network
from tests.patch.streamed import named, unlowered
from tests.transform.building import ModuleBuilder, random_inputs
from tvm_tinyml import relay
from tvm_tinyml.codegen import verify_block
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import PatchPlan, Region, Segment
from tvm_tinyml.patch.facing import Span, bytes_saved, face_each_other, matchings
from tvm_tinyml.patch.footprint import region_workspace
from tvm_tinyml.patch.network import Network
from tvm_tinyml.patch.workspace import Workspace, may_settle

STRIDES = (1,) * 7


def chain(strides: tuple[int, ...], size: int) -> tuple[ModuleBuilder, Any]:
    """Depthwise convolutions, which pad the image all around."""
    builder = ModuleBuilder()
    below = builder.parameter(1, size, size, 8)
    for stride in strides:
        below = builder.conv2d(below, depthwise=True, strides=(stride, stride), padding=(1, 1, 1, 1))
    return builder, below


def settling(net: Network, region: Region) -> Region:
    """The region with everything settling that can be."""
    operations = region_workspace(net, region).operations
    return replace(region, settling=tuple(may_settle(operations).values()))


def test_line_buffers_that_are_full_at_different_times_face_each_other() -> None:
    builder, output = chain(STRIDES, 24)
    net = network(builder.module(output))
    names = tuple(node.name for node in net.nodes)
    region = Region(names, 24, dict.fromkeys(names, 1))
    apart, facing = region_workspace(net, region), region_workspace(net, settling(net, region))
    placed = facing.place(4)
    assert placed.raised
    assert placed.settled
    assert not placed.raised & placed.settled
    assert placed.arena_bytes < apart.place(4).arena_bytes
    upright = [one._replace(can_rise=False) for one in facing.buffers]
    without = Workspace(facing.operations, facing.strips, facing.columns, facing.stream, tuple(upright))
    assert placed.arena_bytes < without.place(4).arena_bytes
    streamed = unlowered(net, settling(net, region), 4)
    verify_block(streamed)
    with pytest.raises(PlanError, match="something else has been stored"):
        verify_block(streamed, streamed.block._replace(raised=frozenset()))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_rows_stay_where_buffers_face_each_other(data: st.DataObject) -> None:
    strides = tuple(data.draw(st.lists(st.sampled_from([1, 2]), min_size=3, max_size=5)))
    builder, output = chain(strides, data.draw(st.integers(12, 24)))
    net = network(builder.module(output))
    names = [node.name for node in net.nodes]
    first = data.draw(st.integers(0, len(names) - 1))
    last = data.draw(st.integers(first, min(first + 2, len(names))))
    rows = data.draw(st.integers(1, 3))
    segments = (
        (Segment(tuple(names[first:last]), rows, data.draw(st.integers(1, rows))),) if first < last else ()
    )
    alone = [name for name in names if not first <= names.index(name) < last]
    heights = {name: data.draw(st.integers(1, 2)) for name in alone}
    width = net.nodes[-1].output.shape[2]
    region = Region(tuple(names), data.draw(st.integers(1, width)), heights, segments)
    try:
        settled = settling(net, region)
    except PlanError:
        assume(False)
    verify_block(unlowered(net, settled, data.draw(st.sampled_from([1, 4, 16]))))


@pytest.mark.parametrize("target", ["tinyml -mcpu=host", "tinyml/cortex-m55", "tinyml/cortex-m4"])
@pytest.mark.parametrize("strip", [24, 3])
def test_regions_with_such_buffers_are_exact(target: str, strip: int) -> None:
    builder, output = chain(STRIDES, 24)
    module = named(builder, [output])
    net = network(module)
    names = tuple(node.name for node in net.nodes)
    for segments in ((), (Segment(names[2:4], 2, 1),)):
        inside = {name for segment in segments for name in segment.operators}
        rows = {name: 1 for name in names if name not in inside}
        region = settling(net, Region(names, strip, rows, segments))
        built = relay.build(module, target=target, patch=PatchPlan(names, (region,)))
        (streamed,) = built.compiled.model.regions
        assert streamed.block.raised
        inputs = random_inputs(module, seed=1)
        plain = relay.build(module, target="tinyml -mcpu=host -without=PatchInference")
        np.testing.assert_array_equal(built.run(inputs).outputs[0], plain.run(inputs).outputs[0])


@given(st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5), min_size=5, max_size=5))
def test_pairs_save_the_most(table: list[list[int]]) -> None:
    saved = [[max(table[one][other], table[other][one]) for other in range(5)] for one in range(5)]
    found = matchings(saved)
    for bytes_, pairs in found:
        assert len({index for pair in pairs for index in pair}) == 2 * len(pairs)
        assert sum(saved[one][other] for one, other in pairs) == bytes_
    most = max((bytes_ for bytes_, _ in found), default=0)
    assert not found or most == found[0][0]
    # Five are two pairs and one alone, in fifteen ways.
    ways = [
        saved[a][b] + saved[c][d]
        for a in range(5)
        for b in range(a)
        for c in range(a)
        for d in range(c)
        if len({a, b, c, d}) == 4
    ]
    assert most == max(ways)


def test_bytes_that_a_pair_saves_are_those_that_are_never_needed_together() -> None:
    held = np.array([[4, 8, 2], [8, 2, 2]])
    assert bytes_saved([8, 8], held) == 16 - 12
    assert bytes_saved([8, 8], np.array([[8, 8], [2, 8]])) == 0
    spans = [Span(str(number), 8, 0, 2, tuple(row), tuple(row)) for number, row in enumerate(held.tolist())]
    ways = list(face_each_other(spans))
    assert [{one.name for one in way.spans if one.raised} for way in ways] == [{"1"}, {"0"}]
    assert [way.least for way in ways] == [12, 12]
