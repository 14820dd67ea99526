"""Streaming that costs next to nothing: which plan a build takes without being asked to save memory.

A front of patch plans knows work and memory, not what smaller calls cost. So plans without repeated work are tried from
the smallest arena on, with as many rows per call as that allows, and compared by the estimates of the schedules that
they would get; from the best one on, and from those that add the least where that is not worth it, single regions are
changed as long as that pays. Memory has a price in instructions, which the plain model pays as well: a plan is taken
where it is worth it. Estimates of whole networks are within a few percent; what a region does besides calling its
layers is charged with more than it took in any build that was counted, what has no estimate is charged to the plan and
not to the plain model, and of the five percent that streaming may add a quarter is left for errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf, isfinite

from .choose import PER_ELEMENT, Estimate, LayerEstimate
from .errors import PlanError
from .patch import PatchPlan, Region
from .patch.choice import PatchFront
from .patch.footprint import Block, PlanFigures
from .patch.neighbours import neighbours
from .patch.network import Network
from .patch.taller import with_fewer_calls

# Instructions that a plan may add by its estimate; counted, the bound is five percent.
MOST_EXTRA = 0.0375
# Fraction of the arena that a plan has to save, and bytes for each of its regions: one takes 200 to 1,000 bytes of
# code, of which boards have at least four times as much as of RAM.
LEAST_SAVING, LEAST_PER_REGION = 0.1, 100
# Percents of the arena that one percent of the instructions has to save, and the same where every product takes an
# instruction or more of its own: such cores need several times as long for a network, so their time is worth more.
PRICE, SCALAR_PRICE = 5.0, 30.0
# The same beyond `MOST_EXTRA`, so that steps lead back.
_TOO_MUCH = 100.0
# Sizes of the arena that are tried between the smallest one and that of the plain model, and changes of the best plan.
SIZES, CHANGES = 4, 30
# Of the memory planner for one change of a plan: what it misses are a few bytes of one plan among several.
_EFFORT = 1000
# Instructions of a call inside a region.
_PER_CALL = 60.0


def costless_plan(
    front: PatchFront, plain: Estimate, estimate: Callable[[PatchPlan], Estimate], price: float = PRICE
) -> PatchPlan | None:
    """The plan that saves the most for the instructions that it adds, which are few; None when there is none.

    plain: of the model without a plan. estimate: of the model under a plan of the front's terms; PlanError where it
    cannot run. price: bytes of the arena over all of them that are worth as much as instructions over all of them.
    """
    judge = _Judge(plain, estimate, price)
    tried: list[_Judged] = []
    for found in _candidates(front, most_bytes(plain, regions=1)):
        if any(one.pays and found.arena_bytes >= one.price for one in tried):
            # Without a single instruction more it would be no better, and those that follow are larger.
            break
        judged = judge.of(found.plan)
        tried += [judged] if judged is not None else []
    left = CHANGES
    tried.sort(key=_rank)
    for start in (*tried[:1], *sorted(tried[1:], key=lambda one: one.extra)):
        best, left = _changed(front.network, judge, start, left)
        if best.pays:
            return best.plan
    return None


def _changed(network: Network, judge: _Judge, best: _Judged, left: int) -> tuple[_Judged, int]:
    """A plan after at most `left` changes of single regions that make it better, each taken as soon as it is met, and
    how many changes are left.

    From the last region on, round and round: outputs that lie over one another move down step by step, so the memory
    that is left at the end is what the regions before need.
    """
    number, failed = len(best.plan.regions), 0
    while left > 0 and failed < len(best.plan.regions):
        number = (number - 1) % len(best.plan.regions)
        failed += 1
        for plan in neighbours(network, best.plan, number):
            left -= 1
            judged = judge.of(plan)
            if judged is not None and _rank(judged) < _rank(best):
                best, failed = judged, 0
                break
    return best, left


@dataclass(frozen=True)
class _Judged:
    """A plan, whether it may be taken and beats the plain model, what it adds in instructions, its arena with that."""

    plan: PatchPlan
    pays: bool
    extra: float
    price: float


def _rank(judged: _Judged) -> tuple[bool, float]:
    return not judged.pays, judged.price


@dataclass
class _Judge:
    plain: Estimate
    estimate: Callable[[PatchPlan], Estimate]
    price: float
    seen: set[str] = field(default_factory=set)
    paid: bool = False

    def of(self, plan: PatchPlan) -> _Judged | None:
        """A plan with what it costs; None where it cannot run, streams nothing, costs too much or is not new."""
        key = plan.to_json()
        if not plan.regions or key in self.seen:
            return None
        self.seen.add(key)
        try:
            costs = self.estimate(plan)
        except PlanError:
            return None
        extra = extra_instructions(self.plain, costs)
        if self.paid and extra > MOST_EXTRA:
            # It is behind every plan that pays, whatever its arena is.
            return None
        charged = self.price * extra + _TOO_MUCH * max(0.0, extra - MOST_EXTRA)
        price = costs.arena_bytes * (1 + charged) if extra < inf else inf
        saves = costs.arena_bytes <= most_bytes(self.plain, len(plan.regions))
        pays = extra <= MOST_EXTRA and saves and price <= self.plain.arena_bytes
        self.paid |= pays
        # Of plans that are worth nearly as much, the one with fewer regions.
        return _Judged(plan, pays, extra, price + LEAST_PER_REGION * len(plan.regions))


def most_bytes(plain: Estimate, regions: int) -> float:
    """The largest arena for which a plan with so many regions pays."""
    return plain.arena_bytes - max(LEAST_SAVING * plain.arena_bytes, LEAST_PER_REGION * regions)


def extra_instructions(plain: Estimate, streamed: Estimate) -> float:
    """Estimated instructions that streaming adds, as a fraction of the plain model's; pessimistic."""
    total = sum(layer.instructions for layer in plain.layers.values() if isfinite(layer.instructions))
    extra = _PER_CALL * streamed.region_calls + streamed.moving
    for name, layer in streamed.layers.items():
        before = plain.layers.get(name)
        known = before is not None and isfinite(before.instructions)
        same = before is not None and before.operator == layer.operator
        if same and not known and not layer.streamed:
            # The same layer on the same tensors, whatever it costs.
            continue
        extra += _charged(layer)
        if before is not None and known:
            # Of another operator as well: what makes a mean of a sum comes after the sum, which is a layer of its own.
            extra -= before.instructions
    # What the plain model computes by other layers: a convolution of which plans make several.
    replaced = (plain.layers[name].instructions for name in plain.layers.keys() - streamed.layers.keys())
    extra -= sum(instructions for instructions in replaced if isfinite(instructions))
    return extra / total if total else float("inf")


def _charged(layer: LayerEstimate) -> float:
    return layer.instructions if isfinite(layer.instructions) else PER_ELEMENT * (layer.elements + layer.macs)


def _candidates(front: PatchFront, limit: float) -> Iterator[PlanFigures]:
    """Plans without repeated work whose tensors take at most `limit` bytes, the smallest arenas first."""
    free = [one for one in front.plans if one.factor <= 1.0 and one.plan.regions]
    if not free:
        return
    known: dict[Region, Block] = {}
    least, most = free[-1].arena_bytes, front.plans[0].arena_bytes
    for step in range(SIZES):
        budget = int(least * (most / least) ** (step / SIZES))
        fitting = [one for one in free if one.arena_bytes <= budget]
        # The fewest regions to begin with, or the most memory to spare, or something of both.
        for one in dict.fromkeys((0, len(fitting) // 2, len(fitting) - 1)):
            if fitting[one].arena_bytes > limit:
                continue
            found = with_fewer_calls(
                front.network, fitting[one], front.settings, budget, effort=_EFFORT, known=known
            )
            if found.arena_bytes <= limit:
                yield found
