"""Plans next to a plan: one of its regions is left out, loses an operator at an end, or makes more rows per call.

The search of a front knows nothing of layers whose output may lie over their input, or of what their kernels need
beside it. Where estimates do, a plan of the front is a place to begin with, from which such steps lead on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .network import Network
from .plan import PatchPlan, Region
from .region import region_operations


def neighbours(network: Network, plan: PatchPlan, number: int) -> Iterator[PatchPlan]:
    """Plans with region `number` changed; whether what is left of it can run as a region is not asked.

    A region with segments is left out or stays what it is.
    """
    for changed in _changed(network, plan.regions[number]):
        yield replace(plan, regions=(*plan.regions[:number], *changed, *plan.regions[number + 1 :]))


def _changed(network: Network, region: Region) -> Iterator[tuple[Region, ...]]:
    """What may take the place of a region."""
    operations = region_operations(network.chosen(region), region)
    if not region.segments:
        if len(operations) > 1:
            yield (_only(region, region.operators[1:], region.strip),)
            if region.strip >= operations[-1].width:
                yield (_only(region, region.operators[:-1], operations[-2].width),)
        more = {one.name: min(2 * one.rows, one.height) for one in operations}
        if more != region.rows:
            yield (replace(region, rows=more),)
    yield ()


def _only(region: Region, operators: tuple[str, ...], strip: int) -> Region:
    rows = {name: region.rows[name] for name in operators}
    settling = tuple(one for one in region.settling if one in rows)
    return Region(operators, strip, rows, settling=settling, floating=region.floating)
