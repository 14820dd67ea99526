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

    Regions with the most calls come first. Strips, cuts and results stay what they are.
    """
    known: dict[Region, Block] = {}
    for region in sorted(found.plan.regions, key=lambda region: -_calls(network, region)):
        for taller in _taller(network, region):
            changed = _replaced(found.plan, region, taller)
            try:
                candidate = footprint(network, changed, settings, known)
            except PlanError:
                continue
            if candidate.arena_bytes <= arena_bytes and candidate.macs <= found.macs:
                found = candidate
                break
    return found


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
