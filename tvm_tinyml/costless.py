"""Streaming that costs next to nothing: which plan a build takes without being asked to save memory.

A front of patch plans knows work and memory, not what smaller calls cost. So plans without repeated work are tried from
the smallest arena on, with as many rows per call as that allows, and compared by the estimates of the schedules that
they would get. Estimates of whole networks are within a few percent; what a region does besides calling its layers is
charged with more than it took in any build that was counted, what has no estimate is charged to the plan and not to the
plain model, and of the five percent that streaming may add a quarter is left for errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite

from .choose import Estimate, LayerEstimate
from .patch import PatchPlan, Region
from .patch.choice import PatchFront
from .patch.footprint import Block, PlanFigures
from .patch.taller import with_fewer_calls

# Instructions that a plan may add by its estimate; counted, the bound is five percent.
MOST_EXTRA = 0.0375
# Fraction of the arena that a plan has to save, and bytes for each of its regions: one takes 200 to 1,000 bytes of
# code, of which boards have at least four times as much as of RAM.
LEAST_SAVING, LEAST_PER_REGION = 0.1, 100
# Percents of the arena that one percent of the instructions has to save between plans.
PRICE = 5.0
# Sizes of the arena that are tried between the smallest one and that of the plain model.
SIZES = 4
# Of the memory planner for one change of a plan: what it misses are a few bytes of one plan among several.
_EFFORT = 1000
# Instructions of an element or a product of a layer without an estimate, and of a call inside a region.
_PER_ELEMENT, _PER_CALL = 12.0, 60.0


def costless_plan(
    front: PatchFront, plain: Estimate, estimate: Callable[[PatchPlan], Estimate]
) -> PatchPlan | None:
    """The plan that saves the most for the instructions that it adds, which are few; None when there is none.

    plain: of the model without a plan. estimate: of the model under a plan of the front's terms.
    """
    best: tuple[float, PatchPlan] | None = None
    for found in _candidates(front, most_bytes(plain, regions=1)):
        if best is not None and found.arena_bytes >= best[0]:
            # Without a single instruction more it would be no better, and those that follow are larger.
            break
        costs = estimate(found.plan)
        extra = extra_instructions(plain, costs)
        if extra > MOST_EXTRA:
            continue
        if costs.arena_bytes > most_bytes(plain, len(found.plan.regions)):
            continue
        price = costs.arena_bytes * (1 + PRICE * extra)
        if best is None or price < best[0]:
            best = price, found.plan
    return None if best is None else best[1]


def most_bytes(plain: Estimate, regions: int) -> float:
    """The largest arena for which a plan with so many regions pays."""
    return plain.arena_bytes - max(LEAST_SAVING * plain.arena_bytes, LEAST_PER_REGION * regions)


def extra_instructions(plain: Estimate, streamed: Estimate) -> float:
    """Estimated instructions that streaming adds, as a fraction of the plain model's; pessimistic."""
    total = sum(layer.instructions for layer in plain.layers.values() if isfinite(layer.instructions))
    extra = _PER_CALL * streamed.region_calls + streamed.moving
    for name, layer in streamed.layers.items():
        before = plain.layers.get(name)
        if before is not None and before.operator != layer.operator:
            before = None
        known = before is not None and isfinite(before.instructions)
        if before is not None and not known and not layer.streamed:
            # The same layer on the same tensors, whatever it costs.
            continue
        extra += _charged(layer)
        if before is not None and known:
            extra -= before.instructions
    return extra / total if total else float("inf")


def _charged(layer: LayerEstimate) -> float:
    return (
        layer.instructions if isfinite(layer.instructions) else _PER_ELEMENT * (layer.elements + layer.macs)
    )


def _candidates(front: PatchFront, limit: float) -> Iterator[PlanFigures]:
    """Plans without repeated work whose tensors take at most `limit` bytes, the smallest arenas first."""
    free = [one for one in front.plans if one.factor <= 1.0 and one.plan.regions]
    if not free:
        return
    seen: set[str] = set()
    known: dict[Region, Block] = {}
    least, most = free[-1].arena_bytes, front.plans[0].arena_bytes
    for step in range(SIZES):
        budget = int(least * (most / least) ** (step / SIZES))
        fitting = [one for one in free if one.arena_bytes <= budget]
        # The fewest regions to begin with, or the most memory to spare.
        for one in dict.fromkeys((0, len(fitting) - 1)):
            if fitting[one].arena_bytes > limit:
                continue
            found = with_fewer_calls(
                front.network, fitting[one], front.settings, budget, effort=_EFFORT, known=known
            )
            key = found.plan.to_json()
            if found.arena_bytes <= limit and key not in seen:
                seen.add(key)
                yield found
