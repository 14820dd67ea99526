"""Regions with bands that a plan can be made of: dynamic programming over the units of a region, from its end.

Between two units lies one tensor, whose line buffer depends on the rows that both make at a time. A chain of units is
extended towards the front of the network by every run of operators that only it reads: as a segment of bands of so many
rows, begun such that bands end where the windows of the next unit do, or cut into units of single rows. Chains that
another one beats in work and memory are dropped. Memory is estimated first; what may improve a known front of plans
is then planned as it will run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import accumulate, combinations, pairwise
from typing import NamedTuple

import numpy as np

from ..dialect.relax_api import Array
from ..errors import PlanError
from .bands import segment_operation, sweep
from .chains import Chains, ChainSearch, Figures, Line, Run, chosen, grown, joined
from .costs import calls_of, handed_on
from .footprint import Block, region_macs, useful_block
from .geometry import COLUMNS, PIXEL, RANK, ROWS, Columns, Operation, Read, full_columns, strip_columns
from .network import Network
from .overwriting import rows_done
from .parts import Part, Parts, Sharing, strips_of
from .plan import Region, Segment
from .pulling import pulling, pulls_of
from .region import accumulated, pixel_bytes
from .rows import stream_rows
from .sweeps import Sweeps
from .workspace import Workspace, may_settle, settles_at_start, sweep_bytes

BAND_ROWS = (1, 2, 3, 4, 6, 8)
"""Rows of a band that are tried."""

PLANNED = 16
"""Regions that are planned per begin and end for their work, and a quarter as many for their cost per class of work.

