"""Chains of units that a region with bands can be made of: dynamic programming from the end of the region.

A chain is a run of operators, as units, in front of another chain. Between the two lies one tensor, whose line buffer
depends on the rows that both make at a time. Chains that another one beats in work and memory, or in cost and memory,
are dropped, for each width of strips by itself; what is kept are arrays over the chains of all widths.

Memory is what is needed at once while a unit runs: its own bytes, and the rows of every line buffer that are needed
then. In front of its maker and behind its reader a line buffer is not full, and others may be in its place
(`block.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..dialect.relax_api import Array
from .geometry import Operation
from .workspace import WORD

CHAINS = 32
"""Chains kept per strip, begin and end of a region for their work, and half as many for their cost."""

LONGEST = 6
"""Operators of a segment, or of a run that is cut into units of single rows."""


@dataclass(frozen=True, eq=False)
class Run:
    """Operators `begin` to `end` - 1 of the order as units, of which only the last makes more than a row per call.

    lines: rows of the line buffers between the units, by tensor. work: bytes of a band that are in use at once.
    macs: multiply-accumulates for one column of every tensor made. banded: whether there is a segment.
    """

    begin: int
    end: int
    units: tuple[Operation, ...]
    lines: dict[str, int]
    work: int
    macs: dict[str, int]
    banded: bool

    @property
    def demand(self) -> int:
        """Rows of what it reads that must be there before its first call."""
        first = self.units[0]
        return max(read.rows.begin(0) + read.rows.span(first.made(0)) for read in first.reads)


class Line(NamedTuple):
    """Rows of the line buffer of a tensor that a run reads: all, and those that are needed before it is filled again.

    behind: those that are needed while units behind its readers run.
    """

    rows: int = 0
    before: int = 0
    behind: int = 0


class Figures(NamedTuple):
    """Of a run in strips of every width: work, bytes of its line buffers, of that in front of it, cost."""

    macs: Array
    lines: Array
    below: Array
    cost: Array


class Links:
    """Runs between two cuts that may stand in front of others, and the buffers between them.

    entries: those in front of a run at the second cut: number of each at the first cut, and the buffer.
    """

    def __init__(self, entries: Callable[[int], Sequence[tuple[int, Line]]]) -> None:
        self._entries = entries
        self._known: dict[int, Array] = {}

    def pairs(self, after: Array) -> tuple[Array, Array, Array]:
        """Every way to put a run in front of runs `after`: position in `after`, number of the run, rows between."""
        different, which = np.unique(after, return_inverse=True)
        blocks = []
        for number in different.tolist():
            if number not in self._known:
                found = [(one, *line) for one, line in self._entries(number)]
                self._known[number] = np.array(found, np.int64).reshape(-1, 4)
            blocks.append(self._known[number])
        every, entries = np.array([len(block) for block in blocks], np.int64), np.concatenate(blocks)
        counts = every[which]
        position = np.repeat(np.arange(len(after)), counts)
        within = np.arange(len(position)) - np.repeat(counts.cumsum() - counts, counts)
        found = entries[(every.cumsum() - every)[which][position] + within]
        return position, found[:, 0], found[:, 1:]


class Chains(NamedTuple):
    """Chains that begin at a cut, as arrays.

    strip: number of the width of strips. run: number of the first run among those that begin there.
    kept: bytes of all line buffers. before: those needed in front of the chain. first, rest: needed at once while a
        unit of the first run runs, and one of another one.
    stop, parent: where the chain behind the first run begins, and its number there.
    """

    strip: Array
    run: Array
    kept: Array
    before: Array
    first: Array
    rest: Array
    macs: Array
    cost: Array
    banded: Array
    stop: Array
    parent: Array

    def taken(self, chosen: Array) -> Chains:
        """Some of them."""
        return Chains(*(one[chosen] for one in self))

    def peak(self, more: Array | int, behind: Array | int) -> Array:
        """Bytes of a block, about, with so many in front of the first run, and while units behind it run.

        Of what is free when it is needed at once, about half is of use to other line buffers.
        """
        needed: Array = np.maximum(self.first + more, self.rest + behind)
        peak: Array = np.maximum(needed, (needed + self.kept + more) // 2)
        return peak


def joined(parts: Sequence[Chains]) -> Chains:
    """All of several."""
    return Chains(*(np.concatenate(ones) for ones in zip(*parts, strict=True)))


@dataclass
class ChainSearch:
    """Chains of a network, of which much is the same for all ends.

    between: runs from one cut to another with their demand in rows. line: buffer between a run and the one behind it.
    """

    between: Callable[[int, int, int], list[Run]]
    line: Callable[[Run, Run], Line]
    last: Sequence[int]
    runs: dict[int, list[Run]] = field(default_factory=dict)
    _numbers: dict[Run, int] = field(default_factory=dict)
    _links: dict[tuple[int, int], Links] = field(default_factory=dict)

    def number(self, run: Run) -> int:
        """Number of a run among those with the same begin."""
        if run not in self._numbers:
            same = self.runs.setdefault(run.begin, [])
            self._numbers[run] = len(same)
            same.append(run)
        return self._numbers[run]

    def links(self, begin: int, stop: int) -> Links:
        """Runs between two cuts in front of those that begin at the second one."""
        if (begin, stop) not in self._links:
            self._links[begin, stop] = Links(lambda number: self._in_front(begin, stop, number))
        return self._links[begin, stop]

    def _in_front(self, begin: int, stop: int, number: int) -> list[tuple[int, Line]]:
        after = self.runs[stop][number]
        # What is read behind the run as well must be there before a region: nothing comes in front of it.
        usable = self.last[stop - 1] < after.end
        runs = self.between(begin, stop, after.demand) if usable else []
        return [(self.number(run), self.line(after, run)) for run in runs]

    def last_runs(self, begin: int, end: int) -> Links:
        """Runs up to the end of a region."""
        return Links(lambda _: [(self.number(run), Line()) for run in self.between(begin, end, 0)])


def chosen(
    strip: Array, macs: Array, cost: Array, memory: Array, most: int, cheap: int, bounds: Array | None = None
) -> Array:
    """Of candidates at most `most` of every strip that stand out by their work, and `cheap` that do by their cost.

    bounds: with it, as many stand out by their cost between each two numbers of multiply-accumulates: what is cheap
    and does more work helps no plan whose work is bounded.
    """
    work = outstanding(strip, macs, memory, most)
    group = strip if bounds is None else strip * (len(bounds) + 1) + np.searchsorted(bounds, macs, "left")
    # Costs as whole numbers, like work.
    priced = outstanding(group, np.rint(cost).astype(np.int64), memory, cheap)
    return np.concatenate([work, np.setdiff1d(priced, work)])


def outstanding(group: Array, work: Array, memory: Array, most: int) -> Array:
    """Those with less memory than every one of their group of no more work; at most `most`, those that stand out.

    One stands out by the memory that it saves over the one before, times the work that it saves over the next.
    """
    if not len(work):
        return np.zeros(0, np.int64)
    order = np.lexsort((memory, work, group))
    # Lower in every group than in all before it.
    height = memory[order] - group[order] * (int(memory.max()) + 1)
    lowest = np.minimum.accumulate(height)
    front = order[np.concatenate([[True], height[1:] < lowest[:-1]])]
    ends = [*(np.flatnonzero(np.diff(group[front])) + 1).tolist(), len(front)]
    found, begin = [], 0
    for end in ends:
        found.append(_standing_out(front[begin:end], work, memory, most))
        begin = end
    return np.concatenate(found)


def _standing_out(front: Array, work: Array, memory: Array, most: int) -> Array:
    if len(front) <= most:
        return front
    left, macs, needed = front.tolist(), work[front].tolist(), memory[front].tolist()

    def saved(place: int) -> int:
        return int((needed[place - 1] - needed[place]) * (macs[place + 1] - macs[place]))

    figures = [saved(place) for place in range(1, len(left) - 1)]
    while len(left) > most:
        place = figures.index(min(figures)) + 1
        del left[place], macs[place], needed[place], figures[place - 1]
        for neighbour in (place - 1, place):
            if 0 < neighbour < len(left) - 1:
                figures[neighbour - 1] = saved(neighbour)
    return np.array(left)


class Grown(NamedTuple):
    """Chains that begin at a cut: those that can be extended, those that can not, and candidates with their strips."""

    extended: Chains
    regions: Chains


def grown(
    search: ChainSearch,
    begin: int,
    behind: dict[int, Chains],
    end: int,
    figures: Callable[[Run], Figures],
    saved: Callable[[Run, Run], Array],
    pitches: Callable[[int], Array],
    fits: Callable[[Array, Array, Array], Array],
    goes_on: Callable[[int], bool],
) -> Grown:
    """Chains from a cut to the end of a region, from those that begin behind it.

    figures: of a run. saved: cost that a run and the one behind it save together, in strips of every width.
    pitches: bytes of a row of the tensor in front of a cut, for every strip. fits: of strips, work and bytes, whether a
    region may be better than what is known. goes_on: whether a chain whose first run ends at a cut can be extended.
    """
    extended: list[Chains] = []
    regions: list[Chains] = []
    memories: list[Array] = []
    for stop in range(begin + 1, min(end, begin + LONGEST) + 1):
        after = behind.get(stop)
        if after is None or not len(after.strip):
            continue
        links = search.last_runs(begin, end) if stop == end else search.links(begin, stop)
        position, number, rows = links.pairs(after.run)
        if not len(position):
            continue
        known, row = np.unique(number, return_inverse=True)
        ours = [search.runs[begin][one] for one in known.tolist()]
        every = [figures(run) for run in ours]
        strip = after.strip[position]
        macs, lines, below, cost = (np.stack(one)[row, strip] for one in zip(*every, strict=True))
        old = after.taken(position)
        buffer = idle = past = np.zeros_like(strip)
        if stop < end:
            pitch = pitches(stop)[strip]
            # Rows that begin at no words stay where they are.
            buffer, idle, past = (
                np.where(pitch % WORD, rows[:, 0], rows[:, column]) * pitch for column in range(3)
            )
        kept, work = old.kept + buffer + lines, np.array([run.work for run in ours])[row]
        found = Chains(
            strip=strip,
            run=number,
            kept=kept,
            before=old.before + idle + lines,
            first=old.before + buffer + lines + work,
            rest=np.maximum(old.rest + past, old.first + buffer),
            macs=old.macs + macs,
            cost=old.cost
            + cost
            - _saved(search, begin, stop if stop < end else None, number, old.run, strip, saved),
            banded=old.banded | np.array([run.banded for run in ours])[row],
            stop=np.full(len(strip), stop),
            parent=position,
        )
        # What some operator cannot compute in such rows and columns costs infinitely much.
        fitting = np.flatnonzero(fits(strip, found.macs, found.peak(0, 0)) & np.isfinite(found.cost))
        found = found.taken(fitting)
        if goes_on(stop):
            extended.append(found)
            memories.append(found.peak(below[fitting], 0))
        else:
            regions.append(found)
    return Grown(
        _kept(extended, np.concatenate(memories) if memories else None),
        _kept(regions, None),
    )


def _saved(
    search: ChainSearch,
    begin: int,
    stop: int | None,
    number: Array,
    after: Array,
    strip: Array,
    saved: Callable[[Run, Run], Array],
) -> Array:
    """Cost that runs and those behind them save together; stop: where those behind begin, None where nothing does."""
    found = np.zeros(len(number))
    if stop is None:
        return found
    ends = np.array([not run.units[-1].members for run in search.runs[begin]])
    begins = np.array([not run.units[0].members for run in search.runs[stop]])
    place = np.flatnonzero(ends[number] & begins[after])
    pairs, which = np.unique(np.stack([number[place], after[place]]), axis=1, return_inverse=True)
    each = [saved(search.runs[begin][one], search.runs[stop][other]) for one, other in pairs.T.tolist()]
    if each:
        found[place] = np.stack(each)[which.reshape(-1), strip[place]]
    return found


def _kept(parts: Sequence[Chains], memory: Array | None) -> Chains:
    if not parts:
        return Chains(*(np.zeros(0, np.int64) for _ in Chains._fields))
    every = joined(parts)
    needed = every.peak(0, 0) if memory is None else memory
    return every.taken(chosen(every.strip, every.macs, every.cost, needed, CHAINS, CHAINS // 2))
