"""Replays the calls of streamed regions on a symbolic arena: no row of an input is lost before its last reader.

The memory planner lets the output of a region lie over rows of its inputs at a distance that `patch/workspace.py`
works out. Nothing of that is used here. What a call reads is asked of the operators' bounds maps, what it writes
follows from the order of the calls, and every byte of the arena says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..dialect.bounds import Interval
from ..dialect.relax_api import Array
from ..errors import PlanError
from ..memory import MemoryPlan, Tensor
from .geometry import COLUMNS, ROWS, is_image
from .region import Node, RegionShape, SegmentStage, Stage, accumulated
from .workspace import row_bytes

_OVERWRITTEN = -1


def verify_region(shape: RegionShape, buffers: Sequence[Tensor], plan: MemoryPlan) -> None:
    """Raise PlanError if a region run with the offsets of `plan` would read bytes of an input that it has overwritten.

    buffers: scratch of `plan` that the region may write at any time.
    The error names the region by its last operator, the operator that reads, the tensor and the rows.
    """
    replay = _Replay(shape, buffers, plan)
    # What a strip destroys is missed by the next one.
    for _ in range(min(shape.strips, 2)):
        replay.run()


class _Replay:
    """One region on an arena whose bytes are tagged where they are overwritten."""

    def __init__(self, shape: RegionShape, buffers: Sequence[Tensor], plan: MemoryPlan) -> None:
        self.shape = shape
        self.offsets = plan.offsets
        self.tags = np.zeros(plan.arena_bytes, np.int8)
        for buffer in buffers:
            start = plan.scratch_offsets[buffer.name]
            self.tags[start : start + buffer.nbytes] = _OVERWRITTEN

    def run(self) -> None:
        """All calls of one strip, in their order."""
        stages = self.shape.stages
        done = [0] * len(stages)
        for event in self.shape.stream.events:
            index = event.operation - len(self.shape.pulls)
            # What is fetched goes to line buffers.
            if event.fills or index < 0:
                continue
            stage, first = stages[index], done[index]
            rows = (first, min(first + stage.operation.made(first), stage.operation.height))
            done[index] = rows[1]
            if stage is stages[-1] and isinstance(stage, SegmentStage) and self.shape.whole:
                self._run_band(stage, rows)
                continue
            # First, because a call may write before it has read everything.
            if stage is stages[-1]:
                self._write(stage, rows)
            for tensor, needed in _inputs(stage, rows):
                self._check(stage, tensor, needed)

    def _run_band(self, stage: SegmentStage, rows: Interval) -> None:
        """One band, column by column: its operators copy the columns that they read before they are called."""
        height = _needed_rows(stage, rows)
        done = [0] * len(stage.nodes)
        for event in stage.band.stream.events:
            index, first = event.operation, done[event.operation]
            member, node = stage.band.stages[index], stage.nodes[index]
            if event.fills:
                done[index] += 1
                continue
            columns = (first, min(first + member.operation.rows, member.operation.height))
            wide = dict(_reads(member.node, columns))
            for tensor, tall in _reads(node, height[node.tensor]):
                if tensor not in height:
                    self._check(stage, tensor, tall, wide[tensor])
            if node is stage.node and node.tensor in self.offsets:
                self._image(node.tensor)[slice(*rows), slice(*columns)] = _OVERWRITTEN
            done[index] = columns[1]

    def _image(self, tensor: str) -> Array:
        """Tags of an image, by row and column."""
        spec, start = self.shape.specs[tensor], self.offsets[tensor]
        tags: Array = self.tags[start : start + spec.nbytes].reshape(
            spec.shape[ROWS], spec.shape[COLUMNS], -1
        )
        return tags

    def _write(self, stage: Stage | SegmentStage, rows: Interval) -> None:
        if stage.node.tensor in self.offsets:
            start, output = self.offsets[stage.node.tensor], stage.node.output
            if stage.operation.accumulates:
                self.tags[start : start + output.nbytes] = _OVERWRITTEN
                return
            pitch = row_bytes(output)
            self.tags[start + rows[0] * pitch : start + rows[1] * pitch] = _OVERWRITTEN

    def _check(
        self,
        stage: Stage | SegmentStage,
        tensor: str,
        needed: Interval | None,
        columns: Interval | None = None,
    ) -> None:
        if tensor not in self.shape.inputs or tensor not in self.offsets:
            return
        if needed is None:
            start = self.offsets[tensor]
            tags = self.tags[start : start + self.shape.specs[tensor].nbytes]
        else:
            tags = self._image(tensor)[slice(*needed), slice(*columns) if columns else slice(None)]
        if (tags == _OVERWRITTEN).any():
            rows = "all of it" if needed is None else f"its rows {needed[0]} to {needed[1] - 1}"
            raise PlanError(
                f"memory plan: in the region to {self.shape.stages[-1].node.name!r}, {stage.node.name!r} reads "
                f"{tensor!r}, {rows}, after the region has written over it"
            )


def _inputs(stage: Stage | SegmentStage, rows: Interval) -> Iterator[tuple[str, Interval | None]]:
    """Activations made before a stage that a call making `rows` reads, each with its rows, or None for all."""
    made = _needed_rows(stage, rows)
    for node in reversed(stage.nodes):
        for tensor, needed in _reads(node, made[node.tensor]):
            if tensor not in made:
                yield tensor, needed


def _needed_rows(stage: Stage | SegmentStage, rows: Interval) -> dict[str, Interval]:
    """Rows of every tensor of a stage that a call making `rows` of its output needs."""
    made = {stage.node.tensor: rows}
    inside = {node.tensor for node in stage.nodes}
    for node in reversed(stage.nodes):
        for tensor, needed in _reads(node, made[node.tensor]):
            if tensor in inside and needed is not None:
                other = made.get(tensor, needed)
                made[tensor] = min(other[0], needed[0]), max(other[1], needed[1])
    return made


def _reads(node: Node, rows: Interval) -> Iterator[tuple[str, Interval | None]]:
    """Activations that an operator reads for rows of its output, each with the rows of it, or None for all."""
    image = accumulated(node)
    if image is not None:
        yield image[0], rows
        return
    output = [(0, extent) for extent in node.output.shape]
    output[ROWS] = rows
    bounds = node.operator.bounds(node.specs, node.attrs)
    for index, tensor in enumerate(node.inputs):
        if tensor is None:
            continue
        by_rows = is_image(node.operator, node.specs, node.attrs, index)
        region = bounds[index].region(tuple(output), node.specs[index].shape)
        yield tensor, region[ROWS] if by_rows else None
