"""Segments: operators that make bands of rows together, each band column by column.

A band is a strip with rows and columns swapped: its height is fixed, what neighbouring bands need of inner tensors is
made again, and columns stream through buffers of a few of them (the bands of MCUNetV2, Lin et al., NeurIPS 2021, with
the other axis kept as in StreamNet, Zheng et al., NeurIPS 2023). So everything that plans and runs strips of rows
plans and runs bands as well, on operators with rows and columns swapped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import PlanError
from .geometry import Columns, Operation, Read, Sliding, columns_for, keeping_pace

ONE = Sliding(1, 0, 1)


def segment_operation(members: Sequence[Operation], rows: int, lead: int, columns: int = 1) -> Operation:
    """The segment of `members`, in execution order, as one operation.

    Its windows are those of the members one through the other; where it reads a tensor through several, one that
    covers them. Raises PlanError when windows move at different speeds, or a tensor inside is read by no member.
    """
    last = members[-1]
    made = {member.output for member in members}
    windows = {last.output: (ONE, ONE)}
    for member in reversed(members):
        if member.output not in windows:
            raise PlanError(
                f"patch plan: {member.output!r} is not read inside the segment up to {last.name!r}; end it there"
            )
        rows_above, columns_above = windows[member.output]
        for read in member.reads:
            window = rows_above.through(read.rows), columns_above.through(read.columns)
            if read.tensor in windows:
                try:
                    other = windows[read.tensor]
                    window = window[0].joined(other[0]), window[1].joined(other[1])
                except ValueError as error:
                    raise PlanError(
                        f"patch plan: readers of {read.tensor!r} in the segment up to {last.name!r} drift apart "
                        f"({error}); split the segment between them"
                    ) from None
            windows[read.tensor] = window
    reads = tuple(Read(tensor, *window) for tensor, window in windows.items() if tensor not in made)
    rows = min(rows, last.height)
    return Operation(
        name=last.name,
        output=last.output,
        height=last.height,
        width=last.width,
        rows=rows,
        reads=reads,
        members=tuple(members),
        lead=min(lead, rows),
        sweep=columns,
    )


@dataclass(frozen=True)
class Sweep:
    """How a segment runs over the columns of one band.

    operations: its members with rows and columns swapped, as many of the new rows per call as the last one is to make
        and the others need to keep pace. Between strips their rows are numbered from the first
        one that a strip needs, and none is outside; the windows over tensors made before the segment count from the
        first column of the first strip instead.
    bands: rows of every tensor made inside, by band.
    ranges: columns of every tensor made inside, by strip; None when whole columns are made.
    """

    operations: tuple[Operation, ...]
    bands: Mapping[str, Columns]
    ranges: Mapping[str, Columns] | None


def sweep(segment: Operation, output: Columns | None) -> Sweep:
    """The sweep of a segment; output: columns of its output in each strip, None for the whole width."""
    swapped = [member.transposed for member in segment.members]
    bands = columns_for(swapped, Columns(segment.rows, segment.lead - segment.rows, segment.rows))
    if output is None:
        return Sweep(_together(swapped, segment.sweep), bands, None)
    ranges = columns_for(segment.members, output)
    numbered = [_numbered(one, ranges) for one in swapped]
    return Sweep(_together(numbered, segment.sweep), bands, ranges)


def _together(swapped: list[Operation], columns: int) -> tuple[Operation, ...]:
    """Operators of a sweep whose last one makes so many columns at a time; one by one, nobody makes more."""
    return tuple(swapped if columns == 1 else keeping_pace(swapped, columns))


def _numbered(operation: Operation, ranges: Mapping[str, Columns]) -> Operation:
    """A swapped operator whose rows count from the first one of its range."""
    own = ranges[operation.output]
    reads = []
    for read in operation.reads:
        begin = read.rows.begin(own.first)
        first = begin - ranges[read.tensor].first if read.tensor in ranges else begin
        reads.append(replace(read, rows=replace(read.rows, first=first)))
    return replace(operation, height=own.width, reads=tuple(reads))
