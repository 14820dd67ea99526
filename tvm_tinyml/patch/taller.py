"""More rows per call where there is room: memory that a plan leaves unused buys fewer and larger calls.

A kernel likes more rows, and in segments more columns: it sets up less often and finds more pixels for its tiles. Where
rows per call do not divide the height, the last call makes rows beyond the image; that is worth it as long as it costs
less than the calls that are saved, by what calls are said to cost (`Settings.costs`). Segments may make fewer columns
at a time for that.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from ..errors import PlanError
from .cheapest import in_pace
from .footprint import EFFORT, Block, PlanFigures, Settings, block_of, footprint
from .network import Network
from .plan import PatchPlan, Region
from .region import region_operations

SWEEPS = (16, 12, 8, 6, 4, 3, 2, 1)
"""Columns that segments are tried to make at a time."""


def with_fewer_calls(
    network: Network,
    found: PlanFigures,
    settings: Settings,
    arena_bytes: int,
    macs: int | None = None,
    effort: int = EFFORT,
    known: dict[Region, Block] | None = None,
) -> PlanFigures:
    """The plan with as many rows per call as an arena of `arena_bytes` allows and make it cheaper; columns in segments.

    macs: bound on the work, rows outside of the image included; None: no more than the plan has.
    effort: of the memory planner, for every change that is tried.
    known: regions met before with the same network and settings; new ones are added.
    Regions whose calls cost the most come first, then single operators of them, those first that save the most calls.
    Strips, cuts and results stay what they are.
    """
    growth = _Growth(network, settings, arena_bytes, found.macs if macs is None else macs, found, effort)
    growth.known = growth.known if known is None else known
    for number in range(len(found.plan.regions)):
        growth.by_segment(number)
        growth.by_planes(number)
    for region in sorted(growth.found.plan.regions, key=lambda region: -growth.block(region).cost):
        for taller in growth.taller(region):
            if growth.accepts(region, taller):
                break
    growth.by_operator()
    return growth.found


class _Growth:
    """A plan whose regions get more rows per call as long as its arena and its work allow it."""

    def __init__(
        self,
        network: Network,
        settings: Settings,
        arena_bytes: int,
        macs: int,
        found: PlanFigures,
        effort: int,
    ) -> None:
        self.network = network
        self.settings = settings
        self.limit = arena_bytes
        self.macs = macs
        self.effort = effort
        self.found = found
        self.costs = settings.costs_of(network)
        self.known: dict[Region, Block] = {}

    def block(self, region: Region) -> Block:
        """A region with its figures."""
        return block_of(self.network, region, self.settings, self.costs, self.known)

    def accepts(self, old: Region, new: Region, *, more_calls: bool = False) -> bool:
        """Put `new` in the place of `old` where that fits and costs less, or as much in fewer calls.

        more_calls: whether it may make them.
        """
        try:
            before, after = self.block(old), self.block(new)
        except PlanError:
            return False
        if (after.cost, after.workspace.calls) >= (before.cost, before.workspace.calls):
            return False
        if after.nbytes > self.limit or (not more_calls and after.workspace.calls > before.workspace.calls):
            return False
        changed = _replaced(self.found.plan, old, new)
        candidate = footprint(
            self.network, changed, self.settings, self.known, self.effort, enough=self.limit, most=self.limit
        )
        if candidate.macs > self.macs or candidate.arena_bytes > self.limit:
            return False
        self.found = candidate
        return True

    def taller(self, region: Region) -> list[Region]:
        """The region with more rows per call, the cheapest first: the least that make so few calls.

        None of a region with segments: their bands are chosen for the work they repeat.
        """
        if region.segments:
            return []
        height = region_operations(self.network.chosen(region), region)[-1].height
        counts = {-(-height // calls) for calls in range(1, height)}
        found = []
        for count in counts:
            taller = in_pace(self.network, region, count)
            try:
                found.append((self.block(taller).cost, -count, taller))
            except PlanError:
                continue
        return [taller for _, _, taller in sorted(found, key=lambda one: one[:2])]

    def by_segment(self, number: int) -> None:
        """Other columns at a time for the segments of region `number`, one after the other: the cheapest that fit."""
        for place, segment in enumerate(self.found.plan.regions[number].segments):
            region = self.found.plan.regions[number]
            others = [_swept(region, place, columns) for columns in SWEEPS if columns != segment.columns]
            for swept in sorted(others, key=self._cost):
                if self.accepts(region, swept, more_calls=True):
                    break

    def _cost(self, region: Region) -> float:
        """Of the calls of a region; one that cannot run costs infinitely much."""
        try:
            return self.block(region).cost
        except PlanError:
            return inf

    def by_planes(self, number: int) -> None:
        """Let operators of region `number` that are settling make planes, all of them or those that save the most."""
        region = self.found.plan.regions[number]
        if not region.settling or self.accepts(region, replace(region, settling=())):
            return
        fewer = [self._without(region, name) for name in region.settling]
        order = sorted(zip(fewer, region.settling, strict=True), key=lambda one: self.block(one[0]).cost)
        for _, name in order:
            region = self.found.plan.regions[number]
            self.accepts(region, self._without(region, name))

    def _without(self, region: Region, name: str) -> Region:
        return replace(region, settling=tuple(one for one in region.settling if one != name))

    def by_operator(self) -> None:
        """Double the rows of one operator after the other, until nothing fits any more."""
        full: set[str] = set()
        while candidates := sorted(
            (-saved, name, number)
            for number, region in enumerate(self.found.plan.regions)
            if not region.segments
            for name, saved in self._saved(region)
            if name not in full
        ):
            _, name, number = candidates[0]
            region = self.found.plan.regions[number]
            taller = replace(region, rows={**region.rows, name: region.rows[name] * 2})
            if not self.accepts(region, taller):
                full.add(name)

    def _saved(self, region: Region) -> list[tuple[str, float]]:
        """Operators of a region that can make twice their rows, with what that saves."""
        workspace = self.block(region).workspace
        saved = []
        for operation in workspace.operations:
            if operation.name in region.rows and 2 * operation.rows <= operation.height:
                doubled = replace(operation, rows=2 * operation.rows)
                index, columns = self.network.position[operation.name], workspace.columns[operation.output]
                now, then = (
                    one.calls * self.costs.call(index, one.rows, columns.width, whole=columns.step == 0)
                    for one in (operation, doubled)
                )
                saved.append((operation.name, workspace.strips * (now - then)))
        return saved


def _swept(region: Region, place: int, columns: int) -> Region:
    """A region whose segment `place` makes so many columns at a time."""
    own = region.segments
    return replace(region, segments=(*own[:place], replace(own[place], columns=columns), *own[place + 1 :]))


def _replaced(patch_plan: PatchPlan, old: Region, new: Region) -> PatchPlan:
    return replace(patch_plan, regions=tuple(new if one is old else one for one in patch_plan.regions))
