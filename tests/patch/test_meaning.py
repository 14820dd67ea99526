"""What a region computes: its calls, run with the operators' NumPy semantics on windows alone, give the plain output.

Elements that no call may depend on hold garbage, so that a window that reaches too far, or a border that is not filled,
shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.patch.networks import bottlenecks, columns_of, modules, network
from tests.transform.building import random_inputs
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import Region, Stage
from tvm_tinyml.patch.footprint import Settings
from tvm_tinyml.patch.geometry import Columns, Read, read_columns
from tvm_tinyml.patch.network import Network
from tvm_tinyml.patch.region import RegionShape, shape_region
from tvm_tinyml.patch.search import pareto_front
from tvm_tinyml.transform.dataflow import Constant, Graph

GARBAGE = 77


class NumpyRegion:
    """Runs a region strip by strip, event by event."""

    def __init__(
        self, shape: RegionShape, held: dict[str, Array], constants: dict[str, list[Array | None]]
    ) -> None:
        self.shape = shape
        self.held = held
        self.constants = constants
        spec = shape.specs[shape.output]
        last = shape.stages[-1]
        start = GARBAGE
        if isinstance(last, Stage) and last.operation.accumulates:
            start = last.initial
        self.output = np.full(spec.shape, start, spec.dtype)
        for strip in range(shape.strips):
            self.lines: dict[str, dict[int, Array]] = {tensor: {} for tensor in shape.stream.buffers}
            self.done = [0] * len(shape.stages)
            for event in shape.stream.events:
                self.run(event.operation, event.fills, strip)

    def columns(self, tensor: str, strip: int) -> tuple[int, int]:
        """First column and their number of a tensor that is made in the region."""
        columns = self.shape.columns[tensor]
        return columns.first + strip * columns.step, columns.width

    def run(self, index: int, fills: bool, strip: int) -> None:
        stage = self.shape.stages[index]
        assert isinstance(stage, Stage)
        tensor, height = stage.node.tensor, stage.operation.height
        row = self.done[index]
        first, width = self.columns(tensor, strip)
        if fills:
            self.lines[tensor][row] = np.full((width, stage.output.shape[-1]), self.outside(tensor), "int8")
            self.done[index] += 1
            return
        reads = {read.tensor: read for read in stage.operation.reads}
        arrays = []
        for source, constant in zip(stage.node.inputs, self.constants[stage.node.name], strict=True):
            if source is None:
                assert constant is not None
                arrays.append(constant)
            elif source in reads:
                arrays.append(self.window(reads[source], row, stage.operation.rows, tensor, strip))
            else:
                arrays.append(self.held[source])
        made = stage.node.operator.reference(arrays, stage.attrs)
        assert made.shape == stage.output.shape
        if stage.operation.accumulates:
            combine = np.maximum if made.dtype == np.int8 else np.add
            self.output = combine(self.output, made)
            self.done[index] = min(row + stage.operation.rows, height)
            return
        extent = stage.node.output.shape[2]
        for offset in range(min(stage.operation.rows, height - row)):
            line = made[0, offset].copy()
            inside = [0 <= column < extent for column in range(first, first + width)]
            if tensor in self.lines:
                line[~np.array(inside)] = self.outside(tensor)
                self.lines[tensor][row + offset] = line
            else:
                chosen = [column for column in range(first, first + width) if 0 <= column < extent]
                self.output[0, row + offset, chosen] = line[np.array(inside)]
        self.done[index] = min(row + stage.operation.rows, height)

    def outside(self, tensor: str) -> int:
        """What stands outside of the image."""
        return self.shape.borders.get(tensor, GARBAGE)

    def window(self, read: Read, row: int, rows: int, output: str, strip: int) -> Array:
        """Rows and columns that a call reads of one tensor."""
        begin, count = read.rows.begin(row), read.rows.span(rows)
        extent = self.shape.specs[read.tensor].shape[2]
        if self.shape.whole:
            first, width = 0, extent
        else:
            own = self.shape.columns[output]
            needed = read_columns(read, Columns(own.step, own.first, own.width))
            first, width = needed.first + strip * needed.step, needed.width
        if read.tensor in self.lines:
            start, held = self.columns(read.tensor, strip)
            assert start <= first
            assert first + width <= start + held
            lines = [self.line(read.tensor, number, held) for number in range(begin, begin + count)]
            return np.stack(lines)[None, :, first - start : first - start + width]
        source = self.held[read.tensor]
        result = np.full((1, count, width, source.shape[3]), self.outside(read.tensor), source.dtype)
        for y in range(max(0, begin), min(source.shape[1], begin + count)):
            for x in range(max(0, first), min(extent, first + width)):
                result[0, y - begin, x - first] = source[0, y, x]
        return result

    def line(self, tensor: str, number: int, width: int) -> Array:
        """One row of a line buffer; rows above the image are filled before the first call."""
        if number < 0:
            channels = self.shape.specs[tensor].shape[-1]
            return np.full((width, channels), self.outside(tensor), "int8")
        return self.lines[tensor][number]


def assert_region_means_the_same(module: Any, net: Network, region: Region) -> None:
    """The region's output on random inputs equals that of the plain module.

    What segments make is tested as it runs, in test_streaming.
    """
    if region.segments:
        return
    shape = shape_region(net.chosen(region), region)
    inputs = random_inputs(module, 3)
    tensors = dict(zip(net.inputs, inputs, strict=True)) | evaluate(module, inputs).tensors
    constants = {
        node.attrs["name"]: [value.array if isinstance(value, Constant) else None for value in node.inputs]
        for node in Graph.read(module["main"]).calls
    }
    held = {tensor: tensors[tensor] for tensor in shape.inputs}
    found = NumpyRegion(shape, held, constants).output
    np.testing.assert_array_equal(found, tensors[shape.output])


@settings(max_examples=120, deadline=None)
@given(modules(), st.data())
def test_any_region_that_is_not_refused_means_the_same(module: Any, data: st.DataObject) -> None:
    net = network(module)
    begin = data.draw(st.integers(0, len(net.nodes) - 1))
    nodes = net.nodes[begin : data.draw(st.integers(begin + 1, len(net.nodes)))]
    width = columns_of(nodes[-1])
    rows = {node.name: data.draw(st.integers(1, 3)) for node in nodes}
    region = Region(tuple(rows), data.draw(st.integers(1, width)), rows)
    try:
        shape_region(nodes, region)
    except PlanError:
        assume(False)
    assert_region_means_the_same(module, net, region)


def test_every_plan_of_a_front_means_the_same() -> None:
    module = bottlenecks(2, size=16)
    net = network(module)
    for found in pareto_front(net, Settings(pulled=frozenset(net.inputs))):
        for region in found.plan.regions:
            assert_region_means_the_same(module, net, region)
