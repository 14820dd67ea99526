"""What a plan can be made of: regions and single operators that end at a cut of the order, with peak and work.

The peak of a region is a bound from below: the bytes of all buffers that are in use at once, before any is placed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..dialect.relax_api import Array
from ..errors import PlanError
from ..memory.problem import round_up
from .costs import calls_of, handed_on, line_moves
from .facing import MATCHED, bytes_saved
from .floating import stacked_bytes
from .footprint import Settings, overwritable
from .geometry import Columns, Operation, full_columns, keeping_pace, strip_columns
from .network import Network
from .overwriting import overwrite_distance, rows_done
from .plan import Segment
from .pulling import pulling, pulls_of
from .region import operation_of, pixel_bytes
from .rows import rows_after, stream_rows, users_of
from .workspace import (
    WORD,
    buffer_spans,
    fetched_row,
    made_bytes,
    may_settle,
    output_row,
    rises,
    settles_at_start,
    shifted_bytes,
    staging_bytes,
    window_bytes,
)

ENDLESS = 1 << 62
"""Bytes that nothing has."""


class Part(NamedTuple):
    """A region from operator `begin` up to `end`, or a single operator: peak while it runs, and work.

    strip: columns; 0 for an operator that runs whole. segments: of a region with bands.
    output: bytes of what it makes; 0 for a view. source: input in whose place the output lies, at least `distance`
        bytes below it.
    rows: that the last operator makes per call, with which the others keep pace. cost: estimated (`Settings.costs`).
    settling: operators of the region that are `settling` (`plan.Region`): none, all that can be, or the one that
        saves the most, as what others put into the free end of one line buffer leaves little for that of another one.
    floating: whether a line buffer floats on another one, which is tried where all are settling that can be.
    """

    peak: int
    macs: int
    calls: int
    begin: int
    end: int
    strip: int
    segments: tuple[Segment, ...] = ()
    output: int = 0
    source: str = ""
    distance: int = 0
    rows: int = 1
    cost: float = 0.0
    settling: tuple[str, ...] = ()
    floating: bool = False

    def reach(self, made: str, source_bytes: int) -> tuple[int, int]:
        """Least end of its output, as `paths.Paths` counts it: the first number, or that of `made` and the second one.

        made: the tensor in front of the cut where it begins. source_bytes: of its source.
        """
        if self.source:
            if self.source == made:
                return self.output, self.distance
            return max(self.output, self.distance + source_bytes), -ENDLESS
        return (self.output, -ENDLESS) if self.calls else (0, 0)


class Sharing(NamedTuple):
    """Bytes that the output of a region has in common with an input that lies `distance` bytes above it."""

    nbytes: int = 0
    source: str = ""
    distance: int = 0


class Parts:
    """All parts that end at a cut, each with its figures."""

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network = network
        self.settings = settings
        self.costs = settings.costs_of(network)
        self.operations = [
            operation_of(node, 1) if by_rows else None
            for node, (by_rows, _) in zip(network.nodes, network.streams, strict=True)
        ]
        external = settings.external(network)
        self.size = {
            root: 0 if root in external else self.aligned(network.specs[root].nbytes)
            for root in network.spans
        }
        # What is kept takes its place from everything that moves.
        self.always = sum(
            self.size[root]
            for root, (first, last) in network.spans.items()
            if first < 0 and last >= len(network.nodes)
        )
        self.live = [
            sum(self.size[root] for root, (first, last) in network.spans.items() if first < cut <= last)
            for cut in range(len(network.nodes) + 1)
        ]

    def aligned(self, nbytes: int) -> int:
        """Bytes a tensor takes."""
        return round_up(nbytes, self.settings.alignment)

    def ending(self, end: int) -> Iterator[Part]:
        """Parts whose last operator is the one before cut `end`, in rows one by one."""
        node = self.network.nodes[end - 1]
        if self.settings.pulled.isdisjoint(tensor for tensor in node.inputs if tensor is not None):
            made = 0 if node.operator.is_view else self.size[node.tensor]
            calls = 0 if node.operator.is_view else 1
            own = self.aligned(self.settings.scratch.get(node.name, 0))
            peak = self.live[end - 1] + made + own
            cost = self.costs.plain(end - 1)
            yield Part(peak, self.network.macs[end - 1], calls, end - 1, end, 0, output=made, cost=cost)
        yield from self.regions(end, 1)

    def regions(self, end: int, rows: int, most: int | None = None) -> Iterator[Part]:
        """Regions whose last operator is the one before cut `end` and makes so many rows per call.

        most: bytes above which a peak is of no use.
        """
        begin = self.first_begin(end)
        if begin < end:
            regions = _Regions(self, begin, end, rows)
            for strip in strips_of(regions.operations[-1].width):
                yield from regions.parts(strip, most)

    def sharing(self, begin: int, operations: Sequence[Operation], done: Array) -> Sharing:
        """What the output of a region without strips can have in common with an input, at most.

        begin: its first operator. done: of `rows_done`.
        """
        best = Sharing()
        if not self.settings.overwrite:
            return best
        last = operations[-1]
        nodes = self.network.nodes[begin : self.network.maker[last.output] + 1]
        output = self.size[last.output]
        for tensor in overwritable(self.network, nodes, operations):
            source = self.size[tensor]
            distance = self.aligned(overwrite_distance(operations, done, tensor, self.network.specs))
            common = output + source - max(output, source + distance)
            if common > best.nbytes:
                best = Sharing(common, tensor, distance)
        return best

    def first_begin(self, end: int) -> int:
        """Where the longest region that ends at `end` begins: its inner tensors are read in it and only there."""
        begin, least = end, 0
        while begin > least:
            operation, node = self.operations[begin - 1], self.network.nodes[begin - 1]
            first, last = self.network.spans.get(node.tensor, (0, 0))
            if operation is None or (begin < end and (operation.accumulates or not first < last < end)):
                break
            begin -= 1
            read = {one.tensor for one in operation.reads}
            for tensor in node.inputs:
                if tensor is not None and tensor not in read:
                    least = max(least, self.network.maker.get(self.network.roots[tensor], -1) + 1)
        return begin


def strips_of(width: int) -> list[int]:
    """The widest strip of every number of strips."""
    return list(dict.fromkeys(-(-width // count) for count in range(1, width + 1)))


@dataclass
class _Regions:
    """Regions that end at one cut; `pace` are the rows that the last operator makes per call."""

    owner: Parts
    first: int
    end: int
    pace: int

    def __post_init__(self) -> None:
        owner, specs = self.owner, self.owner.network.specs
        own = [operation for operation in owner.operations[self.first : self.end] if operation is not None]
        own = keeping_pace(own, self.pace) if self.pace > 1 else own
        fetched = pulls_of(own, owner.settings.pulled)
        self.operations: Sequence[Operation] = [*(pulling(tensor, specs[tensor]) for tensor in fetched), *own]
        self.pulls = len(fetched)
        self.stream = stream = stream_rows(self.operations)
        self.events = [calls + fills for calls, fills in zip(stream.times, stream.fills, strict=True)]
        self.spans = buffer_spans(self.operations, stream)
        self.rows = {tensor: buffer.rows for tensor, buffer in stream.buffers.items()}
        self.settled = {
            tensor for tensor in stream.buffers if settles_at_start(self.operations, tensor, frozenset())
        }
        self.may_settle = may_settle(self.operations)
        self.done = rows_done(self.operations, stream)
        self.rows_after = rows_after(self.operations, stream)

    def moves(self, tensor: str, pitch: int) -> float:
        """Cost of keeping a line buffer with rows of `pitch` bytes, in one strip."""
        index = self.position(tensor)
        return line_moves(index, self.operations[index], self.stream, pitch, self.owner.costs.moving)

    def position(self, tensor: str) -> int:
        """Position of the operation that makes a tensor."""
        return next(index for index, one in enumerate(self.operations) if one.output == tensor)

    def parts(self, strip: int, most: int | None = None) -> Iterator[Part]:
        """Regions with strips of `strip` columns, the shortest first; most: as in `Parts.regions`."""
        owner, specs = self.owner, self.owner.network.specs
        last = self.operations[-1]
        whole = strip >= last.width
        strips = 1 if whole else -(-last.width // strip)
        try:
            columns = full_columns(self.operations) if whole else strip_columns(self.operations, strip)
        except PlanError:
            return
        load = _Load(self, columns)
        staged = staging_bytes(last, columns[last.output], specs[last.output])
        load.add(len(self.operations) - 1, owner.aligned(staged))
        cost = owner.costs.moving.region
        cost += strips * load.copies(len(self.operations) - 1, last.rows, staged)
        price = _Price(self, columns, strips, cost)
        macs = calls = 0
        for index in range(len(self.operations) - 1, self.pulls - 1, -1):
            operation, begin = self.operations[index], self.first + index - self.pulls
            if not whole and not owner.network.streams[begin][1]:
                return
            width = columns[operation.output].width
            pixels = operation.height * operation.width
            made = operation.height if operation.accumulates else operation.calls * operation.rows
            macs += owner.network.macs[begin] * width * made * strips // pixels
            calls += strips * operation.calls
            price.left.append(index)
            load.take(index)
            output = owner.size[last.output]
            beside = owner.live[begin] + output
            shared = Sharing()
            over = 0
            if whole:
                shared = owner.sharing(begin, self.operations[index:], self.done[:, index:])
                running = [*self.operations[: self.pulls], *self.operations[index:]]
                row = output_row(running, specs[last.output], strips)
                over = max(0, output - load.distance(row)) if row and output else 0
            for tensors, nbytes, floating in load.ways(index):
                over = min(over, nbytes)
                if most is not None and beside + nbytes - max(over, shared.nbytes) > most:
                    continue
                lost = sum(price.saved.get(tensor, 0.0) for tensor in tensors) if tensors else 0.0
                part = Part(
                    beside + nbytes - over,
                    macs,
                    calls,
                    begin,
                    self.end,
                    strip,
                    output=output,
                    rows=self.pace,
                    cost=price.found + strips * load.moving + lost,
                    settling=tuple(self.may_settle[tensor] for tensor in tensors),
                    floating=floating,
                )
                if index < len(self.operations) - 1 or load.fetches:
                    yield part
                if shared.nbytes:
                    peak = beside + nbytes - shared.nbytes
                    yield part._replace(peak=peak, source=shared.source, distance=shared.distance)


class _Price:
    """Cost of a region that grows towards its front, moving rows aside; whoever is asked takes long to answer.

    left: operations that are not counted yet. saved: by planes, by the tensor that is in them.
    """

    def __init__(self, regions: _Regions, columns: Mapping[str, Columns], strips: int, first: float) -> None:
        self.regions = regions
        self.columns = columns
        self.strips = strips
        self.cost = first
        self.left: list[int] = []
        self.saved: dict[str, float] = {}
        self.handed = dict(handed_on(regions.operations, columns, regions.rows.keys()))

    @property
    def found(self) -> float:
        """All of it."""
        while self.left:
            self._count(self.left.pop(0))
        return self.cost

    def _count(self, index: int) -> None:
        regions, costs, network = self.regions, self.regions.owner.costs, self.regions.owner.network
        operation = regions.operations[index]
        own = calls_of(network, operation, self.columns)
        one = costs.call(own.operator, own.rows, own.width, whole=own.whole)
        self.cost += self.strips * own.calls * one
        self.cost += self.strips * regions.events[index] * costs.moving.event
        if index in self.handed:
            reader = calls_of(network, regions.operations[self.handed[index]], self.columns)
            saved = self.saved[operation.output] = self.strips * costs.saved_by_planes(own, reader)
            self.cost -= saved


class _Load:
    """Bytes of the buffers of a region that grows towards its front, and cost of moving rows in one strip.

    lines: rows of the output that are made when each line buffer is used for the last time, and its bytes.
    settled: line buffers in use at all times of which only those bytes are taken that are needed, with all their bytes
        and those while each operation runs; planar: those of which that holds if their makers are settling.
    """

    def __init__(self, regions: _Regions, columns: Mapping[str, Columns]) -> None:
        self.regions = regions
        self.columns = columns
        self.kept = 0
        self.moving = 0.0
        self.by_position = [0] * len(regions.operations)
        self.windows: dict[str, list[tuple[int, int, int]]] = {}
        self.held: set[str] = set()
        self.lines: list[tuple[int, int]] = []
        self.settled: dict[str, tuple[int, Array]] = {}
        self.planar: dict[str, tuple[int, Array]] = {}

    @property
    def fetches(self) -> bool:
        """Whether rows of an input are fetched."""
        return not self.held.isdisjoint(self.regions.owner.settings.pulled)

    def ways(self, first: int) -> Iterator[tuple[tuple[str, ...], int, bool]]:
        """Most bytes of a region that begins with operation `first`, and the tensors whose makers are settling then.

        At first while no operator is settling, then while the one does that saves the most, then while all do, then
        with a line buffer that floats, which the last value says.
        """
        operations = self.regions.operations
        pulls = [index for index in range(self.regions.pulls) if operations[index].output in self.held]
        running = [*pulls, *range(first, len(operations))]
        needed = np.array([self.by_position[index] for index in running])
        free = {tensor: size - held[running] for tensor, (size, held) in self.planar.items()}
        kept = self.kept - self._facing(running, ())
        peak = max(kept, int(needed.max()))
        yield (), peak, False
        best, settling = peak, ""
        for tensor, unused in free.items():
            # What it is at its fullest moment it takes in any case.
            less = max(kept, int((needed - unused).max()))
            if less < best:
                best, settling = less, tensor
        if settling:
            yield (settling,), best, False
        every, least = tuple(free), int((needed - sum(free.values())).max())
        if len(free) > 1:
            less = max(self.kept - self._facing(running, every), least)
            if less < best:
                best = less
                yield every, less, False
        if best > least:
            less = max(self.kept - self._facing(running, every, floating=True), least)
            if less < best:
                yield every, less, True

    def _facing(self, running: Sequence[int], settling: Sequence[str], *, floating: bool = False) -> int:
        """Bytes that line buffers save that face each other; settling: of those that may hold planes.

        floating: whether one may float between two.
        """
        lines = [*self.settled.values(), *(self.planar[tensor] for tensor in settling)]
        lines = sorted(lines, key=lambda line: int(line[1].min()) - line[0])[:MATCHED]
        if len(lines) < 2:
            return 0
        sizes, held = [size for size, _ in lines], np.stack([held[running] for _, held in lines])
        return sum(sizes) - stacked_bytes(sizes, held) if floating else bytes_saved(sizes, held)

    def distance(self, row: int) -> int:
        """How far below the line buffers an output with rows of so many bytes has to begin, at least.

        They lie one above the other in the order in which they are done with.
        """
        distance = above = 0
        for rows, size in sorted(self.lines):
            distance = max(distance, rows * row - above)
            above += size
        return distance if self.lines else ENDLESS

    def add(self, index: int, nbytes: int) -> None:
        """Count bytes that are needed while one operation runs."""
        self.by_position[index] += nbytes

    def take(self, index: int) -> None:
        """Let the region begin with operation `index`: what it makes has a line buffer now, what it reads may not."""
        owner, operation = self.regions.owner, self.regions.operations[index]
        for reader, rows, size in self.windows.pop(operation.output, ()):
            self.add(reader, -owner.aligned(size))
            self.moving -= self.copies(reader, rows, size)
        self.hold(operation.output)
        self.add(index, owner.aligned(owner.settings.scratch.get(operation.name, 0)))
        for read in operation.reads:
            if read.tensor in owner.settings.pulled:
                self.hold(read.tensor)
                continue
            spec = owner.network.specs[read.tensor]
            size = window_bytes(read, operation, self.columns[operation.output], spec)
            rows = read.rows.span(operation.rows)
            self.add(index, owner.aligned(size))
            self.moving += self.copies(index, rows, size)
            self.windows.setdefault(read.tensor, []).append((index, rows, size))

    def copies(self, index: int, rows: int, nbytes: int) -> float:
        """Cost of copying so many bytes in rows at every call of an operation."""
        if not nbytes:
            return 0.0
        moving = self.regions.owner.costs.moving
        return self.regions.operations[index].calls * moving.rows(rows, nbytes // rows)

    def put_at_words(self, tensor: str, pitch: int) -> None:
        """Count what lies outside of a line buffer because calls cannot read or make it there."""
        regions = self.regions
        maker, operations, stream = regions.position(tensor), regions.operations, regions.stream
        made = made_bytes(maker, operations[maker], stream, pitch)
        self.add(maker, regions.owner.aligned(made))
        self.moving += self.copies(maker, operations[maker].rows, made)
        spec = regions.owner.network.specs[tensor]
        for index, operation in enumerate(operations[maker + 1 :], maker + 1):
            for read in operation.reads:
                if read.tensor == tensor:
                    size = shifted_bytes(index, read, operations, self.columns, stream, spec)
                    self.add(index, regions.owner.aligned(size))
                    self.moving += self.copies(index, read.rows.span(operation.rows), size)

    def hold(self, tensor: str) -> None:
        """Count the line buffer of a tensor, once."""
        if tensor not in self.regions.rows or tensor in self.held:
            return
        self.held.add(tensor)
        owner, (first, last) = self.regions.owner, self.regions.spans[tensor]
        spec = owner.network.specs[tensor]
        row = self.columns[tensor].width * pixel_bytes(spec)
        if tensor in owner.settings.pulled:
            operations, stream = self.regions.operations, self.regions.stream
            whole_rows = owner.settings.whole_rows
            fetched = fetched_row(tensor, operations, self.columns, stream, spec, whole_rows=whole_rows)
            row, fetch = fetched.line, self.regions.position(tensor)
            self.add(fetch, owner.aligned(fetched.beside))
            # Of a row that is fetched whole, the columns of the strip are copied.
            self.moving += self.copies(fetch, 1, row) if fetched.beside else 0.0
            self.moving += self.regions.events[fetch] * owner.costs.moving.event
        self.moving += self.regions.moves(tensor, row)
        self.put_at_words(tensor, row)
        size = owner.aligned(self.regions.rows[tensor] * row)
        users = users_of(self.regions.operations, tensor)
        self.lines.append((max(self.regions.rows_after[index] for index in users), size))
        if first < 0:
            self.kept += size
        settled = row % WORD == 0 and tensor in self.regions.settled
        needed = [owner.aligned(rows * row) for rows in self.regions.stream.held[tensor]]
        for index in range(max(first, 0), last + 1):
            self.add(index, needed[index] if settled else size)
        if first < 0 and row % WORD == 0:
            if settled and rises(self.regions.operations, self.regions.stream, tensor):
                self.settled[tensor] = size, np.array(needed)
            elif tensor in self.regions.may_settle:
                self.planar[tensor] = size, np.array(needed)
