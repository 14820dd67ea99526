"""Columns that segments make at a time, as a choice: what they take and save in regions that are known.

A band that makes several columns at a time has fewer and larger calls and gathers less than once per column, but its
line buffers hold more of them. Segments of a region run one after the other, so that each may take what the region
leaves free of an arena.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .costs import Costs, region_cost
from .footprint import Settings, region_macs
from .network import Network
from .parts import Part
from .plan import Region
from .workspace import Workspace, sweep_workspace

COLUMNS_AT_ONCE = (2, 3, 4, 6, 9, 12)
"""Columns that are tried beside one."""


class Figures(NamedTuple):
    """What the bands of a segment take in one strip with so many columns at a time: bytes, cost and work."""

    columns: int
    nbytes: int
    cost: float
    macs: int


@dataclass
class Sweeps:
    """Segments of a network with more and more columns at a time."""

    network: Network
    costs: Costs
    _known: dict[Hashable, list[Figures]] = field(default_factory=dict)

    def of(
        self, part: Part, region: Region, workspace: Workspace, settings: Settings, arena_bytes: int | None
    ) -> Iterator[Part]:
        """A part with segments, and the cheapest with more columns at a time in an arena of so many bytes, if any.

        region, workspace: of the part. The peak of the second one is about right.
        """
        yield part
        if arena_bytes is None:
            return
        segments, most, cost, macs = [], 0, part.cost, part.macs
        for segment, index in zip(part.segments, sorted(workspace.sweeps), strict=True):
            one, *wider = self._figures(region, workspace, index, settings)
            room = arena_bytes - part.peak + one.nbytes
            best = min((one, *(way for way in wider if way.nbytes <= room)), key=lambda way: way.cost)
            segments.append(replace(segment, columns=best.columns))
            most = max(most, best.nbytes - one.nbytes)
            cost -= workspace.strips * (one.cost - best.cost)
            macs += workspace.strips * (best.macs - one.macs)
        if cost < part.cost:
            yield part._replace(peak=part.peak + most, macs=macs, segments=tuple(segments), cost=cost)

    def _figures(self, region: Region, workspace: Workspace, index: int, settings: Settings) -> list[Figures]:
        """Of the segment that is operation `index` of a region, with one column at a time first."""
        operation = workspace.operations[index]
        columns = workspace.columns[operation.output]
        output = columns if columns.step else None
        # How many columns there are matters, not where.
        width = columns.width if output else None
        scratch = tuple(settings.scratch.get(member.name, 0) for member in operation.members)
        key = operation.members[0].name, operation.name, operation.rows, operation.lead, width, scratch
        if key not in self._known:
            found = self._known[key] = []
            for count in (1, *(one for one in COLUMNS_AT_ONCE if one <= columns.width)):
                swept = sweep_workspace(
                    replace(operation, sweep=count),
                    output,
                    self.network.specs,
                    settings.scratch,
                    buffered=operation.output in workspace.stream.buffers,
                )
                nbytes = swept.place(settings.alignment).arena_bytes
                cost = region_cost(self.network, swept, self.costs, swapped=True)
                found.append(Figures(count, nbytes, cost, region_macs(self.network, region, swept)))
        return self._known[key]
