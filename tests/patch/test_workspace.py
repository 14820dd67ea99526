"""Buffers of a region in one block: replayed byte by byte, no row is lost before its last reader has seen it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.patch.networks import bottlenecks, columns_of, modules, network
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import Region
from tvm_tinyml.patch.block import Placed, place
from tvm_tinyml.patch.footprint import region_macs, region_workspace
from tvm_tinyml.patch.geometry import Read
from tvm_tinyml.patch.plan import Segment
from tvm_tinyml.patch.region import pixel_bytes, shape_region
from tvm_tinyml.patch.rows import Readers
from tvm_tinyml.patch.workspace import Workspace, may_settle


class Replay:
    """Runs one strip on a block of memory in which every byte remembers what was stored last."""

    def __init__(
        self,
        workspace: Workspace,
        row_bytes: dict[str, int],
        alignment: int,
        *,
        settles: bool = True,
        rises: bool = True,
        apart: bool = False,
    ) -> None:
        self.operations = workspace.operations
        self.buffers = workspace.stream.buffers
        self.row_bytes = row_bytes
        placed = workspace.place(alignment)
        placed = _turned_round(placed) if apart else placed
        self.offsets, self.settled = placed.offsets, placed.settled if settles else frozenset()
        self.raised = placed.raised if rises else frozenset()
        self.sweeps = workspace.sweeps
        self.block: list[Any] = [None] * placed.arena_bytes
        every = [*workspace.buffers, *(one for sweep in self.sweeps.values() for one in sweep.buffers)]
        self.sizes = {buffer.name: buffer.nbytes for buffer in every}
        self.readers = Readers(self.operations)
        self.done = [0] * len(self.operations)
        self.first = {
            tensor: -(buffer.rows if tensor in self.raised else buffer.above)
            for tensor, buffer in self.buffers.items()
        }
        for tensor, buffer in self.buffers.items():
            self.store(tensor, -buffer.above, buffer.above)
        for event in workspace.stream.events:
            self.run(event.operation, event.fills)

    def store(self, tensor: str, row: int, count: int) -> None:
        for number in range(row, row + count):
            start = self.offsets[tensor] + (number - self.first[tensor]) * self.row_bytes[tensor]
            assert start + self.row_bytes[tensor] <= self.offsets[tensor] + self.sizes[tensor]
            self.block[start : start + self.row_bytes[tensor]] = [(tensor, number)] * self.row_bytes[tensor]

    def check(self, tensor: str, row: int, count: int) -> None:
        for number in range(row, row + count):
            start = self.offsets[tensor] + (number - self.first[tensor]) * self.row_bytes[tensor]
            assert set(self.block[start : start + self.row_bytes[tensor]]) == {(tensor, number)}

    def run(self, index: int, fills: bool) -> None:
        operation = self.operations[index]
        begin, count = self.done[index], 1 if fills else operation.made(self.done[index])
        reads = [] if fills else [one for one in operation.reads if one.tensor in self.first]
        for number, read in enumerate(() if fills else operation.reads):
            if read in reads:
                self.check_window(index, read)
            self.scribble(f"{operation.name}.window_{number}")
        tensor = operation.output
        if tensor in self.first:
            if tensor in self.raised:
                self.rise(tensor, count)
            elif begin + count - self.first[tensor] > self.buffers[tensor].rows:
                assert tensor not in self.settled
                self.move(tensor)
            self.store(tensor, begin, count)
        if index in self.sweeps and not fills:
            for one in self.sweeps[index].buffers:
                self.scribble(one.name)
        self.scribble(f"{operation.name}.staged")
        if tensor in self.first:
            self.check(tensor, begin, count)
        for read in reads:
            self.check_window(index, read)
        self.done[index] = begin + 1 if fills else min(begin + count, operation.height)
        for read in reads:
            if read.tensor in self.settled:
                self.move(read.tensor)

    def check_window(self, index: int, read: Read) -> None:
        operation, height = self.operations[index], self.operations[self.readers.maker[read.tensor]].height
        first, end = read.rows.begin(self.done[index]), operation.reach(read, self.done[index], height)
        first = max(first, 0) if operation.members else first
        self.check(read.tensor, first, end - first)

    def move(self, tensor: str) -> None:
        end = self.done[self.readers.maker[tensor]]
        kept = max(min(self.readers.keep(tensor, self.done), end), self.first[tensor])
        self.check(tensor, kept, end - kept)
        self.first[tensor] = kept
        self.store(tensor, kept, end - kept)

    def rise(self, tensor: str, count: int) -> None:
        """Rows that are needed move down by as many as follow, which end with the buffer."""
        end = self.done[self.readers.maker[tensor]]
        kept = min(self.readers.keep(tensor, self.done), end)
        self.check(tensor, kept, end - kept)
        self.first[tensor] += count
        assert self.first[tensor] <= kept
        assert end + count - self.first[tensor] == self.buffers[tensor].rows
        self.store(tensor, kept, end - kept)

    def scribble(self, name: str) -> None:
        start = self.offsets.get(name, 0)
        size = self.sizes.get(name, 0)
        self.block[start : start + size] = [name] * size


def _turned_round(placed: Placed) -> Placed:
    """A block whose lowest piece lies on top."""
    ends = (*placed.cuts, placed.arena_bytes)
    return placed.apart([placed.arena_bytes - end for end in ends])


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
    row_bytes = {
        tensor: columns.width * pixel_bytes(net.specs[tensor])
        for tensor, columns in workspace.columns.items()
        if tensor in workspace.stream.buffers
    }
    Replay(workspace, row_bytes, data.draw(st.sampled_from([1, 4])), apart=data.draw(st.booleans()))
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
    workspace = region_workspace(net, Region(names, 16, {names[12]: 1}, segments))
    placed = workspace.place(4)
    assert placed.settled
    inner = [(index, one.buffers, len(one.operations)) for index, one in workspace.sweeps.items()]
    full = [one._replace(held=()) for one in workspace.buffers]
    assert placed.arena_bytes < place(full, len(workspace.operations), 4, inner).arena_bytes
    row_bytes = {
        tensor: workspace.columns[tensor].width * pixel_bytes(net.specs[tensor])
        for tensor in workspace.stream.buffers
    }
    Replay(workspace, row_bytes, 4)
    with pytest.raises(AssertionError):
        Replay(workspace, row_bytes, 4, settles=False)
