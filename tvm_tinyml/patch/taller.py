"""More rows per call where there is room: memory that a plan leaves unused buys fewer and larger calls.

The search plans with single rows, which need the least memory. A kernel likes more: it sets up less often and finds
more pixels for its tiles.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import PlanError
from .footprint import Block, PlanFigures, Settings, footprint
from .network import Network
from .plan import PatchPlan, Region
from .region import region_operations


def with_fewer_calls(
    network: Network, found: PlanFigures, settings: Settings, arena_bytes: int
) -> PlanFigures:
    """The plan with as many rows per call as an arena of `arena_bytes` allows, and no more work.

    Regions with the most calls come first, then single operators of them, those first whose calls prepare for the most
    channels. Strips, cuts and results stay what they are.
    """
    growth = _Growth(network, settings, arena_bytes, found)
    for region in sorted(found.plan.regions, key=lambda region: -_calls(network, region)):
        for taller in _taller(network, region):
            if growth.accepts(region, taller):
                break
    growth.by_operator()
    return growth.found


class _Growth:
    """A plan whose regions get more rows per call as long as its arena and its work allow it."""

    def __init__(self, network: Network, settings: Settings, arena_bytes: int, found: PlanFigures) -> None:
        self.network = network
        self.settings = settings
        self.limit = arena_bytes
        self.found = found
        self.known: dict[Region, Block] = {}

    def accepts(self, old: Region, new: Region) -> bool:
        """Put `new` in the place of `old` where that fits."""
        changed = _replaced(self.found.plan, old, new)
        try:
            candidate = footprint(self.network, changed, self.settings, self.known)
        except PlanError:
            return False
        # Rows that a stride passes over are made with their neighbours, and what they read as well.
        more = candidate.macs > self.found.macs or candidate.calls > self.found.calls
        if more or candidate.arena_bytes > self.limit:
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
        """Operators of a region that can make twice their rows, with the channels that fewer calls prepare for."""
        operations = region_operations(self.network.chosen(region), region)
        strips = -(-operations[-1].width // region.strip)
        saved = []
        for operation in operations:
            if operation.height % (2 * operation.rows) == 0:
                channels = self.network.specs[operation.output].shape[-1]
                saved.append((operation.name, strips * operation.calls // 2 * channels))
        return saved


def _calls(network: Network, region: Region) -> int:
    operations = region_operations(network.chosen(region), region)
    strips = -(-operations[-1].width // region.strip)
    return strips * sum(operation.height for operation in operations)


def _taller(network: Network, region: Region) -> list[Region]:
    """The region with more rows per call, the most first; divisors of the height, which make no row twice.

    None of a region with segments: their bands are chosen for the work they repeat.
    """
    if region.segments:
        return []
    height = region_operations(network.chosen(region), region)[-1].height
    return [_with_rows(network, region, count) for count in range(height, 1, -1) if height % count == 0]


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
