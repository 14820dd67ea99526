"""Line buffers that float: one lies on the rows of another one that are needed, and moves where those come and go.

Two line buffers share bytes like stacks where they face each other (`facing.py`). A third one between them would be in
the way of one of the two, unless it moves: while the lower one is full it lies higher. To everything else both are one
buffer then, which another one may face.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from functools import lru_cache
from itertools import combinations, pairwise
from operator import add
from typing import NamedTuple

import numpy as np

from ..dialect.relax_api import Array
from .facing import Span
from .rows import RowStream

TRIED = 4
"""Pairs of line buffers of which one floats on the other that are tried, those that promise the most."""

STACK = 3
"""Line buffers that lie in one stack: two that face each other and one that floats between them."""


class Afloat(NamedTuple):
    """Spans of which one is two: `upper` floats on `lower`, whose name it has."""

    spans: list[Span]
    lower: Span
    upper: Span


def afloat(spans: Sequence[Span], names: Set[str]) -> list[Afloat]:
    """Ways to let one of two spans float on the other, those that promise the most first; names: those that may."""
    end = max((one.last for one in spans), default=-1)
    always = [one for one in spans if one.first == 0 and one.last == end and one.name in names]
    found = []
    for lower in always:
        for upper in always:
            if lower is upper or not upper.hung or not _has_room(lower, upper):
                continue
            held = tuple(map(add, lower.held, upper.held))
            both = Span(lower.name, max(held), 0, end, held)
            rest = [one for one in spans if one not in (lower, upper)]
            moved = sum(
                size
                for size, (one, other) in zip(upper.held, pairwise(lower.held), strict=False)
                if one != other
            )
            lines = [both, *(one for one in always if one in rest)]
            least = stacked_bytes([one.nbytes for one in lines], np.array([one.held for one in lines]), 2)
            found.append((least, moved, Afloat([*rest, both], lower, upper)))
    found.sort(key=lambda one: one[:2])
    return [one for _, _, one in found[:TRIED]]


def _has_room(lower: Span, upper: Span) -> bool:
    """Whether rows that move upwards never move to bytes that they come from."""
    least = min(lower.held)
    return least < lower.nbytes and all(
        high - below >= size
        for high, size in zip(lower.held, upper.held, strict=True)
        for below in set(lower.held)
        if high > below
    )


def shifts(stream: RowStream, lifts: Sequence[int]) -> Iterator[int]:
    """Positions of the operations before whose calls, or filled rows, a line buffer moves that floats.

    lifts: how high it lies while each operation runs.
    """
    for before, after in pairwise(stream.events):
        if lifts[before.operation] != lifts[after.operation]:
            yield after.operation


def stacked_bytes(nbytes: Sequence[int], held: Array, most: int = STACK) -> int:
    """Bytes that line buffers take at least in stacks of at most so many.

    nbytes: of each one. held: of each one (rows) the bytes that are needed while each operation runs (columns).
    """
    groups, ways = _ways(len(nbytes), most)
    sizes = np.array(
        [max(max(nbytes[one] for one in group), int(held[list(group)].sum(axis=0).max())) for group in groups]
    )
    return int((ways @ sizes).min())


@lru_cache
def _ways(count: int, most: int) -> tuple[list[tuple[int, ...]], Array]:
    """All groups of at most so many of `count` things, and which of them make up all things, one line per way."""
    groups = [group for size in range(1, most + 1) for group in combinations(range(count), size)]
    numbers = {group: number for number, group in enumerate(groups)}

    def ways(left: tuple[int, ...]) -> Iterator[list[int]]:
        if not left:
            yield []
            return
        first, *others = left
        for size in range(most):
            for more in combinations(others, size):
                group = numbers[tuple([first, *more])]
                rest = tuple(one for one in others if one not in more)
                yield from ([group, *way] for way in ways(rest))

    every = list(ways(tuple(range(count))))
    chosen = np.zeros((len(every), len(groups)), np.int64)
    for line, way in enumerate(every):
        chosen[line, way] = 1
    return groups, chosen
