"""How rows stream through a region: the order of the calls, and the size of every line buffer.

Rows are made on demand (StreamNet, Zheng et al., NeurIPS 2023): before an operation is called, the operations that
make what it reads are called until the rows are there; a segment of operators counts as one operation. A line buffer
holds consecutive rows, those outside the image included; where the next rows have no room, the rows that are still
needed move to its start. Both are functions of the geometry alone, so the same small simulation gives the order at
compile time and what the generated code will do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from ..dialect.relax_api import Array
from .geometry import PIXEL, Operation, Read, Sliding

REMEMBERED = 1 << 14
"""Orders kept: a search of plans asks for the same geometry wherever layers of equal heights follow each other."""


@dataclass(frozen=True)
class LineBuffer:
    """Rows of one tensor kept in memory.

    rows: capacity. above: rows above the image which readers see, filled before the first call.
    """

    tensor: str
    rows: int
    above: int


@dataclass(frozen=True)
class Event:
    """One entry of the order: a call of operation `operation`, or one row below the image of what it makes."""

    operation: int
    fills: bool = False


@dataclass(frozen=True)
class RowStream:
    """What happens while a region runs over all rows once.

    operations: what runs. events: the order.
    buffers: line buffers of the tensors that are made and read inside, by tensor.
    held: most rows of each that are needed while an operation runs, those that it makes included; one number for
        every operation.
    """

    operations: tuple[Operation, ...]
    events: tuple[Event, ...]
    buffers: dict[str, LineBuffer]
    held: dict[str, tuple[int, ...]]
    _order: _Order = field(repr=False, compare=False)

    @cached_property
    def read_slots(self) -> dict[tuple[int, str], frozenset[int]]:
        """Rows of a line buffer at which windows start, by operation and tensor; none of one that is never called."""
        slots = self._order.read_slots
        return {(index, self.operations[maker].output): found for (index, maker), found in slots.items()}

    @property
    def write_slots(self) -> dict[int, frozenset[int]]:
        """Rows of its line buffer at which an operation's calls store, by operation; none where it is never called."""
        return self._order.write_slots

    def stays(self, index: int) -> bool:
        """Whether every row that operation `index` makes is stored, and every window on it begins, at the start."""
        return self._order.stays[index]

    @property
    def times(self) -> tuple[int, ...]:
        """How often each operation is called."""
        return self._order.times

    @property
    def fills(self) -> tuple[int, ...]:
        """Rows below the image of what each operation makes."""
        return self._order.fills


class _Geometry(NamedTuple):
    """What the order of rows depends on, of one operation.

    reads: position of the maker, stride, first row and extent of every window over what is made inside.
    """

    height: int
    rows: int
    lead: int
    banded: bool
    reads: tuple[tuple[int, int, int, int], ...]


def stream_rows(operations: Sequence[Operation]) -> RowStream:
    """The order of calls of a region, on demand of its last operation, with the least capacities it allows.

    operations: in execution order; every tensor made by one of them and read by a later one gets a line buffer.
    """
    maker = {one.output: index for index, one in enumerate(operations)}
    order = _order_of(
        tuple(
            _Geometry(
                one.height,
                one.rows,
                one.lead,
                bool(one.members),
                tuple(
                    (maker[read.tensor], read.rows.stride, read.rows.first, read.rows.extent)
                    for read in one.reads
                    if read.tensor in maker
                ),
            )
            for one in operations
        )
    )
    names = [one.output for one in operations]
    buffers = {names[one]: LineBuffer(names[one], rows, above) for one, (rows, above) in order.lines.items()}
    held = {names[one]: rows for one, rows in order.held.items()}
    return RowStream(tuple(operations), order.events, buffers, held, order)


def users_of(operations: Sequence[Operation], tensor: str) -> list[int]:
    """Positions of who makes a tensor and of its readers."""
    return [
        index
        for index, one in enumerate(operations)
        if one.output == tensor or any(read.tensor == tensor for read in one.reads)
    ]


def rows_after(operations: Sequence[Operation], stream: RowStream, *, fills: bool = True) -> list[int]:
    """Rows that the last operation has made when each operation has run for the last time.

    fills: or when the last row below the image of what it makes has been filled.
    """
    rows, last = [0] * len(operations), operations[-1]
    for event in stream.events:
        if event.operation == len(operations) - 1:
            rows[-1] = min(rows[-1] + last.made(rows[-1]), last.height)
        if fills or not event.fills:
            rows[event.operation] = rows[-1]
    return rows