Where only the cost matters a quarter is planned for their work as well."""

EXTRA_WORK = (0.02, 0.05, 0.1)
"""Shares of the work of the network: regions are planned for their cost below each, and above the last."""

BEFORE, BEHIND = "", "behind"
"""Tensors that stand for those made in front of a run and behind it."""

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


class _Strip(NamedTuple):
    """Columns that one strip of a region makes, bytes of a row of them, and how many strips there are."""

    columns: Mapping[str, Columns]
    pitches: Mapping[str, int]
    strip: int
    strips: int
    whole: bool


@dataclass
class BandParts:
    """Regions with bands that may improve a front that is known.

    front: the least work first. known: regions met before; new ones are added. room: bytes of an arena in which
        segments may make more columns at a time; None: they make one.
    """

    parts: Parts
    front: Sequence[Bound]
    known: dict[Region, Block]
    room: int | None = None
    _lines: dict[tuple[Run, str, int, int], Line] = field(default_factory=dict)
    _cuts: dict[tuple[int, int], list[Run]] = field(default_factory=dict)
    _runs: dict[tuple[int, int, int], list[Run]] = field(default_factory=dict)
    _bands: dict[tuple[int, int, int, int], Run | None] = field(default_factory=dict)
    _sweeps: dict[tuple[str, str, int, int | None], float] = field(default_factory=dict)

    _costs: dict[tuple[Run, bool, tuple[int, ...]], float] = field(default_factory=dict)
    _planes: dict[tuple[str, str, Columns], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network, self.settings = self.parts.network, self.parts.settings
        self.works = [found.macs for found in self.front]
        self.plain = [0]
        for macs in self.network.macs:
            self.plain.append(self.plain[-1] + macs)
        self.swaps = [self._can_swap(index) for index in range(len(self.network.nodes))]
        self.ceilings = np.array([1 << 62, *(found.arena_bytes for found in self.front)])
        self.last = [self.network.spans.get(node.tensor, (0, 0))[1] for node in self.network.nodes]
        self.planned = PLANNED if self.room is None else PLANNED // 4
        self.sweeps = Sweeps(self.network, self.settings, self.parts.costs)
        self.search = ChainSearch(self._runs_of, self._between, self.last)

    def _can_swap(self, index: int) -> bool:
        node = self.network.nodes[index]
        try:
            _ = node.transposed
        except PlanError:
            return False
        return self.network.streams[index][1] and accumulated(node) is None

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

    def _strip(self, operations: Sequence[Operation], strip: int) -> _Strip:
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
        return _Strip(columns, pitches, strip, 1 if whole else -(-width // strip), whole)

    def _chains(
        self, first: int, end: int, shapes: Sequence[_Strip], settled: Set[int]
    ) -> Iterator[tuple[int, list[Run], int]]:
        """Begin, runs and strip of regions with bands that end at a cut and may improve the front."""
        count, whole = len(shapes), np.array([shape.whole for shape in shapes])
        nothing = np.zeros(count, np.int64)
        chains = {end: Chains(np.arange(count), *(nothing,) * 7, np.zeros(count, bool), nothing, nothing)}
        output, live = self.parts.size[self.network.nodes[end - 1].tensor], self.parts.live
        known: dict[Run, Figures] = {}

        def figures(run: Run) -> Figures:
            if run not in known:
                known[run] = self._figures(run, shapes)
            return known[run]

        def pitches(cut: int) -> Array:
            tensor = self.network.nodes[cut - 1].tensor
            return np.array([shape.pitches[tensor] for shape in shapes])

        def saved(run: Run, after: Run) -> Array:
            one, other = run.units[-1], after.units[0]
            return np.array([shape.strips * self._saved(one, other, shape) for shape in shapes])

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

    def _figures(self, run: Run, shapes: Sequence[_Strip]) -> Figures:
        """What a run costs in strips; columns outside of the image count with strips only."""
        below = self.network.nodes[run.begin - 1].tensor if run.begin else ""
        read = any(read.tensor == below for unit in run.units for read in unit.reads)
        rows = self._line(run, below, 1, 0).rows if read and below in shapes[0].pitches else 0
        return Figures(
            np.array(
                [
                    shape.strips
                    * sum(count * shape.columns[tensor].width for tensor, count in run.macs.items())
                    for shape in shapes
                ]
            ),
            np.array([sum(rows * shape.pitches[one] for one, rows in run.lines.items()) for shape in shapes]),
            np.array([rows and rows * shape.pitches[below] for shape in shapes]),
            np.array([self._estimated(run, shape) for shape in shapes]),
        )

    def _estimated(self, run: Run, shape: _Strip) -> float:
        """Cost of the calls of a run, of bands with their columns that are gathered and scattered."""
        # How many rows and columns there are matters, not where.
        widths = tuple([shape.columns[unit.output].width for unit in run.units])
        key = run, shape.whole, widths
        if key not in self._costs:
            self._costs[key] = self._of_strip(run, shape)
        return shape.strips * self._costs[key]

    def _of_strip(self, run: Run, shape: _Strip) -> float:
        """The same in one strip."""
        total, costs = 0.0, self.parts.costs
        for unit in run.units:
            columns = shape.columns[unit.output]
            if not unit.members:
                index = self.network.position[unit.name]
                one = costs.call(index, unit.rows, columns.width, whole=shape.whole) + costs.moving.event
            else:
                key = unit.members[0].name, unit.name, unit.rows, None if shape.whole else columns.width
                if key not in self._sweeps:
                    self._sweeps[key] = self._swept(unit, None if shape.whole else columns)
                one = self._sweeps[key]
            total += unit.calls * one
        return total - sum(self._saved(one, other, shape) for one, other in pairwise(run.units))

    def _saved(self, maker: Operation, reader: Operation, shape: _Strip) -> float:
        """What planes between two units that follow each other save in one strip."""
        if maker.members or reader.members:
            return 0.0
        key = maker.name, reader.name, shape.columns[reader.output]
        if key not in self._planes:
            alone = self.network.spans.get(maker.output, (0, 0))[1] == self.network.position[reader.name]
            found = alone and list(handed_on((maker, reader), shape.columns, {maker.output}))
            calls = (calls_of(self.network, one, shape.columns) for one in (maker, reader))
            self._planes[key] = self.parts.costs.saved_by_planes(*calls) if found else 0.0
        return self._planes[key]

    def _swept(self, unit: Operation, columns: Columns | None) -> float:
        """Cost of one band."""
        costs, swept, total = self.parts.costs, sweep(unit, columns), 0.0
        for member in swept.operations:
            width = swept.bands[member.output].width
            one = costs.call(self.network.position[member.name], member.rows, width, swapped=True)
            one += costs.moving.event
            for read in member.reads:
                if read.tensor not in swept.bands:
                    pixels = read.rows.span(member.rows) * read.columns.span(width)
                    one += costs.moving.pixels(pixels, pixel_bytes(self.network.specs[read.tensor]))
            total += member.calls * one
        return total

    def _runs_of(self, begin: int, stop: int, demand: int) -> list[Run]:
        """Ways to make units of operators `begin` to `stop` - 1; demand: rows the next unit needs first, 0 for none."""
        key = begin, stop, demand
        if key not in self._runs:
            self._runs[key] = self._all_runs(begin, stop, demand)
        return self._runs[key]

    def _all_runs(self, begin: int, stop: int, demand: int) -> list[Run]:
        spans, nodes = self.network.spans, self.network.nodes
        members = [one for one in self.parts.operations[begin:stop] if one is not None]
        if len(members) < stop - begin or any(
            spans.get(nodes[index].tensor, (0, stop))[1] >= stop for index in range(begin, stop - 1)
        ):
            return []
        if (begin, stop) not in self._cuts:
            self._cuts[begin, stop] = list(self._cut(begin, stop, members))
        found = list(self._cuts[begin, stop])
        height = members[-1].height
        if len(members) > 1 and all(self.swaps[begin:stop]):
            for rows in band_rows(height):
                # Bands that end with the next unit's windows need fewer rows of buffer; where the first band is as
                # high as the others, fewer rows are made beyond the image.
                even = height % rows or rows
                for lead in dict.fromkeys(((demand - 1) % rows + 1 if demand else even, even)):
                    run = self._band(begin, stop, members, rows, lead)
                    if run is not None:
                        found.append(run)
        return found

    def _band(self, begin: int, stop: int, members: Sequence[Operation], rows: int, lead: int) -> Run | None:
        """Operators as one segment; None when their windows drift apart."""
        key = begin, stop, rows, lead
        if key not in self._bands:
            try:
                self._bands[key] = self._run(begin, stop, [segment_operation(members, rows, lead)])
            except PlanError:
                self._bands[key] = None
        return self._bands[key]

    def _run(self, begin: int, stop: int, units: Sequence[Operation]) -> Run:
        buffers = stream_rows(units).buffers if len(units) > 1 else {}
        macs = {}
        for unit in units:
            bands = sweep(unit, None).bands if unit.members else {}
            for one in unit.members or (unit,):
                every = self.network.macs[self.network.position[one.name]]
                rows = unit.calls * (bands[one.output].width if unit.members else one.rows)
                macs[one.output] = every // (one.height * one.width) * rows
        return Run(
            begin,
            stop,
            tuple(units),
            {tensor: buffer.rows for tensor, buffer in buffers.items()},
            max(sweep_bytes(unit, self.network.specs) if unit.members else 0 for unit in units),
            macs,
            any(unit.members for unit in units),
        )

    def _cut(self, begin: int, stop: int, members: Sequence[Operation]) -> Iterator[Run]:
        """One operator alone, or operators that no cut separates, in all ways as units of single rows."""
        count = len(members)
        below = self.network.nodes[begin - 1].tensor if begin else ""
        if any(_separates(members, cut, below) for cut in range(1, count)):
            return
        for cuts in (cuts for number in range(count) for cuts in combinations(range(1, count), number)):
            edges = list(pairwise((0, *cuts, count)))
            if any(
                end - first > 1 and not all(self.swaps[begin + first : begin + end]) for first, end in edges
            ):
                continue
            try:
                units = [_unit(members[first:end]) for first, end in edges]
            except PlanError:
                continue
            if len(units) > 1 or count == 1:
                yield self._run(begin, stop, units)

    def _between(self, after: Run, run: Run) -> Line:
        """Line buffer between two runs."""
        last = run.units[-1]
        return self._line(after, last.output, last.rows, last.lead)

    def _line(self, run: Run, tensor: str, rows: int, lead: int) -> Line:
        """Line buffer of a tensor that a run reads and that is made `rows` at a time, `lead` at first."""
        key = run, tensor, rows, lead
        if key not in self._lines:
            spec, last = self.network.specs[tensor], run.units[-1]
            height, width = spec.shape[ROWS], spec.shape[COLUMNS]
            # Whoever makes several rows is a segment and makes none outside of the image.
            members = (Operation(tensor, tensor, height, width, 1, ()),) if lead else ()
            source = () if tensor in self.settings.pulled else (Read(BEFORE, PIXEL, PIXEL),)
            maker = Operation(tensor, tensor, height, width, rows, source, members, lead)
            # Stands for all units behind the run.
            reader = Operation(BEHIND, BEHIND, last.height, last.width, 1, (Read(last.output, PIXEL, PIXEL),))
            every = (maker, *run.units) if last.accumulates else (maker, *run.units, reader)
            stream = stream_rows(every)
            most = stream.buffers[tensor].rows
            behind = 0 if last.accumulates else stream.held[tensor][-1]
            settles = settles_at_start(every, tensor, {tensor})
            self._lines[key] = Line(most, most - rows, behind) if settles else Line(most, most, most)
        return self._lines[key]

    def _estimate(self, begin: int, end: int, chains: Chains, shapes: Sequence[_Strip]) -> Array:
        """Peak of regions, about, if all of their input that can be overwritten is."""
        size = self.parts.size
        output = size[self.network.nodes[end - 1].tensor]
        fetched: dict[int, tuple[int, int]] = {}
        for number in np.unique(chains.run).tolist():
            run = self.search.runs[begin][number]
            lines = [(self._line(run, one, 1, 0), one) for one in pulls_of(run.units, self.settings.pulled)]
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
        peak = self.parts.live[begin] + output + found.nbytes
        macs, calls = region_macs(network, region, workspace), workspace.calls
        part = Part(
            peak, macs, calls, begin, end, strip, region.segments, output, cost=cost, settling=region.settling
        )
        yield from self.sweeps.of(part, region, workspace, self.room)
        shared = self._shared(begin, workspace)
        if shared.nbytes:
            over = part._replace(peak=peak - shared.nbytes, source=shared.source, distance=shared.distance)
            yield from self.sweeps.of(over, region, workspace, self.room)


def band_rows(height: int) -> list[int]:
    """Rows of a band that are tried: some numbers, and the fewest that make as many bands."""
    fitting = [rows for rows in BAND_ROWS if rows <= height]
    return sorted({*fitting, *(-(-height // -(-height // rows)) for rows in fitting)})


def _unit(members: Sequence[Operation]) -> Operation:
    return members[0] if len(members) == 1 else segment_operation(members, 1, 1)


def _separates(members: Sequence[Operation], cut: int, below: str) -> bool:
    """Whether only the tensor made in front of a cut is read behind it; below: what the first of them may read."""
    made = {one.output for one in members[cut:]}
    read = {read.tensor for one in members[cut:] for read in one.reads} - made
    return read & ({one.output for one in members[:cut]} | {below}) <= {members[cut - 1].output}
