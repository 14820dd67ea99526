"""Regions with bands that a plan can be made of: dynamic programming over the units of a region, from its end.

Between two units lies one tensor, whose line buffer depends on the rows that both make at a time. A chain of units is
extended towards the front of the network by every run of operators that only it reads: as a segment of bands of so many
rows, begun such that bands end where the windows of the next unit do, or cut into units of single rows. Chains that
another one beats in work and memory are dropped. Memory is estimated first; what may improve a known front of plans
is then planned as it will run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ..dialect.relax_api import Array
from ..errors import PlanError
from .chains import Chains, ChainSearch, Figures, Run, chosen, grown, joined
from .footprint import Block, region_macs, useful_block
from .geometry import RANK, Operation, full_columns, strip_columns
from .network import Network
from .overwriting import rows_done
from .parts import Part, Parts, Sharing, strips_of
from .plan import Region, Segment
from .pulling import pulling, pulls_of
from .region import pixel_bytes
from .runs import Runs, Strip
from .workspace import Workspace, may_settle

PLANNED = 16
"""Regions that are planned per begin and end for their work, and a quarter as many for their cost per class of work.

Where only the cost matters a quarter is planned for their work as well."""

EXTRA_WORK = (0.02, 0.05, 0.1)
"""Shares of the work of the network: regions are planned for their cost below each, and above the last."""

SMALL = 2
"""Bands are not tried where plain parts need less than the smallest arena without bands, divided by this, or less
than the inputs that are held."""


class Bound(NamedTuple):
    """A plan that is known, or another bound: what does as much work has to need fewer bytes."""

    macs: int
    arena_bytes: int


def settled_cuts(network: Network, every: Sequence[Sequence[Part]], most: int) -> list[set[int]]:
    """Of every cut, those from where parts of at most `most` bytes lead to it and repeat no work.

    every: parts by the cut where they end.
    """
    plain = [0, *accumulate(network.macs)]
    settled = [{0}]
    for end, parts in enumerate(every, 1):
        found = {end}
        for part in parts:
            repeats = part.macs > plain[end] - plain[part.begin]
            if part.peak <= most and not repeats and not part.segments:
                found |= settled[part.begin]
        settled.append(found)
    return settled


@dataclass
class BandParts:
    """Regions with bands that may improve a front that is known.

    front: the least work first. known: regions met before; new ones are added. runs: of the same network.
    room: bytes of an arena in which segments may make more columns at a time; None: they make one.
    """

    parts: Parts
    front: Sequence[Bound]
    known: dict[Region, Block]
    runs: Runs
    room: int | None = None

    def __post_init__(self) -> None:
        self.network, self.settings = self.parts.network, self.parts.settings
        self.works = [found.macs for found in self.front]
        self.plain = [0]
        for macs in self.network.macs:
            self.plain.append(self.plain[-1] + macs)
        self.ceilings = np.array([1 << 62, *(found.arena_bytes for found in self.front)])
        self.last = [self.network.spans.get(node.tensor, (0, 0))[1] for node in self.network.nodes]
        self.planned = PLANNED if self.room is None else PLANNED // 4
        self.search = ChainSearch(self.runs.between, self.runs.line_between, self.last)

    def _ceiling(self, macs: Array, begin: int, end: int) -> Array:
        """Arena of the known plan with no more work than one whose operators `begin` to `end` - 1 do `macs`."""
        work = macs + self.plain[-1] - (self.plain[end] - self.plain[begin])
        known: Array = self.ceilings[np.searchsorted(self.works, work, "right")]
        return known

    def ending(self, end: int, settled: Set[int] = frozenset()) -> Iterator[Part]:
        """Parts whose last operator is the one before cut `end`.

        settled: cuts where none needs to begin, because plain parts from there on are small enough.
        """
        first = next((cut for cut in range(self.parts.first_begin(end), end - 1) if cut not in settled), end)
        if first == end:
            return
        operations = [one for one in self.parts.operations[first:end] if one is not None]
        narrow = all(by_strips for _, by_strips in self.network.streams[first:end])
        shapes = []
        for strip in strips_of(operations[-1].width) if narrow else [operations[-1].width]:
            try:
                shapes.append(self._strip(operations, strip))
            except PlanError:
                continue
        for begin, runs, strip in self._chains(first, end, shapes, settled) if shapes else ():
            for part in self._planned(begin, end, runs, strip):
                if part.peak < self._ceiling(np.array(part.macs), begin, end):
                    yield part

    def _strip(self, operations: Sequence[Operation], strip: int) -> Strip:
        fetched = pulls_of(operations, self.settings.pulled)
        every = [*(pulling(name, self.network.specs[name]) for name in fetched), *operations]
        width = operations[-1].width
        whole = strip >= width
        columns = full_columns(every) if whole else strip_columns(every, strip)
        specs = self.network.specs
        pitches = {
            name: one.width * pixel_bytes(specs[name])
            for name, one in columns.items()
            if len(specs[name].shape) == RANK
        }
        return Strip(columns, pitches, strip, 1 if whole else -(-width // strip), whole)

    def _chains(
        self, first: int, end: int, shapes: Sequence[Strip], settled: Set[int]
    ) -> Iterator[tuple[int, list[Run], int]]:
        """Begin, runs and strip of regions with bands that end at a cut and may improve the front."""
        count, whole = len(shapes), np.array([shape.whole for shape in shapes])
        nothing = np.zeros(count, np.int64)
        chains = {end: Chains(np.arange(count), *(nothing,) * 7, np.zeros(count, bool), nothing, nothing)}
        output, live = self.parts.size[self.network.nodes[end - 1].tensor], self.parts.live
        known: dict[Run, Figures] = {}

        def figures(run: Run) -> Figures:
            if run not in known:
                known[run] = self.runs.figures(run, end, shapes)
            return known[run]

        def pitches(cut: int) -> Array:
            tensor = self.network.nodes[cut - 1].tensor
            return np.array([shape.pitches[tensor] for shape in shapes])

        def saved(run: Run, after: Run) -> Array:
            one, other = run.units[-1], after.units[0]
            return np.array([shape.strips * self.runs.saved(one, other, shape) for shape in shapes])

        for begin in range(end - 1, first - 1, -1):
            held = min(live[first : begin + 1])
            # The output of strips lies beside everything else; rows may take the place of an input.
            beside = np.where(whole, max(output, held), output + held)

            def fits(
                strip: Array, macs: Array, nbytes: Array, begin: int = begin, beside: Array = beside
            ) -> Array:
                least: Array = beside[strip] + nbytes < self._ceiling(macs, begin, end)
                return least

            def goes_on(stop: int, begin: int = begin) -> bool:
                # What is read behind the first run as well must be there before the region: such a
                # chain cannot be extended, and must not keep others from it.
                return begin > first and self.last[begin - 1] < stop

            found = grown(self.search, begin, chains, end, figures, saved, pitches, fits, goes_on)
            chains[begin] = found.extended
            if begin in settled:
                continue
            every = joined([found.extended, found.regions])
            every = every.taken(np.flatnonzero(every.banded))
            if not len(every.strip):
                continue
            memory = self._estimate(begin, end, every, shapes)
            hopeful = np.flatnonzero(memory < self._ceiling(every.macs, begin, end))
            every, memory = every.taken(hopeful), memory[hopeful]
            together = np.zeros(len(hopeful), np.int64)
            plain = self.plain[end] - self.plain[begin]
            bounds = np.array([plain + share * self.plain[-1] for share in EXTRA_WORK])
            for index in chosen(
                together, every.macs, every.cost, memory, self.planned, PLANNED // 4, bounds
            ).tolist():
                runs = [self.search.runs[begin][every.run[index]]]
                stop, parent = int(every.stop[index]), int(every.parent[index])
                while stop < end:
                    behind = chains[stop]
                    runs.append(self.search.runs[stop][behind.run[parent]])
                    stop, parent = int(behind.stop[parent]), int(behind.parent[parent])
                yield begin, runs, shapes[every.strip[index]].strip

    def _estimate(self, begin: int, end: int, chains: Chains, shapes: Sequence[Strip]) -> Array:
        """Peak of regions, about, if all of their input that can be overwritten is."""
        size = self.parts.size
        output = size[self.network.nodes[end - 1].tensor]
        fetched: dict[int, tuple[int, int]] = {}
        for number in np.unique(chains.run).tolist():
            run = self.search.runs[begin][number]
            lines = [
                (self.runs.line(run, one, 1, 0), one) for one in pulls_of(run.units, self.settings.pulled)
            ]
            for index, shape in enumerate(shapes) if lines else ():
                fetched[number * len(shapes) + index] = (
                    sum(line.rows * shape.pitches[tensor] for line, tensor in lines),
                    sum(line.behind * shape.pitches[tensor] for line, tensor in lines),
                )
        keys = (chains.run * len(shapes) + chains.strip).tolist()
        lines_of = np.array([fetched.get(key, (0, 0)) for key in keys], np.int64).reshape(-1, 2)
        below = self.network.nodes[begin - 1].tensor if begin else next(iter(self.network.inputs))
        shared = min(output, size.get(self.network.roots[below], 0)) if self.settings.overwrite else 0
        whole = np.array([shape.whole for shape in shapes])
        needed = self.parts.live[begin] + output + chains.peak(lines_of[:, 0], lines_of[:, 1])
        peak: Array = needed - np.where(whole[chains.strip], shared, 0)
        return peak

    def _planned(self, begin: int, end: int, runs: Sequence[Run], strip: int) -> Iterator[Part]:
        """The region of a chain with the memory that it takes when it runs, if it can, beside its input and over it."""
        network, settings = self.network, self.settings
        names = tuple(node.name for node in network.nodes[begin:end])
        segments = [
            Segment(tuple(member.name for member in unit.members), unit.rows, unit.lead)
            for run in runs
            for unit in run.units
            if unit.members
        ]
        banded = {name for segment in segments for name in segment.operators}
        rows = {name: 1 for name in names if name not in banded}
        region = Region(names, strip, rows, tuple(segments))

        def useful(workspace: Workspace, nbytes: int) -> bool:
            beside = self.parts.live[begin] + self.parts.size[network.nodes[end - 1].tensor] + nbytes
            most = int(self._ceiling(np.array(region_macs(network, region, workspace)), begin, end))
            return beside < most or beside - self._shared(begin, workspace).nbytes < most

        try:
            found = useful_block(network, region, settings, self.parts.costs, self.known, useful)
        except PlanError:
            return
        if found is not None:
            yield from self._placed(begin, end, region, found)
        candidates = tuple(may_settle([unit for run in runs for unit in run.units]).values())
        if candidates:
            settling = replace(region, settling=candidates)
            smaller = useful_block(network, settling, settings, self.parts.costs, self.known, useful)
            if smaller is not None and (found is None or smaller.nbytes < found.nbytes):
                yield from self._placed(begin, end, settling, smaller)

    def _shared(self, begin: int, workspace: Workspace) -> Sharing:
        """What the output of a region can have in common with an input."""
        if workspace.strips > 1:
            return Sharing()
        done = rows_done(workspace.operations, workspace.stream)
        return self.parts.sharing(begin, workspace.operations, done)

    def _placed(self, begin: int, end: int, region: Region, found: Block) -> Iterator[Part]:
        """A region beside its input and over it, with one column at a time and with more."""
        network = self.network
        workspace, cost, strip = found.workspace, found.cost, region.strip
        output = self.parts.size[network.nodes[end - 1].tensor]
        peak = self.parts.live[begin] + output + found.beside(output)
        macs, calls = region_macs(network, region, workspace), workspace.calls
        part = Part(
            peak, macs, calls, begin, end, strip, region.segments, output, cost=cost, settling=region.settling
        )
        yield from self.runs.sweeps.of(part, region, workspace, self.settings, self.room)
        shared = self._shared(begin, workspace)
        if shared.nbytes:
            peak = self.parts.live[begin] + output + found.nbytes - shared.nbytes
            over = part._replace(peak=peak, source=shared.source, distance=shared.distance)
            yield from self.runs.sweeps.of(over, region, workspace, self.settings, self.room)
