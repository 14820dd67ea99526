"""Inputs of the model that are fetched on demand: what fetching looks like to a region, and what it asks for.

Fetching the rows of an input is an operation without reads, so that order, line buffers and lifetimes treat it like any
other. Requests are for whole rows, or for the columns of one strip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..dialect.relax_api import TensorSpec
from .geometry import COLUMNS, ROWS, Columns, Operation
from .rows import RowStream

ROWS_PER_REQUEST = 1


class Request(NamedTuple):
    """A rectangle of an input, in rows and columns of pixels, inside the image."""

    tensor: str
    row: int
    rows: int
    column: int
    columns: int


def pulling(tensor: str, spec: TensorSpec) -> Operation:
    """The operation that stands for fetching rows of an input of the model instead of holding it."""
    return Operation(f"pull_{tensor}", tensor, spec.shape[ROWS], spec.shape[COLUMNS], ROWS_PER_REQUEST, ())


def pulls_of(operations: Sequence[Operation], pulled: frozenset[str]) -> list[str]:
    """Pulled inputs that operations read, each once, in order."""
    read = (one.tensor for operation in operations for one in operation.reads)
    return list(dict.fromkeys(tensor for tensor in read if tensor in pulled))


def requested(
    operation: Operation, columns: Columns, strip: int, row: int, *, whole_rows: bool
) -> Request | None:
    """What the call of a fetching operation at `row` asks for in strip `strip`; None: nothing inside the image."""
    rows = min(operation.rows, operation.height - row)
    if whole_rows or not columns.step:
        return Request(operation.output, row, rows, 0, operation.width)
    begin = strip * columns.step + columns.first
    first, end = max(begin, 0), min(begin + columns.width, operation.width)
    return Request(operation.output, row, rows, first, end - first) if end > first else None


def requests(
    operations: Sequence[Operation],
    columns: Sequence[Columns],
    stream: RowStream,
    strips: int,
    *,
    whole_rows: bool,
) -> Iterator[Request]:
    """Everything that a region asks for, in order.

    operations: those that fetch, which are the first of the region; columns: of what they fetch.
    """
    for strip in range(strips):
        done = [0] * len(operations)
        for event in stream.events:
            index = event.operation
            if index >= len(operations) or event.fills:
                continue
            operation = operations[index]
            asked = requested(operation, columns[index], strip, done[index], whole_rows=whole_rows)
            done[index] += operation.rows
            if asked is not None:
                yield asked
