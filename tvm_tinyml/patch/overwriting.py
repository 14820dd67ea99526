"""How far the output of a region may lie over an input: rows of it that are done are not needed any more.

An output that begins so many bytes below an input overwrites no byte before its last reader has been called (vMCU's
rule, Zheng et al., MLSys 2024, for whole regions). A segment at the end reads columns of a band as it makes columns of
its output, so that for what it reads itself columns count as well as rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..dialect.relax_api import Array, TensorSpec
from .bands import sweep
from .geometry import Operation, read_columns
from .region import pixel_bytes
from .rows import RowStream, stream_rows
from .workspace import row_bytes

NEVER = np.iinfo(np.int64).max // 2


def rows_done(operations: Sequence[Operation], stream: RowStream) -> Array:
    """Rows that every operation has made when the last one is called; one line per call of the last one."""
    done = [0] * len(operations)
    lines = []
    for event in stream.events:
        if event.operation == len(operations) - 1:
            lines.append(tuple(done))
        operation = operations[event.operation]
        before = done[event.operation]
        done[event.operation] += 1 if event.fills else min(operation.made(before), operation.height - before)
    return np.array(lines, np.int64)


def overwrite_distance(
    operations: Sequence[Operation], done: Array, tensor: str, specs: Mapping[str, TensorSpec]
) -> int:
    """How far ahead of the dead bytes of an input the output of rows of the whole width is written.

    done: of `rows_done`. specs: types of all tensors.
    """
    last = operations[-1]
    reads = [
        (index, read) for index, one in enumerate(operations) for read in one.reads if read.tensor == tensor
    ]
    own = [read for index, read in reads if index == len(operations) - 1]
    by_columns = bool(own and last.members)
    pitch = row_bytes(specs[tensor])
    lowest = np.full(len(done), NEVER)
    for index, read in reads:
        if not by_columns or index < len(operations) - 1:
            pending = done[:, index] < operations[index].height
            begins = np.maximum(read.rows.begin(done[:, index]) * pitch, 0)
            lowest = np.where(pending, np.minimum(lowest, begins), lowest)
    if last.accumulates:
        # The first call touches all of it.
        written = np.array(specs[last.output].nbytes)
    else:
        made = np.where(done[:, -1] == 0, last.made(0), last.rows)
        written = np.minimum(done[:, -1] + made, last.height) * row_bytes(specs[last.output])
    distance = max(0, int((written - lowest).max()))
    return max(distance, _within_bands(last, done[:, -1], tensor, specs)) if by_columns else distance


def _within_bands(segment: Operation, done: Array, tensor: str, specs: Mapping[str, TensorSpec]) -> int:
    """The same for what a segment reads of an input while it writes its bands; done: rows before each of them."""
    swept = sweep(segment, None)
    columns = rows_done(swept.operations, stream_rows(swept.operations))
    last = swept.operations[-1]
    reached = np.minimum(columns[:, -1] + last.rows, last.height)
    ends = reached * pixel_bytes(specs[segment.output])
    bands = (done + segment.rows - segment.lead) // segment.rows
    written = (
        np.minimum(done + np.where(done == 0, segment.lead, segment.rows), segment.height) - 1
    ) * row_bytes(specs[segment.output])
    pitch, pixel = row_bytes(specs[tensor]), pixel_bytes(specs[tensor])
    # Of every band, and of every call of its last operator.
    lowest = np.full((len(done), len(reached)), NEVER)
    for index, operation in enumerate(swept.operations):
        passed = reached if index == len(swept.operations) - 1 else columns[:, index]
        for read in operation.reads:
            if read.tensor == tensor:
                needed = read_columns(read, swept.bands[operation.output])
                rows = np.maximum(bands * needed.step + needed.first, 0)
                begins = np.maximum(read.rows.begin(passed), 0) * pixel
                now = np.where(passed < operation.height, rows[:, None] * pitch + begins, NEVER)
                later = np.append(rows[1:] * pitch, NEVER)[:, None]
                lowest = np.minimum(lowest, np.minimum(now, later))
    return int((written[:, None] + ends - lowest).max())
