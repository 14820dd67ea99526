"""Runs of operators that chains are made of, and what they cost in strips: most of it holds for every search.

What kernels need beside the tensors and how much memory there is change the memory of regions, not what their calls do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np

from ..errors import PlanError
from .bands import segment_operation, sweep
from .chains import Figures, Line, Run
from .costs import Costs, calls_of, handed_on
from .geometry import COLUMNS, PIXEL, ROWS, Columns, Operation, Read
from .network import Network
from .region import accumulated, operation_of, pixel_bytes
from .rows import stream_rows
from .sweeps import Sweeps
from .workspace import settles_at_start, sweep_bytes

BAND_ROWS = (1, 2, 3, 4, 6, 8)
"""Rows of a band that are tried."""

BEFORE, BEHIND = "", "behind"
"""Tensors that stand for those made in front of a run and behind it."""


class Strip(NamedTuple):
    """Columns that one strip of a region makes, bytes of a row of them, and how many strips there are."""

    columns: Mapping[str, Columns]
    pitches: Mapping[str, int]
    strip: int
    strips: int
    whole: bool


@dataclass
class Runs:
    """Runs of a network; pulled: inputs that are fetched row by row. costs: what calls cost."""

    network: Network
    pulled: frozenset[str]
    costs: Costs
    _lines: dict[tuple[Run, str, int, int], Line] = field(default_factory=dict)
    _cuts: dict[tuple[int, int], list[Run]] = field(default_factory=dict)
    _runs: dict[tuple[int, int, int], list[Run]] = field(default_factory=dict)
    _bands: dict[tuple[int, int, int, int], Run | None] = field(default_factory=dict)
    _sweeps: dict[tuple[str, str, int, int | None], float] = field(default_factory=dict)
    _figures: dict[tuple[Run, int, tuple[int, ...]], Figures] = field(default_factory=dict)
    _costs: dict[tuple[Run, bool, tuple[int, ...]], float] = field(default_factory=dict)
    _planes: dict[tuple[str, str, Columns], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.operations = [
            operation_of(node, 1) if by_rows else None
            for node, (by_rows, _) in zip(self.network.nodes, self.network.streams, strict=True)
        ]
        self.swaps = [self._can_swap(index) for index in range(len(self.network.nodes))]
        self.sweeps = Sweeps(self.network, self.costs)

    def _can_swap(self, index: int) -> bool:
        node = self.network.nodes[index]
        try:
            _ = node.transposed
        except PlanError:
            return False
        return self.network.streams[index][1] and accumulated(node) is None

    def figures(self, run: Run, end: int, shapes: Sequence[Strip]) -> Figures:
        """What a run costs in strips of regions that end at a cut.

        Columns outside of the image count with strips only.
        """
        key = run, end, tuple([shape.strip for shape in shapes])
        if key not in self._figures:
            self._figures[key] = self._found(run, shapes)
        return self._figures[key]

    def _found(self, run: Run, shapes: Sequence[Strip]) -> Figures:
        """The same."""
        below = self.network.nodes[run.begin - 1].tensor if run.begin else ""
        read = any(read.tensor == below for unit in run.units for read in unit.reads)
        rows = self.line(run, below, 1, 0).rows if read and below in shapes[0].pitches else 0
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

    def _estimated(self, run: Run, shape: Strip) -> float:
        """Cost of the calls of a run, of bands with their columns that are gathered and scattered."""
        # How many rows and columns there are matters, not where.
        widths = tuple([shape.columns[unit.output].width for unit in run.units])
        key = run, shape.whole, widths
        if key not in self._costs:
            self._costs[key] = self._of_strip(run, shape)
        return shape.strips * self._costs[key]

    def _of_strip(self, run: Run, shape: Strip) -> float:
        """The same in one strip."""
        total, costs = 0.0, self.costs
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
        return total - sum(self.saved(one, other, shape) for one, other in pairwise(run.units))

    def saved(self, maker: Operation, reader: Operation, shape: Strip) -> float:
        """What planes between two units that follow each other save in one strip."""
        if maker.members or reader.members:
            return 0.0
        key = maker.name, reader.name, shape.columns[reader.output]
        if key not in self._planes:
            alone = self.network.spans.get(maker.output, (0, 0))[1] == self.network.position[reader.name]
            found = alone and list(handed_on((maker, reader), shape.columns, {maker.output}))
            calls = (calls_of(self.network, one, shape.columns) for one in (maker, reader))
            self._planes[key] = self.costs.saved_by_planes(*calls) if found else 0.0
        return self._planes[key]

    def _swept(self, unit: Operation, columns: Columns | None) -> float:
        """Cost of one band."""
        costs, swept, total = self.costs, sweep(unit, columns), 0.0
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

    def between(self, begin: int, stop: int, demand: int) -> list[Run]:
        """Ways to make units of operators `begin` to `stop` - 1; demand: rows the next unit needs first, 0 for none."""
        key = begin, stop, demand
        if key not in self._runs:
            self._runs[key] = self._all_runs(begin, stop, demand)
        return self._runs[key]

    def _all_runs(self, begin: int, stop: int, demand: int) -> list[Run]:
        spans, nodes = self.network.spans, self.network.nodes
        members = [one for one in self.operations[begin:stop] if one is not None]
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

    def line_between(self, after: Run, run: Run) -> Line:
        """Line buffer between two runs."""
        last = run.units[-1]
        return self.line(after, last.output, last.rows, last.lead)

    def line(self, run: Run, tensor: str, rows: int, lead: int) -> Line:
        """Line buffer of a tensor that a run reads and that is made `rows` at a time, `lead` at first."""
        key = run, tensor, rows, lead
        if key not in self._lines:
            spec, last = self.network.specs[tensor], run.units[-1]
            height, width = spec.shape[ROWS], spec.shape[COLUMNS]
            # Whoever makes several rows is a segment and makes none outside of the image.
            members = (Operation(tensor, tensor, height, width, 1, ()),) if lead else ()
            source = () if tensor in self.pulled else (Read(BEFORE, PIXEL, PIXEL),)
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
