"""Line buffers that face each other: the rows of one lie at its start, those of the other at its end.

Two line buffers are seldom full at the same time: one is about to be read where the other has just been read. Placed
like two stacks that grow towards each other they take what both need at the worst moment, not what each does at its
own. A buffer faces at most one other one: which, is a matching that saves many bytes. Not always the one that saves the
most: what single operators need must find its place as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from operator import add
from typing import NamedTuple

import numpy as np

from ..dialect.relax_api import Array

MATCHED = 6
"""Line buffers of one region that are matched, those with the most free bytes."""

STACKED = 2
"""Pairs of which all orders are tried, one pair above the other; of more, one order."""

TRIED = 3
"""Matchings that are tried, those that save the most."""


class Span(NamedTuple):
    """A buffer with its times, and bytes for each of them.

    held: needed from the start on; hung: needed up to the end where rows lie there, empty where they cannot.
    raised: rows lie at the end.
    """

    name: str
    nbytes: int
    first: int
    last: int
    held: tuple[int, ...]
    hung: tuple[int, ...] = ()
    raised: bool = False

    def meets(self, other: Span) -> bool:
        """Whether both are there at some time."""
        return self.first <= other.last and other.first <= self.last

    def beside(self, other: Span) -> int:
        """Bytes from the start of this one to that of another one above it."""
        if not other.raised:
            return self.top(other)
        if self.raised:
            return self.nbytes - other.bottom(self)
        first, last = self._both(other)
        held = self.held[first - self.first : last - self.first + 1]
        together: int = max(map(add, held, other.hung[first - other.first :]))
        return together - other.nbytes

    def top(self, other: Span) -> int:
        """Bytes from its start to the end of what is needed while another one is there, at most."""
        if self.raised:
            return self.nbytes
        first, last = self._both(other)
        return max(self.held[first - self.first : last - self.first + 1])

    def bottom(self, other: Span) -> int:
        """Bytes from its start to what is needed while another one is there, at least."""
        if not self.raised:
            return 0
        first, last = self._both(other)
        return self.nbytes - max(self.hung[first - self.first : last - self.first + 1])

    def _both(self, other: Span) -> tuple[int, int]:
        """First and last time of both."""
        return max(self.first, other.first), min(self.last, other.last)


class Facing(NamedTuple):
    """Spans of which some are raised; lower: those of whole regions in an order with one pair above the other.

    least: bytes that those of whole regions take at least.
    """

    spans: list[Span]
    lower: list[int]
    least: int


def face_each_other(spans: Sequence[Span]) -> Iterator[Facing]:
    """Ways to let spans face each other, those that save the most first; none where no two can."""
    end = max((one.last for one in spans), default=-1)
    always = [index for index, one in enumerate(spans) if one.first == 0 and one.last == end]
    free = [index for index in always if min(spans[index].held) < spans[index].nbytes]
    free.sort(key=lambda index: min(spans[index].held) - spans[index].nbytes)
    whole = sum(spans[index].nbytes for index in always)
    for saved, pairs in _matchings(spans, sorted(free[:MATCHED])):
        paired = {index for pair in pairs for index in pair}
        rest = [index for index in always if index not in paired]
        for stack in permutations(pairs) if len(pairs) <= STACKED else [pairs]:
            ways = ([way for way in (pair, pair[::-1]) if spans[way[1]].hung] for pair in stack)
            for way in product(*ways):
                turned = list(spans)
                for _, upper in way:
                    turned[upper] = turned[upper]._replace(raised=True)
                lower = [*rest, *(index for pair in way for index in pair)]
                yield Facing(turned, lower, whole - saved)


def _matchings(spans: Sequence[Span], free: Sequence[int]) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Bytes that pairs of spans save together, many, and those pairs; those that save the most first."""

    def saved(one: int, other: int) -> int:
        lower, upper = sorted((spans[free[one]], spans[free[other]]), key=lambda span: len(span.hung) > 0)
        if not upper.hung:
            return 0
        together = max(held + hung for held, hung in zip(lower.held, upper.hung, strict=True))
        return lower.nbytes + upper.nbytes - max(together, lower.nbytes, upper.nbytes)

    numbers = range(len(free))
    for bytes_, pairs in matchings([[saved(one, other) for other in numbers] for one in numbers])[:TRIED]:
        yield bytes_, [(free[one], free[other]) for one, other in pairs]


def bytes_saved(nbytes: Sequence[int], held: Array) -> int:
    """Bytes that line buffers of so many bytes save if they face each other, about.

    held: of each one (rows) the bytes that are needed while each operator runs (columns).
    """
    both = (held[:, None] + held[None]).max(axis=2)
    size = np.array(nbytes)
    least = np.maximum(both, np.maximum(size[:, None], size[None]))
    return max((found for found, _ in matchings((size[:, None] + size[None] - least).tolist())), default=0)


def matchings(saved: Sequence[Sequence[int]]) -> list[tuple[int, tuple[tuple[int, int], ...]]]:
    """All ways to put some of them into pairs, each with the bytes that its pairs save, most first.

    saved: bytes that each two of them save; two that save nothing are no pair.
    """

    def ways(left: Sequence[int]) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
        if len(left) < 2:
            yield 0, ()
            return
        one, *others = left
        yield from ways(others)
        for other in others:
            if saved[one][other] > 0:
                for more, pairs in ways([index for index in others if index != other]):
                    yield saved[one][other] + more, ((one, other), *pairs)

    found = [way for way in ways(range(len(saved))) if way[1]]
    return sorted(found, key=lambda way: -way[0])
