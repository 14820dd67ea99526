"""Regions with bands that a plan can be made of: dynamic programming over the units of a region, from its end.

Between two units lies one tensor, whose line buffer depends on the rows that both make at a time. A chain of units is
extended towards the front of the network by every run of operators that only it reads: as a segment of bands of so many
rows, begun such that bands end where the windows of the next unit do, or cut into units of single rows. Chains that
another one beats in work and memory are dropped. Memory is estimated first; what may improve a known front of plans
is then planned as it will run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import NamedTuple

from ..errors import PlanError
from .bands import segment_operation, sweep
from .costs import calls_of, handed_on, region_cost
from .footprint import PlanFigures, region_macs, region_workspace
from .geometry import COLUMNS, RANK, ROWS, Columns, Operation, full_columns, strip_columns
from .parts import Part, Parts, strips_of
from .plan import Region, Segment
from .pulling import pulling, pulls_of
from .region import accumulated, pixel_bytes
from .rows import stream_rows
from .workspace import rows_done, sweep_bytes

BAND_ROWS = (1, 2, 3, 4, 6, 8)
"""Rows of a band that are tried."""

LONGEST = 6
"""Operators of a segment, or of a run that is cut into units of single rows."""

CHAINS = 32
"""Chains kept per strip, begin and end of a region for their work, and half as many for their cost."""

PLANNED = 16
"""Regions that are planned per begin and end for their work, and as many for their cost."""


@dataclass(frozen=True, eq=False)
class Run:
    """Operators `begin` to `end` - 1 of the order as units, of which only the last makes more than a row per call.

    lines: rows of the line buffers between the units, by tensor. work: bytes of a band that are in use at once.
    macs: multiply-accumulates for one column of every tensor made. banded: whether there is a segment.
    """

    begin: int
    end: int
    units: tuple[Operation, ...]
    lines: Mapping[str, int]
    work: int
    macs: Mapping[str, int]
    banded: bool

    @property
    def demand(self) -> int:
        """Rows of what it reads that must be there before its first call."""
        first = self.units[0]
        return max(read.rows.begin(0) + read.rows.span(first.made(0)) for read in first.reads)


class Chain(NamedTuple):
    """Units from `run` to the end of a region: bytes of line buffers, most bytes of a unit while it runs, work.

    cost: estimated (`Settings.costs`).
    """

    kept: int
    work: int
    macs: int
    banded: bool
    run: Run | None
    after: Chain | None
    cost: float = 0.0


class Candidate(NamedTuple):
    """A chain from a cut to the end of a region, with its work, memory and strip."""

    macs: int
    memory: int
    chain: Chain
    strip: int


class _Strip(NamedTuple):
    """Columns that one strip of a region makes, bytes of a row of them, and how many strips there are.

    costs: of the runs met so far.
    """

    columns: Mapping[str, Columns]
    pitches: Mapping[str, int]
    strips: int
    whole: bool
    costs: dict[Run, _Cost]


class _Cost(NamedTuple):
    """What a run costs in strips: work, bytes of its line buffers and of that of the tensor made in front of it."""

    macs: int
    lines: int
    below: int
    cost: float


@dataclass
class BandParts:
    """Regions with bands that may improve a front that is known."""

    parts: Parts
    front: Sequence[PlanFigures]
    _rows: dict[tuple[Run, str, int, int], int] = field(default_factory=dict)
    _cuts: dict[tuple[int, int], list[Run]] = field(default_factory=dict)
    _runs: dict[tuple[int, int, int], list[Run]] = field(default_factory=dict)
    _bands: dict[tuple[int, int, int, int], Run | None] = field(default_factory=dict)
    _sweeps: dict[tuple[Run, int, int | None], float] = field(default_factory=dict)
    _planes: dict[tuple[str, str, Columns], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network, self.settings = self.parts.network, self.parts.settings
        self.works = [found.macs for found in self.front]
        self.plain = [0]
        for macs in self.network.macs:
            self.plain.append(self.plain[-1] + macs)
        self.swaps = [self._can_swap(index) for index in range(len(self.network.nodes))]

    def _can_swap(self, index: int) -> bool:
        node = self.network.nodes[index]
        try:
            _ = node.transposed
        except PlanError:
            return False
        return self.network.streams[index][1] and accumulated(node) is None

    def _ceiling(self, macs: int, begin: int, end: int) -> int:
        """Arena of the known plan with no more work than one whose operators `begin` to `end` - 1 do `macs`."""
        work = macs + self.plain[-1] - (self.plain[end] - self.plain[begin])
        beside = bisect_right(self.works, work) - 1
        return self.front[beside].arena_bytes if beside >= 0 else 1 << 62

    def ending(self, end: int, settled: Set[int] = frozenset()) -> Iterator[Part]:
        """Parts whose last operator is the one before cut `end`.

        settled: cuts where none needs to begin, because plain parts from there on are small enough.
        """
        first = next((cut for cut in range(self.parts.first_begin(end), end - 1) if cut not in settled), end)
        if first == end:
            return
        found: dict[int, list[Candidate]] = {}
        operations = [one for one in self.parts.operations[first:end] if one is not None]
        narrow = all(by_strips for _, by_strips in self.network.streams[first:end])
        for strip in strips_of(operations[-1].width) if narrow else [operations[-1].width]:
            try:
                shape = self._strip(operations, strip)
            except PlanError:
                continue
            for begin, chain in self._chains(first, end, shape):
                if begin in settled:
                    continue
                estimate = self._estimate(begin, end, chain, shape)
                if estimate < self._ceiling(chain.macs, begin, end):
                    found.setdefault(begin, []).append(Candidate(chain.macs, estimate, chain, strip))
        for begin, candidates in found.items():
            for candidate in by_work_and_cost(candidates, PLANNED, PLANNED):
                for part in self._planned(begin, end, candidate.chain, candidate.strip):
                    if part.peak < self._ceiling(part.macs, begin, end):
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
        return _Strip(columns, pitches, 1 if whole else -(-width // strip), whole, {})

    def _chains(self, first: int, end: int, shape: _Strip) -> Iterator[tuple[int, Chain]]:
        """Chains with bands that end at a cut, each with its begin."""
        chains: dict[int, list[Chain]] = {end: [Chain(0, 0, 0, False, None, None)]}
        output, live = self.parts.size[self.network.nodes[end - 1].tensor], self.parts.live
        last = [self.network.spans.get(node.tensor, (0, 0))[1] for node in self.network.nodes]
        for begin in range(end - 1, first - 1, -1):
            extended: list[Candidate] = []
            regions: list[Candidate] = []
            held = min(live[first : begin + 1])
            # The output of strips lies beside everything else; rows may take the place of an input.
            beside = max(output, held) if shape.whole else output + held
            for stop in range(begin + 1, min(end, begin + LONGEST) + 1):
                for chain in chains.get(stop, ()):
                    if chain.run is not None and last[stop - 1] >= chain.run.end:
                        continue
                    for one, below in self._extended(begin, stop, end, chain, shape, beside):
                        assert one.run is not None
                        # What is read behind the first run as well must be there before the region: such a
                        # chain cannot be extended, and must not keep others from it.
                        goes_on = begin > first and last[begin - 1] < one.run.end
                        memory = one.kept + one.work + (below if goes_on else 0)
                        (extended if goes_on else regions).append(Candidate(one.macs, memory, one, 0))
            chains[begin] = [one.chain for one in by_work_and_cost(extended, CHAINS, CHAINS // 2)]
            for chain in (
                *chains[begin],
                *(one.chain for one in by_work_and_cost(regions, CHAINS, CHAINS // 2)),
            ):
                if chain.banded:
                    yield begin, chain

    def _extended(
        self, begin: int, stop: int, end: int, chain: Chain, shape: _Strip, beside: int
    ) -> Iterator[tuple[Chain, int]]:
        """A chain with operators `begin` to `stop` - 1 in front of it, and bytes of the line buffer it reads.

        beside: bytes that inputs and output of every region with that chain take at least.
        """
        after = chain.run
        for run in self._runs_of(begin, stop, after.demand if after is not None else 0):
            if run not in shape.costs:
                shape.costs[run] = self._cost(run, shape)
            cost, last = shape.costs[run], run.units[-1]
            macs, kept = chain.macs + cost.macs, chain.kept + cost.lines
            if after is not None:
                rows = self._capacity(after, last.output, last.rows, last.lead)
                kept += rows * shape.pitches[last.output]
                cost = cost._replace(cost=cost.cost - self._saved(last, after.units[0], shape))
            work = max(chain.work, run.work)
            if beside + kept + work < self._ceiling(macs, begin, end):
                banded, estimated = chain.banded or run.banded, chain.cost + cost.cost
                yield Chain(kept, work, macs, banded, run, chain, estimated), cost.below

    def _cost(self, run: Run, shape: _Strip) -> _Cost:
        """What a run costs in strips; columns outside of the image count with strips only."""
        macs = shape.strips * sum(count * shape.columns[tensor].width for tensor, count in run.macs.items())
        lines = sum(rows * shape.pitches[tensor] for tensor, rows in run.lines.items())
        below = self.network.nodes[run.begin - 1].tensor if run.begin else ""
        read = any(read.tensor == below for unit in run.units for read in unit.reads)
        rows = self._capacity(run, below, 1, 0) if read and below in shape.pitches else 0
        return _Cost(macs, lines, rows and rows * shape.pitches[below], self._estimated(run, shape))

    def _estimated(self, run: Run, shape: _Strip) -> float:
        """Cost of the calls of a run, of bands with their columns that are gathered and scattered."""
        total, costs = 0.0, self.parts.costs
        for place, unit in enumerate(run.units):
            columns = shape.columns[unit.output]
            if not unit.members:
                index = self.network.position[unit.name]
                one = costs.call(index, unit.rows, columns.width, whole=shape.whole) + costs.moving.event
            else:
                # How many columns there are matters, not where.
                key = run, place, None if shape.whole else columns.width
                if key not in self._sweeps:
                    self._sweeps[key] = self._swept(unit, None if shape.whole else columns)
                one = self._sweeps[key]
            total += unit.calls * one
        return shape.strips * (
            total - sum(self._saved(one, other, shape) for one, other in pairwise(run.units))
        )

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
                    one += costs.moving.rows(pixels, pixel_bytes(self.network.specs[read.tensor]))
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
            for rows in (rows for rows in BAND_ROWS if rows <= height):
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

    def _capacity(self, run: Run, tensor: str, rows: int, lead: int) -> int:
        """Rows of the line buffer of a tensor that a run reads and that is made `rows` at a time, `lead` at first."""
        key = run, tensor, rows, lead
        if key not in self._rows:
            spec = self.network.specs[tensor]
            height, width = spec.shape[ROWS], spec.shape[COLUMNS]
            # Whoever makes several rows is a segment and makes none outside of the image.
            members = (Operation(tensor, tensor, height, width, 1, ()),) if lead else ()
            maker = Operation(tensor, tensor, height, width, rows, (), members, lead)
            self._rows[key] = stream_rows((maker, *run.units)).buffers[tensor].rows
        return self._rows[key]

    def _estimate(self, begin: int, end: int, chain: Chain, shape: _Strip) -> int:
        """Peak of a region, about, if all of its input that can be overwritten is."""
        run, size = chain.run, self.parts.size
        assert run is not None
        output = size[self.network.nodes[end - 1].tensor]
        fetched = pulls_of(run.units, self.settings.pulled)
        lines = sum(self._capacity(run, tensor, 1, 0) * shape.pitches[tensor] for tensor in fetched)
        below = self.network.nodes[begin - 1].tensor if begin else next(iter(self.network.inputs))
        shared = min(output, size.get(self.network.roots[below], 0))
        if not shape.whole or not self.settings.overwrite:
            shared = 0
        return self.parts.live[begin] + output + lines + chain.kept + chain.work - shared

    def _planned(self, begin: int, end: int, chain: Chain, strip: int) -> Iterator[Part]:
        """The region of a chain with the memory that it takes when it runs, if it can, beside its input and over it."""
        network, settings = self.network, self.settings
        names = tuple(node.name for node in network.nodes[begin:end])
        segments = []
        link: Chain | None = chain
        while link is not None and link.run is not None:
            for unit in link.run.units:
                if unit.members:
                    inside = tuple(member.name for member in unit.members)
                    segments.append(Segment(inside, unit.rows, unit.lead))
            link = link.after
        banded = {name for segment in segments for name in segment.operators}
        rows = {name: 1 for name in names if name not in banded}
        region = Region(names, strip, rows, tuple(segments))
        try:
            workspace = region_workspace(
                network, region, settings.pulled, settings.scratch, whole_rows=settings.whole_rows
            )
        except PlanError:
            return
        output = self.parts.size[network.nodes[end - 1].tensor]
        block = workspace.place(settings.alignment).arena_bytes
        peak = self.parts.live[begin] + output + block
        macs, calls = region_macs(network, region, workspace), workspace.calls
        cost = region_cost(network, workspace, self.parts.costs)
        yield Part(peak, macs, calls, begin, end, strip, region.segments, output, cost=cost)
        if workspace.strips == 1:
            done = rows_done(workspace.operations, workspace.stream)
            shared = self.parts.sharing(begin, workspace.operations, done)
            if shared.nbytes:
                less = peak - shared.nbytes
                where = output, *shared[1:]
                yield Part(less, macs, calls, begin, end, strip, region.segments, *where, cost=cost)


def _unit(members: Sequence[Operation]) -> Operation:
    return members[0] if len(members) == 1 else segment_operation(members, 1, 1)


def _separates(members: Sequence[Operation], cut: int, below: str) -> bool:
    """Whether only the tensor made in front of a cut is read behind it; below: what the first of them may read."""
    made = {one.output for one in members[cut:]}
    read = {read.tensor for one in members[cut:] for read in one.reads} - made
    return read & ({one.output for one in members[:cut]} | {below}) <= {members[cut - 1].output}


def by_work_and_cost(candidates: list[Candidate], most: int, cheap: int) -> list[Candidate]:
    """At most `most` that stand out by their work, and `cheap` that do by their cost, each once."""
    work = outstanding(candidates, most)
    # Costs as whole numbers, like work.
    priced = [one._replace(macs=round(one.chain.cost)) for one in candidates]
    known = {id(one.chain) for one in work}
    cost = {id(one.chain) for one in outstanding(priced, cheap)} - known
    return [*work, *(one for one in candidates if id(one.chain) in cost)]


def outstanding(candidates: list[Candidate], most: int) -> list[Candidate]:
    """Those with less memory than every one of no more work; at most `most`, those that stand out.

    One stands out by the memory that it saves over the one before, times the work that it saves over the next.
    """
    front: list[Candidate] = []
    for one in sorted(candidates, key=lambda one: one[:2]):
        if not front or one[1] < front[-1][1]:
            front.append(one)
    while len(front) > most:
        saved = [
            (before.memory - one.memory) * (after.macs - one.macs)
            for before, one, after in zip(front, front[1:], front[2:], strict=False)
        ]
        del front[saved.index(min(saved)) + 1]
    return front
