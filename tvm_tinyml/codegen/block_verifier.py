"""Replays the function of a streamed region on a symbolic block: no call finds rows on which something else lies.

`patch/block.py` lets line buffers, and what single calls need besides, share bytes, some of them only as long as rows
move in time, and the output lie over what is done with. Nothing of that is used here but the offsets. Every byte of the
block says what was stored there last, rows move as the printed function moves them, and what a call reads is asked of
the windows of its operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import MemoryPlan
from tvm_tinyml.patch.block import Placed
from tvm_tinyml.patch.geometry import Read
from tvm_tinyml.patch.region import pixel_bytes

from .streaming import StreamedRegion


def verify_block(region: StreamedRegion, block: Placed | None = None, plan: MemoryPlan | None = None) -> None:
    """Raise PlanError if a region with its buffers where `block` says, its own one, would lose a row.

    plan: says where the block and the output are; without it the output is elsewhere.
    One strip is replayed: the next one begins with no rows in memory. The error names the region by its last operator,
    the operator that reads, the tensor and the rows.
    """
    placed = region.block if block is None else block
    name = region.shape.stages[-1].node.name
    pieces = [(0, placed.arena_bytes)]
    if region.pieces:
        pieces = [(start, piece.nbytes) for start, piece in zip(region.pieces, region.buffers, strict=True)]
    try:
        _Replay(region, placed, _Memory(pieces), name, _output(region, plan)).run()
    except IndexError:
        raise PlanError(f"memory plan: rows of the region to {name!r} lie outside of its block") from None


@dataclass
class _Output:
    """Rows of the output of a region: where the first one begins in its block, and bytes of each.

    at_once: whether the first call writes to all of them. number: of the first row in memory.
    """

    start: int
    pitch: int
    rows: int
    at_once: bool
    number: int = 0

    def bytes_in(self, memory: _Memory, begin: int, end: int) -> tuple[Array, Array]:
        """Bytes of the block that some rows take, and their numbers there."""
        places = np.arange(self.start + begin * self.pitch, self.start + end * self.pitch)
        places = places[(places >= 0) & (places < len(memory.bytes))]
        places = places[memory.inside[places]]
        return places, self.number + (places - self.start) // self.pitch


def _output(region: StreamedRegion, plan: MemoryPlan | None) -> _Output | None:
    """The output of a region that has memory in the arena."""
    shape = region.shape
    if plan is None or shape.output not in plan.offsets or not region.buffers:
        return None
    start = plan.offsets[shape.output] - min(plan.scratch_offsets[one.name] for one in region.buffers)
    spec, last = shape.specs[shape.output], shape.operations[-1]
    at_once = last.accumulates or not shape.whole
    rows = 1 if at_once else last.height
    return _Output(start, spec.nbytes // rows, rows, at_once)


class _Memory:
    """The block: the number of what was stored in every byte last, 0 for nothing.

    pieces: first byte and number of bytes of each; what lies between them is not the region's.
    """

    def __init__(self, pieces: Sequence[tuple[int, int]]) -> None:
        size = max((start + nbytes for start, nbytes in pieces), default=0)
        self.bytes = np.zeros(size, np.int64)
        self.numbers = 0
        self.written = np.zeros(size, np.bool_)
        self.inside = np.zeros(size, np.bool_)
        for start, nbytes in pieces:
            self.inside[start : start + nbytes] = True

    def numbered(self, count: int) -> int:
        """The first of so many numbers that nothing has yet."""
        first = self.numbers + 1
        self.numbers += count
        return first

    def store(self, start: int, numbers: Array) -> None:
        """Store numbers from byte `start` on; IndexError outside of the block."""
        end = start + len(numbers)
        if start < 0 or end > len(self.bytes) or not self.inside[start:end].all():
            raise IndexError(start)
        self.bytes[start : start + len(numbers)] = numbers
        self.written[start : start + len(numbers)] = True


@dataclass
class _Line:
    """A line buffer: where its rows lie, and which it holds.

    maker: operation that makes its rows; readers: those that read them, with their windows.
    start: byte of the block. step: bytes from one row to the next, of which every one of `planes` planes, `plane` bytes
    apart, has as many. slots: rows before some have to move. above: rows above the image.
    rises, settles, refills: whether rows lie at its end, move to its start once others are read, or always begin there.
    number: of the first row in memory. first: row for which its first place is.
    """

    tensor: str
    maker: int
    readers: Sequence[tuple[int, Read]]
    start: int
    step: int
    planes: int
    plane: int
    slots: int
    above: int
    rises: bool
    settles: bool
    refills: bool
    number: int
    first: int

    def pieces(self, row: int, rows: int) -> Iterator[tuple[int, Array]]:
        """Where some rows begin, in every plane, with the numbers of their bytes."""
        begin = self.start + (row - self.first) * self.step
        for plane in range(self.planes if rows > 0 else 0):
            numbers = self.number + (np.arange(row, row + rows) + self.above) * self.planes + plane
            yield begin + plane * self.plane, numbers.repeat(self.step)


class _Replay:
    """One strip of a region, or one band of a segment.

    block, memory: of the region. output: the operator that errors name the region by. made: where its output is.
    """

    def __init__(
        self,
        region: StreamedRegion,
        block: Placed,
        memory: _Memory,
        output: str,
        made: _Output | None = None,
    ) -> None:
        self.region, self.block, self.memory, self.output = region, block, memory, output
        self.made = made
        if made is not None:
            made.number = memory.numbered(made.rows)
        self.operations = region.shape.operations
        self.lines = {tensor: self._line(tensor) for tensor in region.shape.stream.buffers}
        self.done = [0] * len(self.operations)
        self.touched: dict[int, Array] = {}

    def _line(self, tensor: str) -> _Line:
        region, shape = self.region, self.region.shape
        maker = next(index for index, one in enumerate(self.operations) if one.output == tensor)
        operation, buffer = self.operations[maker], shape.stream.buffers[tensor]
        pitch = region.fetched(maker).line if maker < region.fetches else shape.pitch(tensor)
        planes = pixel_bytes(shape.specs[tensor]) if tensor in region.planes else 1
        rows = buffer.above + operation.calls * operation.rows + shape.stream.fills[maker]
        refills = region.refills(tensor)
        rises = tensor in self.block.raised and not refills
        reads = [(index, read) for index, one in enumerate(self.operations) for read in one.reads]
        return _Line(
            tensor,
            maker,
            readers=[(index, read) for index, read in reads if read.tensor == tensor],
            start=self.block.offsets[tensor],
            step=pitch // planes,
            planes=planes,
            plane=shape.plane(tensor) if tensor in region.planes else 0,
            slots=region.slots(tensor),
            above=buffer.above,
            rises=rises,
            settles=tensor in self.block.settled,
            refills=refills,
            number=self.memory.numbered(rows * planes),
            first=-(buffer.rows if rises else buffer.above),
        )

    def run(self) -> None:
        """All calls, in their order."""
        events = self.region.shape.stream.events
        for one in self.lines.values():
            one.start = self._begin(one, events[0].operation)
            self._store(one, -one.above, one.above)
        for event in events:
            index, operation = event.operation, self.operations[event.operation]
            for one in self.lines.values():
                self._shift(one, index)
            line, begin = self.lines.get(operation.output), self.done[index]
            rows = 1 if event.fills else operation.made(begin)
            if line is not None:
                self._make_room(line, begin, rows)
            if event.fills:
                if line is not None:
                    self._store(line, begin, 1)
                self.done[index] += 1
                for read in operation.reads:
                    if read.tensor in self.block.lifts:
                        self._settle(self.lines[read.tensor])
                continue
            self._call(index, line, begin, rows)
            self.done[index] = min(begin + rows, operation.height)
            for tensor in dict.fromkeys(read.tensor for read in operation.reads):
                if tensor in self.lines:
                    self._settle(self.lines[tensor])
        if self.made is not None:
            places, numbers = self.made.bytes_in(self.memory, 0, self.made.rows)
            if not np.array_equal(self.memory.bytes[places], numbers):
                self._refuse(len(self.operations) - 1, "rows of the output")

    def _call(self, index: int, line: _Line | None, begin: int, rows: int) -> None:
        """A call may write before it has read everything: all that it needs is there afterwards as well."""
        self._check_windows(index)
        parts = self._parts(index)
        for start, numbers in parts:
            self.memory.store(start, numbers)
        if line is not None:
            self._store(line, begin, rows)
        if index - self.region.fetches in self.region.segments:
            self._sweep(index - self.region.fetches)
        if self.made is not None and index == len(self.operations) - 1:
            made = (0, 1) if self.made.at_once else (begin, min(begin + rows, self.made.rows))
            places, numbers = self.made.bytes_in(self.memory, *made)
            self.memory.bytes[places] = numbers
        self._check_windows(index)
        if line is not None:
            self._check(line, begin, rows, index)
        for start, numbers in parts:
            if not np.array_equal(self.memory.bytes[start : start + len(numbers)], numbers):
                self._refuse(index, "what it needs besides its rows")

    def _parts(self, index: int) -> list[tuple[int, Array]]:
        """Where what a call needs besides rows begins, with numbers for its bytes."""
        region, stage = self.region, index - self.region.fetches
        if stage < 0:
            beside = region.fetched(index).beside
            sizes = {region.row_name(index): beside} if beside else {}
        else:
            sizes = {region.part_name(stage, name): size for name, size in region.parts(stage).items()}
        return [
            (self.block.offsets[name], np.full(size, self.memory.numbered(1))) for name, size in sizes.items()
        ]

    def _sweep(self, stage: int) -> None:
        """One band. All of them write the same bytes of the block."""
        if stage in self.touched:
            self.memory.bytes[self.touched[stage]] = self.memory.numbered(1)
            return
        self.memory.written[:] = False
        _Replay(self.region.segments[stage], self.block, self.memory, self.output).run()
        self.touched[stage] = self.memory.written.copy()

    def _make_room(self, line: _Line, end: int, rows: int) -> None:
        """Before rows are made: those that are needed move where there is no room for them."""
        if line.refills:
            line.first = end
        elif line.rises:
            keep = min(max(self._needed(line), -line.above), end)
            self._move(line, keep, end, line.first + rows)
        elif not line.settles and end + rows - line.first > line.slots:
            keep = min(self._needed(line), end)
            self._move(line, keep, end, keep)

    def _settle(self, line: _Line) -> None:
        """After rows have been read: those that are still needed move to the start."""
        needed = self._needed(line)
        if line.settles and not line.refills and needed > line.first:
            end = self.done[line.maker]
            self._move(line, min(needed, end), end, min(needed, end))

    def _begin(self, line: _Line, index: int) -> int:
        """Where a line buffer begins while an operation runs."""
        lifts = self.block.lifts.get(line.tensor)
        return self.block.offsets[line.tensor] + (0 if lifts is None else lifts[index])

    def _shift(self, line: _Line, index: int) -> None:
        """Before a call: rows of a line buffer that floats move, those that come first to begin with."""
        begin, start = line.start, self._begin(line, index)
        if start != begin:
            size = (self.done[line.maker] - line.first) * line.step
            if begin < start < begin + size:
                self._refuse(index, f"rows of {line.tensor!r} moved up")
            self.memory.store(start, self.memory.bytes[begin : begin + size].copy())
            line.start = start

    def _needed(self, line: _Line) -> int:
        """First row that some reader will read next."""
        return min(read.rows.begin(self.done[index]) for index, read in line.readers)

    def _move(self, line: _Line, keep: int, end: int, first: int) -> None:
        """Move rows `keep` to `end` - 1, planes as a whole, so that the first place is for row `first`."""
        begin, size = line.start + (keep - line.first) * line.step, (end - keep) * line.step
        line.first, at = first, line.start + (keep - first) * line.step
        size += (line.planes - 1) * line.plane
        self.memory.store(at, self.memory.bytes[begin : begin + size].copy())

    def _store(self, line: _Line, row: int, rows: int) -> None:
        for start, numbers in line.pieces(row, rows):
            self.memory.store(start, numbers)

    def _check_windows(self, index: int) -> None:
        operation = self.operations[index]
        for read in operation.reads:
            if read.tensor in self.lines:
                line, done = self.lines[read.tensor], self.done[index]
                begin = read.rows.begin(done)
                # A segment reads nothing outside of the image.
                begin = max(begin, 0) if operation.members else begin
                end = operation.reach(read, done, self.operations[line.maker].height)
                self._check(line, begin, end - begin, index)

    def _check(self, line: _Line, row: int, rows: int, index: int) -> None:
        for start, numbers in line.pieces(row, rows):
            if start < 0 or not np.array_equal(self.memory.bytes[start : start + len(numbers)], numbers):
                self._refuse(index, f"{line.tensor!r}, rows {row} to {row + rows - 1}")

    def _refuse(self, index: int, what: str) -> None:
        raise PlanError(
            f"memory plan: in the region to {self.output!r}, {self.operations[index].name!r} uses {what}, where "
            "something else has been stored"
        )
