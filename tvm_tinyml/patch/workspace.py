"""Memory inside a region: its line buffers, the windows copied out of inputs, and where they lie in one block.

A line buffer that is empty whenever operators outside of its own stretch run shares its bytes with others of the
kind: the rows between two pointwise operators are gone before the next row is begun. All the others are alive from
the first call of the region to the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ..dialect.relax_api import TensorSpec
from .bands import sweep
from .block import Buffer, Placed, least_bytes, place
from .geometry import (
    COLUMNS,
    PIXEL,
    ROWS,
    Columns,
    Operation,
    Read,
    full_columns,
    read_columns,
    strip_columns,
)
from .pulling import pulling, pulls_of
from .region import pixel_bytes
from .rows import RowStream, rows_after, stream_rows, users_of

WORD = 4
"""Bytes."""


def buffer_spans(operations: Sequence[Operation], stream: RowStream) -> dict[str, tuple[int, int]]:
    """First and last operation between which each line buffer is in use: it is empty while any other one runs.

    A buffer without such a stretch is in use from before the first to the last.
    """
    found = {}
    for tensor, rows in stream.held.items():
        first, last = _ends(operations, tensor)
        outside = any(rows[:first]) or any(rows[last + 1 :])
        found[tensor] = (-1, len(operations) - 1) if outside else (first, last)
    return found


def _ends(operations: Sequence[Operation], tensor: str) -> tuple[int, int]:
    """Positions of who makes a tensor and of its last reader."""
    first = next(index for index, one in enumerate(operations) if one.output == tensor)
    return first, max(
        index for index, one in enumerate(operations) if any(read.tensor == tensor for read in one.reads)
    )


def line_buffers(
    operations: Sequence[Operation], stream: RowStream, pitches: Mapping[str, int], settling: Set[str]
) -> Iterator[Buffer]:
    """Line buffers with rows of so many bytes, by tensor; settling: see `settles_at_start`.

    Where rows begin at no words, calls could not read them at every place: all of such a buffer is taken.
    """
    spans = buffer_spans(operations, stream)
    for tensor, line in stream.buffers.items():
        pitch = pitches[tensor]
        settles = pitch % WORD == 0 and settles_at_start(operations, tensor, settling)
        held = tuple(rows * pitch for rows in stream.held[tensor]) if settles else ()
        yield Buffer(
            tensor, line.rows * pitch, *spans[tensor], held, bool(held) and rises(operations, stream, tensor)
        )


def rises(operations: Sequence[Operation], stream: RowStream, tensor: str) -> bool:
    """Whether the rows of a line buffer that settles can lie at its end as well.

    Not where they always begin at its start, or a call makes some beyond the image: the next one comes in their place.
    """
    maker = next(index for index, one in enumerate(operations) if one.output == tensor)
    one = operations[maker]
    return (bool(one.members) or one.height % one.rows == 0) and not stream.stays(maker)


def settles_at_start(operations: Sequence[Operation], tensor: str, settling: Set[str]) -> bool:
    """Whether the rows of a line buffer that are needed can always lie at its start, and what is behind them be used.

    Not where windows leave rows out. What one operator makes for one other may lie in planes, whose rows are not in one
    piece, unless it is one of those that are `settling` (`plan.Region`).
    """
    reads = [(index, one) for index, operation in enumerate(operations) for one in operation.reads]
    reads = [(index, one) for index, one in reads if one.tensor == tensor]
    if any(one.rows.stride > one.rows.extent for _, one in reads):
        return False
    maker = next(one for one in operations if one.output == tensor)
    readers = {index for index, _ in reads}
    handed_on = maker.reads and not maker.members and len(readers) == 1
    return not handed_on or maker.name in settling or any(operations[index].members for index in readers)


def may_settle(operations: Sequence[Operation]) -> dict[str, str]:
    """Tensors, and who makes them, whose line buffers settle at their start only if those are `settling`.

    Where rows begin at words.
    """
    inner = {read.tensor for operation in operations for read in operation.reads}
    return {
        one.output: one.name
        for one in operations
        if one.output in inner
        and settles_at_start(operations, one.output, {one.name})
        and not settles_at_start(operations, one.output, frozenset())
    }


def window_bytes(read: Read, operation: Operation, columns: Columns, spec: TensorSpec) -> int:
    """Bytes of the copy of a window of an input that is held in memory; 0 where it can be read where it lies.

    columns: those of the operation's output. Rows of the whole width are read in place unless a window leaves the
    image or does not begin at a word; strips are copied, and segments copy columns themselves.
    """
    if operation.members:
        return 0
    begins = range(0, operation.height, operation.rows)
    if columns.step == 0:
        last = read.rows.begin(begins[-1]) + read.rows.span(operation.rows)
        inside = read.rows.first >= 0 and last <= spec.shape[ROWS]
        if inside and at_words((read.rows.begin(row) for row in begins), row_bytes(spec)):
            return 0
    width = spec.shape[COLUMNS] if columns.step == 0 else read_columns(read, columns).width
    return read.rows.span(operation.rows) * width * pixel_bytes(spec)


def staging_bytes(operation: Operation, columns: Columns, spec: TensorSpec) -> int:
    """Bytes of the copy of the rows of a region's output; 0 where they can be written where they belong.

    columns: those of the output. Rows of the whole width are written in place unless a call makes some beyond the
    image or does not begin at a word.
    """
    if operation.members or operation.accumulates:
        return 0
    begins = range(0, operation.height, operation.rows)
    in_place = columns.step == 0 and operation.height % operation.rows == 0
    if in_place and at_words(begins, row_bytes(spec)):
        return 0
    return operation.rows * columns.width * pixel_bytes(spec)


def at_words(rows: Iterable[int], pitch: int) -> bool:
    """Whether rows of `pitch` bytes all begin at words, from which kernels may load."""
    return pitch % WORD == 0 or not any(row * pitch % WORD for row in rows)


def row_bytes(spec: TensorSpec) -> int:
    """Bytes of one row of an NHWC tensor."""
    return spec.nbytes // spec.shape[ROWS]


class FetchedRow(NamedTuple):
    """Where rows of an input that is fetched lie.

    line: bytes of a row of its line buffer. whole: that row has all columns, of which strips read theirs where they
        lie; before: bytes in front of them, which belong to no pixel.
    beside: bytes of the place to which a whole row is fetched before the columns of a strip are copied; 0 for none.
    """

    line: int
    beside: int = 0
    whole: bool = False
    before: int = 0


def fetched_row(
    tensor: str,
    operations: Sequence[Operation],
    columns: Mapping[str, Columns],
    stream: RowStream,
    spec: TensorSpec,
    *,
    whole_rows: bool,
) -> FetchedRow:
    """Where rows of `tensor` lie that a region of `operations` fetches, over the whole width with `whole_rows`.

    columns: of every tensor made or fetched.

    A row that is read once, pixel by pixel, need not be copied: what lies beside the image makes nothing but what lies
    beside the image.
    """
    own, pixel = columns[tensor], pixel_bytes(spec)
    line, row = own.width * pixel, row_bytes(spec)
    if own.step == 0:
        return FetchedRow(line, whole=True)
    if not whole_rows:
        return FetchedRow(line)
    (reader, read), *others = (
        (one, read) for one in operations for read in one.reads if read.tensor == tensor
    )
    by_pixels = read.rows == read.columns == PIXEL and not reader.members and not reader.accumulates
    if others or not by_pixels or stream.buffers[tensor].rows > 1 or own.step * pixel % WORD:
        return FetchedRow(line, beside=row)
    last = operations[-1]
    strips = -(-last.width // columns[last.output].step)
    before = max(-own.first * pixel, -own.first * pixel % WORD)
    after = (strips - 1) * own.step + own.first + own.width - spec.shape[COLUMNS]
    return FetchedRow(before + row + max(after, 0) * pixel, whole=True, before=before)


@dataclass(frozen=True)
class Workspace:
    """Everything in memory while a region runs, its inputs and its output aside.

    operations: in order; fetching rows of an input is one of them.
    strips: how often the rows run; columns: of every tensor made or fetched.
    sweeps: what segments need besides while they run, by their position: one band of them.
    settling, floating: as in `plan.Region`.
    output_row: as of the function of that name.
    """

    operations: tuple[Operation, ...]
    strips: int
    columns: Mapping[str, Columns]
    stream: RowStream
    buffers: tuple[Buffer, ...]
    sweeps: Mapping[int, Workspace] = field(default_factory=dict)
    settling: frozenset[str] = frozenset()
    output_row: int = 0
    floating: bool = False

    @property
    def calls(self) -> int:
        """Calls of the functions of all operators, in all strips."""
        return self.strips * sum(
            # A call of a segment is one of the strips of its own workspace.
            count * (self.sweeps[index].calls // self.sweeps[index].strips if index in self.sweeps else 1)
            for index, count in enumerate(self.stream.times)
        )

    def place(self, alignment: int) -> Placed:
        """Offsets of all buffers in one block, those of segments included."""
        written = self.written if self.output_row else None
        return place(
            self.buffers,
            len(self.operations),
            alignment,
            self._inner,
            floating=self.floating,
            written=written,
        )

    def least_bytes(self, alignment: int) -> int:
        """Bytes that such a block takes at least; much faster."""
        return least_bytes(self.buffers, len(self.operations), alignment, self._inner)

    @property
    def _inner(self) -> list[tuple[int, Sequence[Buffer], int]]:
        return [(index, one.buffers, len(one.operations)) for index, one in self.sweeps.items()]

    @cached_property
    def written(self) -> dict[str, int]:
        """Bytes of the output that are made when each buffer is used for the last time, by that call as well."""
        rows = rows_after(self.operations, self.stream)
        called = rows_after(self.operations, self.stream, fills=False)
        found = {}
        for one in self.buffers:
            if one.name in self.stream.buffers:
                most = max(rows[index] for index in users_of(self.operations, one.name))
            else:
                most = max(called[one.first : one.last + 1])
            found[one.name] = self.output_row * most
        for index, band in self.sweeps.items():
            found |= dict.fromkeys((one.name for one in band.buffers), self.output_row * called[index])
        return found


def workspace_of(
    operations: Sequence[Operation],
    specs: Mapping[str, TensorSpec],
    strip: int,
    pulled: frozenset[str],
    scratch: Mapping[str, int],
    *,
    whole_rows: bool = False,
    settling: frozenset[str] = frozenset(),
    floating: bool = False,
) -> Workspace:
    """Workspace of a region of `operations` for strips of `strip` columns.

    specs: types of all tensors. pulled: inputs of the model that are fetched row by row.
    scratch: bytes that a call of an operation needs for itself, by its name.
    whole_rows: rows are fetched over the whole width, also for strips. settling, floating: as in `plan.Region`.
    Raises PlanError when readers of a tensor drift apart.
    """
    fetched = pulls_of(operations, pulled)
    every = (*(pulling(tensor, specs[tensor]) for tensor in fetched), *operations)
    whole = strip >= every[-1].width
    columns = full_columns(every) if whole else strip_columns(every, strip)
    stream = stream_rows(every)
    rows = {
        tensor: fetched_row(tensor, every, columns, stream, specs[tensor], whole_rows=whole_rows)
        for tensor in fetched
    }
    staged = staging_bytes(every[-1], columns[every[-1].output], specs[every[-1].output])
    sweeps = {
        index: sweep_workspace(
            one, None if whole else columns[one.output], specs, scratch, buffered=one.output in stream.buffers
        )
        for index, one in enumerate(every)
        if one.members
    }
    strips = 1 if whole else -(-every[-1].width // strip)
    buffers = (
        *_buffers(every, columns, stream, specs, scratch, staged, settling, rows),
        *(
            Buffer(f"{every[k].name}.row", one.beside, k, k)
            for k, one in enumerate(rows.values())
            if one.beside
        ),
    )
    row = output_row(every, specs[every[-1].output], strips)
    return Workspace(every, strips, columns, stream, buffers, sweeps, settling, row, floating)


def output_row(operations: Sequence[Operation], spec: TensorSpec, strips: int) -> int:
    """Bytes of a row of the output of a region that lies over what is done with; 0 where none does.

    Not where strips write all rows again, nor where it may lie over an input: that leaves less, and the memory planner
    finds its way with fewer choices.
    """
    made = {one.output for one in operations}
    reads_memory = any(read.tensor not in made for one in operations for read in one.reads)
    return 0 if strips > 1 or reads_memory or operations[-1].accumulates else row_bytes(spec)


def sweep_workspace(
    segment: Operation,
    output: Columns | None,
    specs: Mapping[str, TensorSpec],
    scratch: Mapping[str, int],
    *,
    buffered: bool,
) -> Workspace:
    """Workspace of one band; output: columns of the segment's output in each strip, None for the whole width.

    buffered: whether that output has a line buffer.
    """
    swept = sweep(segment, output)
    stream = stream_rows(swept.operations)
    spec, rows = specs[segment.output], swept.operations[-1].rows
    staged = 0
    if not columns_in_place(segment, rows, output, spec, buffered=buffered):
        # Columns of the output lie in one piece before their pixels go to their rows.
        staged = rows * segment.rows * pixel_bytes(spec)
    buffers = tuple(_buffers(swept.operations, swept.bands, stream, specs, scratch, staged, frozenset(), {}))
    return Workspace(swept.operations, segment.calls, swept.bands, stream, buffers)


def columns_in_place(
    segment: Operation, columns: int, output: Columns | None, spec: TensorSpec, *, buffered: bool
) -> bool:
    """Whether a segment that makes `columns` columns at a time makes them where they belong: bands of one row do.

    output, buffered: as in `sweep_workspace`. Not where the last call makes columns that there are not, or one does
    not begin at a word.
    """
    width, pixel = segment.width if output is None else output.width, pixel_bytes(spec)
    if segment.rows > 1 or width % columns:
        return False
    # The last strip may end beyond an image, never beyond a line buffer.
    if not buffered and spec.shape[COLUMNS] % width:
        return False
    return columns * pixel % WORD == 0 and width * pixel % WORD == 0


def sweep_bytes(segment: Operation, specs: Mapping[str, TensorSpec]) -> int:
    """Bytes of a band over whole columns that are in use at once, before they are placed."""
    buffers = sweep_workspace(segment, None, specs, {}, buffered=True).buffers
    return max(
        sum(one.nbytes for one in buffers if one.first <= time <= one.last or one.first < 0)
        for time in range(len(segment.members))
    )


def _buffers(
    every: Sequence[Operation],
    columns: Mapping[str, Columns],
    stream: RowStream,
    specs: Mapping[str, TensorSpec],
    scratch: Mapping[str, int],
    staged: int,
    settling: Set[str],
    fetched: Mapping[str, FetchedRow],
) -> Iterator[Buffer]:
    """Line buffers, copied windows, scratch, and `staged` bytes of output, each with its lifetime."""
    pitches = {tensor: columns[tensor].width * pixel_bytes(specs[tensor]) for tensor in stream.buffers}
    pitches |= {tensor: row.line for tensor, row in fetched.items()}
    yield from line_buffers(every, stream, pitches, settling)
    for index, operation in enumerate(every):
        for number, read in enumerate(operation.reads):
            if read.tensor in columns:
                size = shifted_bytes(index, read, every, columns, stream, specs[read.tensor])
            else:
                size = window_bytes(read, operation, columns[operation.output], specs[read.tensor])
            if size:
                yield Buffer(f"{operation.name}.window_{number}", size, index, index)
        if scratch.get(operation.name) and not operation.members:
            yield Buffer(f"{operation.name}.scratch", scratch[operation.name], index, index)
        if operation.output in stream.buffers:
            made = made_bytes(index, operation, stream, pitches[operation.output])
            if made:
                yield Buffer(f"{operation.name}.made", made, index, index)
    if staged:
        yield Buffer(f"{every[-1].name}.staged", staged, len(every) - 1, len(every) - 1)


def made_bytes(index: int, operation: Operation, stream: RowStream, pitch: int) -> int:
    """Bytes of the copy of what operation `index` makes for its line buffer; 0 where all its rows begin at words."""
    if not operation.reads or operation.members or at_words(stream.write_slots[index], pitch):
        return 0
    return operation.rows * pitch


def shifted_bytes(
    index: int,
    read: Read,
    every: Sequence[Operation],
    columns: Mapping[str, Columns],
    stream: RowStream,
    spec: TensorSpec,
) -> int:
    """Bytes of the copy of a window of a line buffer: of some of its columns only, or of rows that begin at no word."""
    operation, held = every[index], columns[read.tensor]
    if operation.members:
        return 0
    output = columns[operation.output]
    needed = held if output.step == 0 else read_columns(read, output)
    if needed == held and at_words(stream.read_slots[index, read.tensor], held.width * pixel_bytes(spec)):
        return 0
    return read.rows.span(operation.rows) * needed.width * pixel_bytes(spec)
