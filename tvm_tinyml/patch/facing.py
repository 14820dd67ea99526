"""Line buffers that face each other: the rows of one lie at its start, those of the other at its end.

Two line buffers are seldom full at the same time: one is about to be read where the other has just been read. Placed
like two stacks that grow towards each other they take what both need at the worst moment, not what each does at its
own. A buffer faces at most one other one: which, is a matching of the most bytes that are saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations
from operator import add
from typing import NamedTuple

import numpy as np

from ..dialect.relax_api import Array

MATCHED = 6
"""Line buffers of one region that are matched, those with the most free bytes."""

STACKED = 2
"""Pairs of which all orders are tried, one pair above the other; of more, one order."""


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


def face_each_other(spans: Sequence[Span]) -> Iterator[tuple[list[Span], list[int]]]:
    """Spans of which some are raised, each time with an order for those of whole regions: one pair above the other.

    Nothing where no two can face each other.
    """
    end = max((one.last for one in spans), default=-1)
    always = [index for index, one in enumerate(spans) if one.first == 0 and one.last == end]
    free = [index for index in always if spans[index].hung and min(spans[index].held) < spans[index].nbytes]
    free.sort(key=lambda index: min(spans[index].held) - spans[index].nbytes)
    pairs = _matched(spans, sorted(free[:MATCHED]))
    paired = {index for pair in pairs for index in pair}
    rest = [index for index in always if index not in paired]
    for stack in permutations(pairs) if 0 < len(pairs) <= STACKED else [pairs] if pairs else []:
        for turn in (1, -1):
            turned = list(spans)
            for pair in stack:
                upper = pair[::turn][1]
                turned[upper] = turned[upper]._replace(raised=True)
            yield turned, [*rest, *(index for pair in stack for index in pair[::turn])]


def _matched(spans: Sequence[Span], free: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Pairs of spans that save the most bytes together."""

    def saved(one: int, other: int) -> int:
        lower, upper = spans[free[one]], spans[free[other]]
        together = max(held + hung for held, hung in zip(lower.held, upper.hung, strict=True))
        return lower.nbytes + upper.nbytes - max(together, lower.nbytes, upper.nbytes)

    found = matched([[saved(one, other) for other in range(len(free))] for one in range(len(free))])[1]
    return tuple((free[one], free[other]) for one, other in found)


def bytes_saved(nbytes: Sequence[int], held: Array) -> int:
    """Bytes that line buffers of so many bytes save if they face each other, about.

    held: of each one (rows) the bytes that are needed while each operator runs (columns).
    """
    both = (held[:, None] + held[None]).max(axis=2)
    size = np.array(nbytes)
    least = np.maximum(both, np.maximum(size[:, None], size[None]))
    return matched((size[:, None] + size[None] - least).tolist())[0]


def matched(saved: Sequence[Sequence[int]]) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Most bytes that disjoint pairs save together, and those pairs; saved: bytes that each two of them save."""

    @cache
    def best(left: tuple[int, ...]) -> tuple[int, tuple[tuple[int, int], ...]]:
        if len(left) < 2:
            return 0, ()
        one, *others = left
        found = best(tuple(others))
        for other in others:
            if saved[one][other] > 0:
                more, pairs = best(tuple(index for index in others if index != other))
                found = max(found, (saved[one][other] + more, ((one, other), *pairs)))
        return found

    return best(tuple(range(len(saved))))