@dataclass(frozen=True)
class _Order:
    """What a `RowStream` says, of operations by their positions.

    lines: capacity of every line buffer, and rows of it above the image.
    """

    operations: tuple[Operation, ...]
    events: tuple[Event, ...]
    lines: dict[int, tuple[int, int]]
    held: dict[int, tuple[int, ...]]

    @cached_property
    def _replay(self) -> _Replay:
        replay = _Replay(self.operations, {_name(one): line for one, line in self.lines.items()})
        for event in self.events:
            replay.run(event)
        return replay

    @cached_property
    def read_slots(self) -> dict[tuple[int, int], frozenset[int]]:
        """`RowStream.read_slots`."""
        found = self._replay.read_slots
        return {
            (index, int(read.tensor)): frozenset(found.get((index, read.tensor), ()))
            for index, one in enumerate(self.operations)
            for read in one.reads
        }

    @cached_property
    def write_slots(self) -> dict[int, frozenset[int]]:
        """`RowStream.write_slots`."""
        stored = self._replay.write_slots
        return {one: frozenset(stored.get(one, ())) for one in sorted(self.lines)}

    @cached_property
    def stays(self) -> tuple[bool, ...]:
        """`RowStream.stays`, of every operation."""
        slots = [set(self.write_slots.get(index, ())) for index in range(len(self.operations))]
        for (_, maker), found in self.read_slots.items():
            slots[maker] |= found
        return tuple(found == {0} for found in slots)

    @cached_property
    def times(self) -> tuple[int, ...]:
        """`RowStream.times`."""
        return self._counted(fills=False)

    @cached_property
    def fills(self) -> tuple[int, ...]:
        """`RowStream.fills`."""
        return self._counted(fills=True)

    def _counted(self, *, fills: bool) -> tuple[int, ...]:
        found = Counter(event.operation for event in self.events if event.fills == fills)
        return tuple(found[index] for index in range(len(self.operations)))


@lru_cache(maxsize=REMEMBERED)
def _order_of(geometry: tuple[_Geometry, ...]) -> _Order:
    operations = tuple(_stand_in(index, one) for index, one in enumerate(geometry))
    demand = _Demand(operations)
    for _ in range(operations[-1].calls):
        demand.call(len(operations) - 1)
    lines = {}
    for tensor in demand.readers.of:
        # Windows that lie in the padding above the image alone need no row that is made.
        demand.capacity.setdefault(tensor, 0)
    for tensor, rows in demand.capacity.items():
        # The rows above the image are there together, even if they are read one after the other.
        above = demand.readers.above(tensor)
        lines[int(tensor)] = max(rows, above), above
    held = {int(tensor): rows for tensor, rows in demand.held.items()}
    return _Order(operations, tuple(demand.events), lines, held)


def _stand_in(index: int, geometry: _Geometry) -> Operation:
    """An operation of the geometry that makes a tensor named by its position."""
    name, (height, rows, lead, banded, windows) = _name(index), geometry
    reads = tuple(Read(_name(maker), Sliding(*window), PIXEL) for maker, *window in windows)
    members = (Operation(name, name, height, 1, 1, ()),) if banded else ()
    return Operation(name, name, height, 1, rows, reads, members, lead)


def _name(index: int) -> str:
    return str(index)


