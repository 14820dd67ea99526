"""Paths to the cuts of an order: ways to make a plan up to there, as arrays.

There are a thousand ways to a cut and as many parts that go on from it, of which few are kept; so what a part makes of
all of them is computed at once.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..dialect.relax_api import Array
from .parts import ENDLESS, Part

FRONT = 400
"""Paths kept per cut."""

LITTLE = 16
"""Share of its peak by which the reach of a path must be better to keep it beside one with less peak and work, where
more than MANY paths lead to a cut."""

MANY = 2000

CHUNK = 1024
"""Paths that are compared at once with those that are kept already."""


class Path(NamedTuple):
    """A way to a cut; the work counts multiply-accumulates first, calls second."""

    peak: int
    macs: int
    calls: int
    part: Part | None
    before: Path | None


class Paths(NamedTuple):
    """Ways to one cut.

    reach: least end of the tensor made last, if everything that it and its like lie in the place of lies above it: a
        row of outputs, each in the place of the one before, moves down by the sum of the distances.
    part: number of the last part among those that end there. before: of the path in front of it, at its cut.
    """

    peak: Array
    macs: Array
    calls: Array
    reach: Array
    part: Array
    before: Array

    def taken(self, chosen: Array) -> Paths:
        """Some of them."""
        return Paths(*(one[chosen] for one in self))

    def through(
        self, part: Part, number: int, made: str, source_bytes: int, always: int = 0, *, apart: bool = False
    ) -> Paths:
        """The ways on through `part`, which is number `number` of its cut.

        made: the tensor in front of the cut where it begins. source_bytes: of the part's source.
        always: `Parts.always`, which no row of outputs moves across.
        apart: nothing else lies where a row of outputs has moved away from, nor where it will move to.
        """
        least, further = part.reach(made, source_bytes)
        reach = np.maximum(least, self.reach + further)
        peak = np.maximum(np.maximum(self.peak, part.peak), reach + always)
        if apart and part.source:
            more = part.peak - max(part.output, part.distance + source_bytes)
            peak = np.maximum(peak, reach + more)
        which, before = np.full_like(reach, number), np.arange(len(reach))
        return Paths(peak, self.macs + part.macs, self.calls + part.calls, reach, which, before)


class Staircase:
    """Pairs of numbers of which none is at least another one in both: the first numbers rise, the second ones fall."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def beats(self, first: int, second: int, slack: int = 0) -> bool:
        """Whether a pair that was added has no larger first number, and a second one larger by no more than `slack`."""
        place = bisect_right(self.steps, (first, second))
        return place > 0 and self.steps[place - 1][1] <= second + slack

    def beat_each(self, first: Array, second: Array) -> Array:
        """Which of many pairs are no smaller in the second number than one with a smaller first number."""
        kept = np.array([(-1, ENDLESS), *self.steps], np.int64)
        beaten: Array = kept[np.searchsorted(kept[:, 0], first, "left") - 1, 1] <= second
        return beaten

    def add(self, first: int, second: int) -> None:
        """Add a pair that none beats with the same second number; those that it beats go."""
        place = end = bisect_right(self.steps, (first, second))
        while end < len(self.steps) and self.steps[end][1] >= second:
            end += 1
        self.steps[place:end] = [(first, second)]


def at_start() -> Paths:
    """The one path to the first cut."""
    return Paths(*(np.zeros(1, np.int64) for _ in Paths._fields))


def joined(parts: Sequence[Paths]) -> Paths:
    """All of several."""
    if not parts:
        return Paths(*(np.zeros(0, np.int64) for _ in Paths._fields))
    return Paths(*(np.concatenate(ones) for ones in zip(*parts, strict=True)))


def linked(fronts: Sequence[Paths], parts: Sequence[Sequence[Part]]) -> list[Path]:
    """The paths to the last cut, with all their parts.

    fronts: of every cut. parts: those that end at every cut but the first.
    """
    rows = [list(zip(*(one.tolist() for one in front), strict=True)) for front in fronts]
    known: dict[tuple[int, int], Path] = {(0, 0): Path(0, 0, 0, None, None)}

    def path(number: int) -> Path:
        cut, ahead = len(parts), []
        while (cut, number) not in known:
            ahead.append((cut, number))
            last, number = rows[cut][number][-2:]
            cut = parts[cut - 1][last].begin
        found = known[cut, number]
        for cut, number in reversed(ahead):
            peak, macs, calls, _, last, _ = rows[cut][number]
            found = known[cut, number] = Path(peak, macs, calls, parts[cut - 1][last], found)
        return found

    return [path(number) for number in range(len(rows[-1]))]


def unbeaten(paths: Paths, runners_up: int, *, last: bool) -> Array:
    """Those with less peak or reach than every path of no more work, and `runners_up` for each; thinned out.

    The work decides between paths, then the peak. last: nothing follows, so that the reach does not matter.
    """
    front: list[int] = []
    others: list[int] = []
    least: list[int] = []
    stairs = Staircase()
    order = np.lexsort((paths.peak, paths.calls, paths.macs))
    many = len(order) > MANY
    for begin in range(0, len(order), CHUNK):
        chunk = order[begin : begin + CHUNK]
        peaks, reaches = paths.peak[chunk], paths.reach[chunk] * (not last)
        slacks = peaks // LITTLE * many
        open_to_others = ENDLESS if len(least) < runners_up else least[-1] if least else 0
        hopeful = np.flatnonzero(~stairs.beat_each(peaks, reaches + slacks) | (peaks < open_to_others))
        columns = (chunk[hopeful], peaks[hopeful], reaches[hopeful], slacks[hopeful])
        for number, peak, reach, slack in zip(*(one.tolist() for one in columns), strict=True):
            if not stairs.beats(peak, reach, slack):
                front.append(number)
                stairs.add(peak, reach)
            elif len(least) < runners_up or (runners_up and peak < least[-1]):
                others.append(number)
            else:
                continue
            insort(least, peak)
            del least[runners_up:]
    return np.array([*_thinned(front), *_thinned(others)], np.int64)


def _thinned(front: list[int]) -> list[int]:
    step = -(-len(front) // FRONT)
    return front if step <= 1 else [*front[:-1:step], front[-1]]
