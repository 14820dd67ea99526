"""An output over its input: no row of the input is lost before its last reader, and no smaller distance would do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.patch.networks import modules, network
from tests.transform.building import ModuleBuilder
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import MemoryPlan
from tvm_tinyml.patch import PatchPlan, Region
from tvm_tinyml.patch.footprint import Settings, footprint, overwritable, region_workspace
from tvm_tinyml.patch.network import Network
from tvm_tinyml.patch.overwriting import overwrite_distance, rows_done
from tvm_tinyml.patch.plan import Segment
from tvm_tinyml.patch.region import pixel_bytes, shape_region
from tvm_tinyml.patch.verifier import verify_region
from tvm_tinyml.patch.workspace import Workspace, row_bytes


def survives(workspace: Workspace, net: Network, tensor: str, distance: int) -> bool:
    """Whether every reader finds the rows of `tensor` as they were, the output `distance` bytes below them."""
    operations, done = workspace.operations, [0] * len(workspace.operations)
    last = operations[-1]
    pitch, height = row_bytes(net.specs[tensor]), net.specs[tensor].shape[1]
    size_out = net.specs[last.output].nbytes
    pitch_out = size_out if last.accumulates else size_out // last.height
    memory = ["input"] * (distance + height * pitch + size_out)
    for event in workspace.stream.events:
        index, operation = event.operation, operations[event.operation]
        made = 1 if event.fills else min(operation.rows, operation.height - done[index])
        if operation is last:
            # What accumulates touches all of its output in every call.
            start, size = (0, size_out) if last.accumulates else (done[index] * pitch_out, made * pitch_out)
            memory[start : start + size] = ["output"] * size
        for read in () if event.fills else operation.reads:
            begin = read.rows.begin(done[index])
            rows = range(max(0, begin), min(height, begin + read.rows.span(operation.rows)))
            if read.tensor == tensor and rows:
                found = memory[distance + rows.start * pitch : distance + rows.stop * pitch]
                if "output" in found:
                    return False
        done[index] += made
    return True


@settings(max_examples=50, deadline=None)
@given(modules(), st.data())
def test_the_distance_is_safe_and_the_least(module: Any, data: st.DataObject) -> None:
    net = network(module)
    begin = data.draw(st.integers(0, len(net.nodes) - 1))
    nodes = net.nodes[begin : data.draw(st.integers(begin + 1, len(net.nodes)))]
    rows = {node.name: data.draw(st.integers(1, 2)) for node in nodes}
    try:
        workspace = region_workspace(net, Region(tuple(rows), 99, rows))
    except PlanError:
        assume(False)
    done = rows_done(workspace.operations, workspace.stream)
    inputs = overwritable(net, nodes, workspace.operations)
    assume(inputs)
    for tensor in inputs:
        distance = overwrite_distance(workspace.operations, done, tensor, net.specs)
        assert survives(workspace, net, tensor, distance)
        # A window that leaves rows out may allow a little less; rows of the image in a row do not.
        strides = {read.rows.extent >= read.rows.stride for one in workspace.operations for read in one.reads}
        if distance and strides == {True}:
            assert not survives(workspace, net, tensor, distance - 1)


@settings(max_examples=60, deadline=None)
@given(modules(), st.data())
def test_segments_may_write_over_columns_that_they_have_read(module: Any, data: st.DataObject) -> None:
    net = network(module)
    begin = data.draw(st.integers(0, len(net.nodes) - 1))
    end = data.draw(st.integers(begin + 1, len(net.nodes)))
    names = [node.name for node in net.nodes[begin:end]]
    rows = data.draw(st.integers(1, 4))
    cut = data.draw(st.integers(0, len(names) - 1))
    segment = Segment(tuple(names[cut:]), rows, data.draw(st.integers(1, rows)), data.draw(st.integers(1, 2)))
    region = Region(tuple(names), 99, dict.fromkeys(names[:cut], 1), (segment,))
    try:
        workspace = region_workspace(net, region)
        shape = shape_region(net.nodes[begin:end], region)
    except PlanError:
        assume(False)
    inputs = overwritable(net, net.nodes[begin:end], workspace.operations)
    assume(inputs)
    done = rows_done(workspace.operations, workspace.stream)
    pixel = pixel_bytes(net.specs[shape.output])
    for tensor in inputs:
        distance = overwrite_distance(workspace.operations, done, tensor, net.specs)
        verify_region(shape, (), placed(net, tensor, shape.output, distance))
        strides = {read.rows.extent >= read.rows.stride for one in workspace.operations for read in one.reads}
        if distance >= pixel and cut == 0 and len(names) == 1 and strides == {True}:
            with pytest.raises(PlanError, match="written over"):
                verify_region(shape, (), placed(net, tensor, shape.output, distance - pixel))


def placed(net: Network, tensor: str, output: str, distance: int) -> MemoryPlan:
    """An arena in which an output lies so many bytes below an input."""
    size = distance + net.specs[tensor].nbytes + net.specs[output].nbytes
    return MemoryPlan(
        {tensor: distance, output: 0}, {}, size, 0, "greedy", optimal=False, alignment=1, keep_all=False
    )


def test_only_inputs_that_die_and_are_read_by_rows_are_overwritten() -> None:
    builder = ModuleBuilder()
    data = builder.parameter(1, 8, 8, 4)
    first = builder.conv2d(data, kernel=1)
    second = builder.conv2d(first, kernel=1)
    net = network(builder.module(builder.call("maximum", second, first)))
    nodes = net.nodes
    assert overwritable(net, nodes[:1], region_workspace(net, one_by_one(net, 0, 1)).operations) == ["x0"]
    assert overwritable(net, nodes[1:2], region_workspace(net, one_by_one(net, 1, 2)).operations) == []
    assert overwritable(net, nodes[1:3], region_workspace(net, one_by_one(net, 1, 3)).operations) == ["t0"]


def test_overwriting_saves_what_the_two_have_in_common() -> None:
    builder = ModuleBuilder()
    net = network(builder.module(builder.conv2d(builder.parameter(1, 8, 8, 4), kernel=1)))
    plan = PatchPlan(tuple(node.name for node in net.nodes), (one_by_one(net, 0, 1),))
    assert footprint(net, plan, Settings(overwrite=False)).arena_bytes == 2 * 8 * 8 * 4
    # The row that is written may not be the row that is read.
    assert footprint(net, plan, Settings()).arena_bytes == 9 * 8 * 4


def one_by_one(net: Network, begin: int, end: int) -> Region:
    """A region of full width, row by row."""
    names = tuple(node.name for node in net.nodes[begin:end])
    return Region(names, 8, dict.fromkeys(names, 1))
