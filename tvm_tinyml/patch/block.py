"""Where the buffers of a region lie in its block of memory.

A line buffer has room for the rows of its fullest moment, most often while one operator runs. While the others run,
few of its rows are needed. Rows that are needed move to its start as soon as its reader has passed the others, so that
its end is free, and buffers of single operators, or of one band of a segment, may lie there. That is one more case of
the rule of `memory.problem`: how far apart two starts must be depends on which of the two is the lower one.

The rows of another line buffer may lie there as well if they lie at its own end: two that are full at different times
then face each other like two stacks (`facing.py`). A third one may float between them (`floating.py`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, permutations
from types import MappingProxyType
from typing import NamedTuple

from ..memory import InPlace, Tensor
from ..memory.exact import place_exactly
from ..memory.greedy import first_fit
from ..memory.problem import Block, PlacementProblem, round_up
from .facing import Span, face_each_other
from .floating import afloat

EFFORT = 300
"""Of the exact search, for the block of one region."""

TIME_LIMIT = 60.0
"""Seconds, which that effort does not take anywhere: blocks do not depend on the machine."""

PERMUTED = 4
"""Buffers of a whole region of which all orders are tried; of more, a few."""


class Buffer(NamedTuple):
    """Bytes needed while operators `first` to `last` of a region run, by position; -1 is before all of them.

    held: bytes from its start on that are needed while each of the operators runs; empty: always all of them.
    can_rise: whether those can lie at its end instead.
    """

    name: str
    nbytes: int
    first: int
    last: int
    held: tuple[int, ...] = ()
    can_rise: bool = False


class Placed(NamedTuple):
    """Offsets of buffers in a block of `arena_bytes`.

    settled: buffers whose free end others use: their rows have to move to the start as soon as that is possible.
    raised: buffers whose free start others use: their rows have to lie at the end at all times.
    cuts: bytes between which no buffer lies on both sides, upwards, at which the block may be taken apart.
    lifts: of line buffers that float (`floating.py`), how high above their offsets they lie while each operation runs.
    below: of every piece between the cuts, how many bytes below it the output of the region has to begin, at least;
        empty where the output may not lie over any of it.
    """

    offsets: dict[str, int]
    arena_bytes: int
    settled: frozenset[str]
    cuts: tuple[int, ...] = ()
    raised: frozenset[str] = frozenset()
    below: tuple[int, ...] = ()
    lifts: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @property
    def distance(self) -> int | None:
        """How many bytes below the block in one piece the output has to begin, at least; None as for `below`."""
        if not self.below:
            return None
        return max(below - begin for below, begin in zip(self.below, (0, *self.cuts), strict=True))

    def permissions(self, block: str, output: str) -> Iterator[InPlace]:
        """Where `output` may lie over the scratch `block` of a program, in one piece or taken apart."""
        if self.distance is None:
            return
        whole = Tensor(block, self.arena_bytes, 1, self.cuts)
        yield InPlace(block, output, max(0, self.distance))
        if self.cuts:
            for piece, below in zip(whole.pieces, self.below, strict=True):
                yield InPlace(piece.name, output, below)

    def beside(self, written: Mapping[str, int]) -> Placed:
        """The same with the pieces in the order in which they are done with, so that an output may lie over them.

        written: bytes of the output that are made when each buffer is used for the last time.
        """
        begins, ends = (0, *self.cuts), (*self.cuts, self.arena_bytes)
        below = [0] * len(begins)
        for name, offset in self.offsets.items():
            piece = bisect_right(begins, offset) - 1
            below[piece] = max(below[piece], written[name] - (offset - begins[piece]))
        order = sorted(range(len(begins)), key=below.__getitem__)
        sizes = [ends[piece] - begins[piece] for piece in order]
        tops = list(accumulate(sizes))
        starts = dict(zip(order, (0, *tops), strict=False))
        moved = self.apart([starts[piece] for piece in range(len(begins))])
        return moved._replace(cuts=tuple(tops[:-1]), below=tuple(below[piece] for piece in order))

    def apart(self, starts: Sequence[int]) -> Placed:
        """The same with the pieces between the cuts at other places."""
        begins = (0, *self.cuts)
        offsets = {}
        for name, offset in self.offsets.items():
            piece = bisect_right(begins, offset) - 1
            offsets[name] = starts[piece] + offset - begins[piece]
        return self._replace(offsets=offsets, cuts=())


def place(
    buffers: Sequence[Buffer],
    operations: int,
    alignment: int,
    inner: Sequence[tuple[int, Sequence[Buffer], int]],
    *,
    floating: bool = False,
    written: Mapping[str, int] | None = None,
) -> Placed:
    """Offsets of the buffers of a region of so many operations.

    inner: those of its segments: the position of each, its buffers, and how many operations it has.
    floating: whether a line buffer may float on another one.
    written: as in `Placed.beside`, where the output may lie over buffers: what it needs below them counts as well.
    """
    every = list(_spans(buffers, operations, alignment, inner))
    placed = _smallest(buffers, every, alignment, floating=floating, written=written or {})
    return placed.beside(written) if written and every else placed


def _smallest(
    buffers: Sequence[Buffer],
    every: Sequence[Span],
    alignment: int,
    *,
    floating: bool,
    written: Mapping[str, int],
) -> Placed:
    """The best block of all spans, floating ones included; written: empty where the output does not count."""
    least = _needed(every) + min(written.values(), default=0)
    best, chosen = _arranged(every, alignment, least, written), None
    lines = {one.name for one in buffers if one.held}
    for way in afloat(every, lines) if floating and best.size > least else ():
        both = max(written.get(way.lower.name, 0), written.get(way.upper.name, 0))
        found = _arranged(way.spans, alignment, least, {**written, way.lower.name: both} if written else {})
        if found.size < best.size:
            best, chosen = found, way
    placed = _placed(best)
    if chosen is None:
        return placed
    lower, upper = chosen.lower.name, chosen.upper.name
    (held,) = (one.held for one in buffers if one.name == lower)
    lifts = tuple(round_up(size, alignment) for size in held)
    return placed._replace(
        offsets=placed.offsets | {upper: placed.offsets[lower]},
        settled=placed.settled | {lower, upper},
        lifts={upper: lifts},
    )


class _Arranged(NamedTuple):
    """Spans, the problem that they are and its best solution.

    size: bytes of the block, and how far below it an output has to begin that lies over it.
    """

    spans: Sequence[Span]
    problem: PlacementProblem
    offsets: list[int]
    size: int


def _arranged(spans: Sequence[Span], alignment: int, least: int, written: Mapping[str, int]) -> _Arranged:
    """Spans in a block, some of which may face each other; least: `size` in any case."""

    def found(spans: Sequence[Span], problem: PlacementProblem, offsets: list[int]) -> _Arranged:
        size = problem.arena_bytes(offsets)
        if written:
            named = dict(zip((one.name for one in spans), offsets, strict=True))
            placed = Placed(named, size, frozenset(), tuple(_cuts(spans, offsets))).beside(written)
            size += max(0, placed.distance or 0)
        return _Arranged(spans, problem, offsets, size)

    problem = _problem(spans, alignment)
    best = found(spans, problem, _offsets(spans, problem))
    above, turned = min(written.values(), default=0), _Turned(problem)
    for way in face_each_other(spans) if best.size > least else ():
        if best.size <= max(least, way.least + above):
            break
        changed = turned.problem_of(way.spans)
        for order in _above(way.spans, way.lower):
            other = found(way.spans, changed, first_fit(changed, order))
            if other.size < best.size:
                best = other
    return best


def _placed(best: _Arranged) -> Placed:
    """Where everything lies, and what that asks of line buffers."""
    spans, problem, offsets, _ = best
    settled, raised = set(), set()
    for index, one in enumerate(spans):
        for number, distance in problem.spacing[index].items():
            apart, other = offsets[number] - offsets[index], spans[number]
            if not -other.nbytes < apart < one.nbytes or apart < distance:
                continue
            # The other one is above, and their bytes are the same.
            if not one.raised and one.nbytes > apart + other.bottom(one):
                settled.add(one.name)
            if other.raised and apart < one.top(other):
                raised.add(other.name)
    named = dict(zip((one.name for one in spans), offsets, strict=True))
    cuts = tuple(_cuts(spans, offsets))
    return Placed(named, problem.arena_bytes(offsets), frozenset(settled), cuts, frozenset(raised))


def least_bytes(
    buffers: Sequence[Buffer],
    operations: int,
    alignment: int,
    inner: Sequence[tuple[int, Sequence[Buffer], int]],
) -> int:
    """Bytes that the block of `place` takes at least."""
    spans = list(_spans(buffers, operations, alignment, inner))
    # The first way to let buffers face each other saves the most.
    way = next(face_each_other(spans), None)
    return max(_needed(spans), _whole(spans) if way is None else way.least)


def _cuts(spans: Sequence[Span], offsets: Sequence[int]) -> Iterator[int]:
    top = 0
    for start, span in sorted(zip(offsets, spans, strict=True)):
        if start >= top > 0:
            yield start
        top = max(top, start + span.nbytes)


def _spans(
    buffers: Sequence[Buffer],
    operations: int,
    alignment: int,
    inner: Sequence[tuple[int, Sequence[Buffer], int]],
) -> Iterator[Span]:
    """All buffers on one axis of time, on which a segment takes as long as it has operators."""
    lengths = [1] * (operations + 1)
    for position, _, count in inner:
        lengths[position + 1] = count
    begins = [0]
    for length in lengths:
        begins.append(begins[-1] + length)

    def span(one: Buffer, nbytes: int, first: int, held: Sequence[int]) -> Span:
        least = tuple(min(nbytes, round_up(size, alignment)) for size in held)
        # What is free below rows at the end is used in units of the alignment as well.
        free = (max(0, one.nbytes - size) // alignment * alignment for size in held if one.can_rise)
        hung = tuple(nbytes - below for below in free)
        return Span(one.name, nbytes, first, first + len(held) - 1, least, hung)

    for one in buffers:
        nbytes = round_up(one.nbytes, alignment)
        held: list[int] = []
        for position in range(one.first, one.last + 1):
            now = one.held[position] if one.held and position >= 0 else nbytes
            held += [now] * lengths[position + 1]
        if one.held and one.first < 0:
            held[0] = held[1]
        yield span(one, nbytes, begins[one.first + 1], held)
    for position, within, count in inner:
        for one in within:
            nbytes = round_up(one.nbytes, alignment)
            first, last = (0, count - 1) if one.first < 0 else (one.first, one.last)
            held = list(one.held[first : last + 1]) if one.held else [nbytes] * (last - first + 1)
            yield span(one, nbytes, begins[position + 1] + first, held)


def _offsets(spans: Sequence[Span], problem: PlacementProblem) -> list[int]:
    best: list[int] = []
    for order in _orders(spans):
        offsets = first_fit(problem, order)
        if not best or problem.arena_bytes(offsets) < problem.arena_bytes(best):
            best = offsets
        if problem.arena_bytes(best) <= problem.least:
            return best
    return place_exactly(problem, best, time_limit=TIME_LIMIT, effort=EFFORT).offsets if best else []


def _problem(spans: Sequence[Span], alignment: int) -> PlacementProblem:
    spacing: list[dict[int, int]] = [{} for _ in spans]
    for index, one in enumerate(spans):
        for number in range(index):
            other = spans[number]
            if one.meets(other):
                spacing[index][number] = one.beside(other)
                spacing[number][index] = other.beside(one)
    blocks = tuple(Block(one.name, one.nbytes, alignment, one.first, one.last) for one in spans)
    return PlacementProblem(blocks, tuple(spacing), alignment, least=max(_whole(spans), _needed(spans)))


class _Turned:
    """Problems of the same spans of which some are raised; distances between two of them are kept."""

    def __init__(self, problem: PlacementProblem) -> None:
        self.problem = problem
        self.known: dict[tuple[int, int, bool, bool], tuple[int, int]] = {}

    def problem_of(self, spans: Sequence[Span]) -> PlacementProblem:
        """The problem where those spans are raised that are now."""
        spacing = [dict(row) for row in self.problem.spacing]
        for index, one in enumerate(spans):
            for number in spacing[index] if one.raised else ():
                other = spans[number]
                key = index, number, one.raised, other.raised
                if key not in self.known:
                    self.known[key] = one.beside(other), other.beside(one)
                spacing[index][number], spacing[number][index] = self.known[key]
        return replace(self.problem, spacing=tuple(spacing))


def _whole(spans: Sequence[Span]) -> int:
    """Bytes of what is there all the time."""
    end = max((one.last for one in spans), default=-1)
    return sum(one.nbytes for one in spans if one.last - one.first == end)


def _needed(spans: Sequence[Span]) -> int:
    """Most bytes that are needed at one time."""
    needed = [0] * (max((one.last for one in spans), default=-1) + 1)
    for one in spans:
        for time, size in enumerate(one.held, one.first):
            needed[time] += size
    return max(needed, default=0)


def _orders(spans: Sequence[Span]) -> Iterator[list[int]]:
    """Orders for first fit: what is there all the time first, then the others, the largest first."""
    end = max((one.last for one in spans), default=-1)
    always = [index for index, one in enumerate(spans) if one.first == 0 and one.last == end]
    # What has the largest free end goes on top, where all of it can be used.
    always.sort(key=lambda index: (spans[index].nbytes - min(spans[index].held), spans[index].nbytes))
    for lower in permutations(always) if len(always) <= PERMUTED else [tuple(always), tuple(always[::-1])]:
        yield from _above(spans, lower)


def _above(spans: Sequence[Span], lower: Sequence[int]) -> Iterator[list[int]]:
    """Orders that go on from the first ones."""
    others = [index for index in range(len(spans)) if index not in lower]
    keys: tuple[Callable[[int], tuple[int, ...]], ...] = (
        lambda index: (-spans[index].nbytes, spans[index].first),
        lambda index: (spans[index].first - spans[index].last, -spans[index].nbytes),
    )
    for key in keys:
        yield [*lower, *sorted(others, key=key)]