class Readers:
    """Who reads the tensors that are made inside a region."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self.maker = {operation.output: index for index, operation in enumerate(operations)}
        self.of: dict[str, list[tuple[int, Read]]] = {}
        for index, operation in enumerate(operations):
            for read in operation.reads:
                if read.tensor in self.maker:
                    self.of.setdefault(read.tensor, []).append((index, read))
        self._above = {tensor: self._most_above(tensor) for tensor in self.of}
        self._begins = {
            tensor: [(index, read.rows.stride, read.rows.first) for index, read in readers]
            for tensor, readers in self.of.items()
        }

    def _most_above(self, tensor: str) -> int:
        read = (-read.rows.first for index, read in self.of[tensor] if not self.operations[index].members)
        return max((0, *read))

    def above(self, tensor: str) -> int:
        """Rows above the image that are read."""
        return self._above[tensor]

    def keep(self, tensor: str, done: Sequence[int]) -> int:
        """First row that is still needed when operation `i` has made `done[i]` rows."""
        least = min([done[index] * stride + first for index, stride, first in self._begins[tensor]])
        return max(least, -self._above[tensor])

    def kept(self, tensor: str, done: Array) -> Array:
        """Rows of a tensor that are still needed, for every line of `done`."""
        least = np.min(
            [done[:, index] * stride + first for index, stride, first in self._begins[tensor]], axis=0
        )
        made: Array = done[:, self.maker[tensor]]
        kept: Array = made - np.minimum(np.maximum(least, -self._above[tensor]), made)
        return kept


@dataclass
class _Demand:
    """Calls on demand; `done` is the next row of each operation, rows below the image included.

    made: rows of every event; advanced: those of them that count.
    """

    operations: Sequence[Operation]
    events: list[Event] = field(default_factory=list)
    made: list[int] = field(default_factory=list)
    advanced: list[int] = field(default_factory=list)
    capacity: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers = Readers(self.operations)
        self.done = [0] * len(self.operations)
        self.calls = [Event(index) for index in range(len(self.operations))]
        self.fills = [Event(index, fills=True) for index in range(len(self.operations))]

    def call(self, index: int) -> None:
        operation = self.operations[index]
        for read in operation.reads:
            if read.tensor in self.readers.maker:
                height = self.operations[self.readers.maker[read.tensor]].height
                self._require(read.tensor, operation.reach(read, self.done[index], height))
        made = operation.made(self.done[index])
        self._make_room(operation.output, index, made)
        self._note(self.calls[index], made, min(made, operation.height - self.done[index]))

    def _note(self, event: Event, made: int, advanced: int) -> None:
        self.done[event.operation] += advanced
        self.events.append(event)
        self.made.append(made)
        self.advanced.append(advanced)

    def _require(self, tensor: str, end: int) -> None:
        maker = self.readers.maker[tensor]
        while self.done[maker] < end:
            if self.done[maker] < self.operations[maker].height:
                self.call(maker)
                continue
            self._make_room(tensor, maker, 1)
            self._note(self.fills[maker], 1, 1)

    def _make_room(self, tensor: str, maker: int, rows: int) -> None:
        if tensor in self.readers.of:
            kept = min(self.readers.keep(tensor, self.done), self.done[maker])
            self.capacity[tensor] = max(self.capacity.get(tensor, 0), self.done[maker] + rows - kept)

    @property
    def held(self) -> dict[str, tuple[int, ...]]:
        """`RowStream.held` of the events so far."""
        index = np.array([event.operation for event in self.events])
        made = np.array(self.made)
        done = np.zeros((len(index), len(self.operations)), np.int64)
        done[np.arange(1, len(index)), index[:-1]] = self.advanced[:-1]
        done = done.cumsum(axis=0)
        found = {}
        for tensor in self.capacity:
            rows = self.readers.kept(tensor, done) + made * (index == self.readers.maker[tensor])
            most = np.zeros(len(self.operations), np.int64)
            np.maximum.at(most, index, rows)
            found[tensor] = tuple(most.tolist())
        return found


class _Replay:
    """The order again with line buffers of fixed capacity, to see where in them every call reads and writes."""

    def __init__(self, operations: Sequence[Operation], lines: dict[str, tuple[int, int]]) -> None:
        self.operations = operations
        self.rows = {tensor: rows for tensor, (rows, _) in lines.items()}
        self.readers = Readers(operations)
        self.done = [0] * len(operations)
        self.first = {tensor: -above for tensor, (_, above) in lines.items()}
        self.read_slots: dict[tuple[int, str], set[int]] = {}
        self.write_slots: dict[int, set[int]] = {}

    def run(self, event: Event) -> None:
        index = event.operation
        operation = self.operations[index]
        rows = 1 if event.fills else operation.made(self.done[index])
        if not event.fills:
            for read in operation.reads:
                if read.tensor in self.first:
                    slot = read.rows.begin(self.done[index]) - self.first[read.tensor]
                    self.read_slots.setdefault((index, read.tensor), set()).add(slot)
        if operation.output in self.first:
            self._make_room(operation.output, index, rows)
            if not event.fills:
                slot = self.done[index] - self.first[operation.output]
                self.write_slots.setdefault(index, set()).add(slot)
        reached = self.done[index] + rows
        self.done[index] = reached if event.fills else min(reached, operation.height)

    def _make_room(self, tensor: str, maker: int, rows: int) -> None:
        if self.done[maker] + rows - self.first[tensor] > self.rows[tensor]:
            self.first[tensor] = min(self.readers.keep(tensor, self.done), self.done[maker])
