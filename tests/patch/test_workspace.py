"""Buffers of a region in one block: replayed byte by byte, no row is lost before its last reader has seen it."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.patch.networks import bottlenecks, columns_of, modules, network
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import Region
from tvm_tinyml.patch.footprint import region_macs, region_workspace
from tvm_tinyml.patch.region import pixel_bytes, shape_region
from tvm_tinyml.patch.rows import Readers
from tvm_tinyml.patch.workspace import Workspace


class Replay:
    """Runs one strip on a block of memory in which every byte remembers what was stored last."""

    def __init__(self, workspace: Workspace, row_bytes: dict[str, int], alignment: int) -> None:
        self.operations = workspace.operations
        self.buffers = workspace.stream.buffers
        self.row_bytes = row_bytes
        placed = workspace.place(alignment)
        self.offsets = placed.offsets
        self.block: list[Any] = [None] * placed.arena_bytes
        self.sizes = {buffer.name: buffer.nbytes for buffer in workspace.buffers}
        self.readers = Readers(self.operations)
        self.done = [0] * len(self.operations)
        self.first = {tensor: -buffer.above for tensor, buffer in self.buffers.items()}
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
        for number, read in enumerate(() if fills else operation.reads):
            if read.tensor in self.first:
                self.check(read.tensor, read.rows.begin(self.done[index]), read.rows.span(operation.rows))
            self.scribble(f"{operation.name}.window_{number}")
        count = 1 if fills else operation.rows
        tensor = operation.output
        if tensor in self.first:
            if self.done[index] + count - self.first[tensor] > self.buffers[tensor].rows:
                kept = min(self.readers.keep(tensor, self.done), self.done[index])
                self.check(tensor, kept, self.done[index] - kept)
                self.first[tensor] = kept
                self.store(tensor, kept, self.done[index] - kept)
            self.store(tensor, self.done[index], count)
        self.scribble(f"{operation.name}.staged")
        for read in () if fills else operation.reads:
            if read.tensor in self.first:
                begin = read.rows.begin(self.done[index])
                self.check(read.tensor, begin, read.rows.span(operation.rows))
        self.done[index] = self.done[index] + 1 if fills else min(self.done[index] + count, operation.height)

    def scribble(self, name: str) -> None:
        start = self.offsets.get(name, 0)
        size = self.sizes.get(name, 0)
        self.block[start : start + size] = [name] * size


@settings(max_examples=60, deadline=None)
@given(modules(), st.data())
def test_rows_stay_until_their_last_reader(module: Any, data: st.DataObject) -> None:
    net = network(module)
    begin = data.draw(st.integers(0, len(net.nodes) - 1))
    nodes = net.nodes[begin : data.draw(st.integers(begin + 1, len(net.nodes)))]
    width = columns_of(nodes[-1])
    rows = {node.name: data.draw(st.integers(1, 3)) for node in nodes}
    region = Region(tuple(rows), data.draw(st.integers(1, width)), rows)
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
    Replay(workspace, row_bytes, data.draw(st.sampled_from([1, 4])))
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
