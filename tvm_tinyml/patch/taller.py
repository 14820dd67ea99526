"""More rows per call where there is room: memory that a plan leaves unused buys fewer and larger calls.

The search plans with single rows, which need the least memory. A kernel likes more: it sets up less often and finds
more pixels for its tiles. Where rows per call do not divide the height, the last call makes rows beyond the image; that
is worth it as long as it costs less than the calls that are saved. A call costs what some more pixels would
(`Settings.setup_pixels`): it reads, and on many cores expands, the weights of all channels before it multiplies.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import PlanError
from .footprint import EFFORT, Block, PlanFigures, Settings, footprint
from .geometry import Operation
from .network import Network
from .plan import PatchPlan, Region
from .region import region_operations


def with_fewer_calls(
    network: Network,
    found: PlanFigures,
    settings: Settings,
    arena_bytes: int,
    macs: int | None = None,
    effort: int = EFFORT,
    known: dict[Region, Block] | None = None,
) -> PlanFigures:
    """The plan with as many rows per call as an arena of `arena_bytes` allows, and work of at most `macs`.

    macs: multiply-accumulates, those outside of the image included; None: no more than the plan has.
    effort: of the memory planner, for every change that is tried.
    known: regions met before with the same network and settings; new ones are added.
    Regions with the most calls come first, then single operators of them, those first whose calls save the most.
    Strips, cuts and results stay what they are.
    """
    growth = _Growth(network, settings, arena_bytes, found.macs if macs is None else macs, found, effort)
    growth.known = growth.known if known is None else known
    for region in sorted(found.plan.regions, key=lambda region: -_calls(network, region)):
        for taller in _taller(network, region):
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
        self.known: dict[Region, Block] = {}

    def accepts(self, old: Region, new: Region) -> bool:
        """Put `new` in the place of `old` where that fits."""
        changed = _replaced(self.found.plan, old, new)
        try:
            candidate = footprint(self.network, changed, self.settings, self.known, self.effort, self.limit)
        except PlanError:
            return False
        if candidate.macs > self.macs or candidate.calls > self.found.calls:
            return False
        # Rows that a stride passes over are made with their neighbours, and what they read as well.
        pixels = self.settings.setup_pixels
        more_work = candidate.macs - self.found.macs
        if more_work > pixels * (_setup(self.network, old) - _setup(self.network, new)):
            return False
        if candidate.arena_bytes > self.limit:
            return False
        self.found = candidate
        return True

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

    def _saved(self, region: Region) -> list[tuple[str, int]]:
        """Operators of a region that can make twice their rows, with what fewer calls save."""
        operations = region_operations(self.network.chosen(region), region)
        strips = -(-operations[-1].width // region.strip)
        saved = []
        for operation in operations:
            fewer = operation.calls - replace(operation, rows=2 * operation.rows).calls
            if 2 * operation.rows <= operation.height:
                saved.append((operation.name, strips * fewer * _weights(self.network, operation)))
        return saved


def _calls(network: Network, region: Region) -> int:
    operations = region_operations(network.chosen(region), region)
    strips = -(-operations[-1].width // region.strip)
    return strips * sum(operation.height for operation in operations)


def estimated_work(network: Network, found: PlanFigures, settings: Settings) -> float:
    """Multiply-accumulates of a plan with what its calls cost beside their pixels."""
    return found.macs + settings.setup_pixels * sum(_setup(network, region) for region in found.plan.regions)


def _setup(network: Network, region: Region) -> int:
    """Work of the calls of a region for one pixel each; members of segments are called once per column."""
    operations = region_operations(network.chosen(region), region)
    strips = -(-operations[-1].width // region.strip)
    return sum(
        one.calls * one.width * sum(_weights(network, member) for member in one.members)
        if one.members
        else strips * one.calls * _weights(network, one)
        for one in operations
    )


def _weights(network: Network, operation: Operation) -> int:
    """Work of an operation for one pixel, at least one unit per channel."""
    channels = network.specs[operation.output].shape[-1]
    macs = network.macs[network.position[operation.name]]
    return max(channels, macs // (operation.height * operation.width))


def _taller(network: Network, region: Region) -> list[Region]:
    """The region with more rows per call, the most first: the least that make so few calls.

    None of a region with segments: their bands are chosen for the work they repeat.
    """
    if region.segments:
        return []
    height = region_operations(network.chosen(region), region)[-1].height
    counts = {-(-height // calls) for calls in range(1, height)}
    return [_with_rows(network, region, count) for count in sorted(counts, reverse=True)]


def _with_rows(network: Network, region: Region, count: int) -> Region:
    """The region when its last operator makes `count` rows per call and the others keep pace."""
    operations = region_operations(network.chosen(region), region)
    pace = {operations[-1].output: min(count, operations[-1].height)}
    rows = {}
    for operation in reversed(operations):
        rows[operation.name] = min(pace[operation.output], operation.height)
        for read in operation.reads:
            wanted = pace[operation.output] * read.rows.stride
            pace[read.tensor] = max(pace.get(read.tensor, 1), wanted)
    return replace(region, rows=rows)


def _replaced(patch_plan: PatchPlan, old: Region, new: Region) -> PatchPlan:
    return replace(patch_plan, regions=tuple(new if one is old else one for one in patch_plan.regions))
