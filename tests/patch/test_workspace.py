"""Buffers of a region in one block: replayed byte by byte, no row is lost before its last reader has seen it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.patch.networks import bottlenecks, columns_of, modules, network
from tests.patch.streamed import unlowered
from tvm_tinyml.codegen import verify_block
from tvm_tinyml.codegen.streaming import StreamedRegion
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import Region
from tvm_tinyml.patch.block import place
from tvm_tinyml.patch.footprint import region_macs, region_workspace
from tvm_tinyml.patch.plan import Segment
from tvm_tinyml.patch.region import shape_region
from tvm_tinyml.patch.workspace import may_settle


def turned_round(region: StreamedRegion) -> StreamedRegion:
    """The region with its block in pieces, of which the lowest one lies on top."""
    placed = region.block
    ends = (*placed.cuts, placed.arena_bytes) if placed.arena_bytes else ()
    return replace(region, pieces=tuple(placed.arena_bytes - end for end in ends))


@settings(max_examples=120, deadline=None)
@given(modules(), st.data())
def test_rows_stay_until_their_last_reader(module: Any, data: st.DataObject) -> None:
    net = network(module)
    begin = data.draw(st.integers(0, len(net.nodes) - 1))
    nodes = net.nodes[begin : data.draw(st.integers(begin + 1, len(net.nodes)))]
    width = columns_of(nodes[-1])
    names = [node.name for node in nodes]
    segments = tuple(
        Segment(tuple(names[first:last]), high, data.draw(st.integers(1, high)))
        for first, last in pairwise(sorted(data.draw(st.sets(st.integers(0, len(names)), max_size=4))))
        if (high := data.draw(st.integers(0, 4)))
    )
    inside = {name for segment in segments for name in segment.operators}
    rows = {name: data.draw(st.integers(1, 3)) for name in names if name not in inside}
    settling = tuple(name for name in rows if data.draw(st.booleans()))
    region = Region(tuple(names), data.draw(st.integers(1, width)), rows, segments, settling)
    pulled = frozenset(net.inputs) if data.draw(st.booleans()) else frozenset()
    try:
        shape = shape_region(nodes, region)
        workspace = region_workspace(net, region, pulled)
    except PlanError:
        assume(False)
    streamed = unlowered(net, region, data.draw(st.sampled_from([1, 4])), pulled)
    verify_block(turned_round(streamed) if data.draw(st.booleans()) else streamed)
    assert region_macs(net, region, workspace) == shape.macs


def test_rows_between_pointwise_operators_share_their_bytes() -> None:
    net = network(bottlenecks(2))
    names = tuple(node.name for node in net.nodes)
    workspace = region_workspace(net, Region(names, 4, dict.fromkeys(names, 1)))
    assert workspace.place(1).arena_bytes < sum(buffer.nbytes for buffer in workspace.buffers)
    # What 3x3 windows and residuals read again is kept; rows of the other tensors are gone at once.
    reread = {
        node.inputs[-1] if node.operator.name == "maximum" else node.inputs[0] for node in net.nodes[2::2]
    }
    assert {buffer.name for buffer in workspace.buffers if buffer.first < 0} == reread


def test_rows_that_may_lie_in_planes_make_room_for_others_only_if_they_settle() -> None:
    net = network(bottlenecks(2))
    names = tuple(node.name for node in net.nodes)
    region = Region(names, 8, dict.fromkeys(names, 1))
    planar = region_workspace(net, region)
    candidates = may_settle(planar.operations)
    settled = region_workspace(net, replace(region, settling=tuple(candidates.values())))
    assert settled.place(4).arena_bytes < planar.place(4).arena_bytes
    made = candidates.keys()
    assert settled.place(4).settled & made
    assert not planar.place(4).settled & made
    # Only one operator reads each of them, or they settle anyway.
    assert all(sum(tensor in node.inputs for node in net.nodes) == 1 for tensor in made)


def test_bands_lie_where_line_buffers_are_empty_as_long_as_rows_settle() -> None:
    net = network(bottlenecks(3, size=16))
    names = tuple(node.name for node in net.nodes)
    segments = (Segment(names[:4], 4, 1), Segment(names[4:8], 2, 2), Segment(names[8:12], 2, 1))
    region = Region(names, 16, {names[12]: 1}, segments)
    workspace = region_workspace(net, region)
    placed = workspace.place(4)
    assert placed.settled
    inner = [(index, one.buffers, len(one.operations)) for index, one in workspace.sweeps.items()]
    full = [one._replace(held=()) for one in workspace.buffers]
    assert placed.arena_bytes < place(full, len(workspace.operations), 4, inner).arena_bytes
    streamed = unlowered(net, region, 4)
    verify_block(streamed)
    with pytest.raises(PlanError, match="something else has been stored"):
        verify_block(streamed, streamed.block._replace(settled=frozenset()))
