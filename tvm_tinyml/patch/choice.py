"""One plan of a front: the least work within a budget of memory, or the least memory within a bound on the work."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PlanError
from .footprint import PlanFigures, Settings
from .network import Network
from .search import MAX_FACTOR, pareto_front
from .taller import estimated_work, with_fewer_calls
from .words import limits

NAMED = 8
"""Plans listed in an error."""

TRIED = 2
"""Plans of more work that are tried within a budget."""


@dataclass(frozen=True)
class PatchFront:
    """Plans for a network between the least work, which comes first, and the smallest arena; at least one.

    plans: with single rows per call, outside of segments.
    max_factor: bound on the work of all plans, as a multiple of the plain network's.
    """

    network: Network
    settings: Settings
    plans: tuple[PlanFigures, ...]
    max_factor: float = MAX_FACTOR

    @classmethod
    def search(cls, network: Network, settings: Settings, *, max_factor: float = MAX_FACTOR) -> PatchFront:
        """Front of a network; see `pareto_front`."""
        plans = pareto_front(network, settings, max_factor=max_factor)
        return cls(network, settings, tuple(plans), max_factor)

    def taller(self, number: int) -> PlanFigures:
        """Plan `number`, with as many rows per call as cost neither memory nor work."""
        found = self.plans[number]
        return with_fewer_calls(self.network, found, self.settings, found.arena_bytes)

    def first_within(self, arena_bytes: int) -> int:
        """Number of the plan with the least work whose arena has at most `arena_bytes`.

        Raises PlanError with the smallest arena found, what sets it, and the front, when there is none.
        """
        for number, found in enumerate(self.plans):
            if found.arena_bytes <= arena_bytes:
                return number
        smallest = self.plans[-1]
        others = ", ".join(f"{one.arena_bytes:,} at {one.factor:.3f}" for one in self.plans[-NAMED:])
        raise PlanError(
            f"no plan found needs at most {arena_bytes:,} bytes; the smallest needs {smallest.arena_bytes:,} and "
            f"does {smallest.factor:.3f} times the work of the plain model. {limits(self.network, smallest)} "
            f"Bytes at times the work, of the smallest plans: {others}."
        )

    def within(self, arena_bytes: int) -> PlanFigures:
        """The plan with the least estimated work that keeps the budget, with as many rows per call as it allows.

        Rows beyond the image must pay for themselves. A plan with a little more work whose calls have more room may
        beat the one with the least, so the next few are tried as well.
        """
        first = self.first_within(arena_bytes)
        best = self._grown(self.plans[first], arena_bytes)
        least = self.estimated_work(best)
        for found in self.plans[first + 1 : first + 1 + TRIED]:
            if found.macs >= least:
                break
            taller = self._grown(found, arena_bytes)
            work = self.estimated_work(taller)
            if work < least:
                best, least = taller, work
        return best

    def estimated_work(self, found: PlanFigures) -> float:
        """Multiply-accumulates of a plan with what its calls cost beside their pixels."""
        return estimated_work(self.network, found, self.settings)

    def _grown(self, found: PlanFigures, arena_bytes: int) -> PlanFigures:
        most = max(found.macs, int(self.max_factor * found.plain_macs))
        return with_fewer_calls(self.network, found, self.settings, arena_bytes, most)

    def smallest(self, factor: float) -> PlanFigures:
        """The plan with the smallest arena whose work is at most `factor` times the plain model's.

        Raises PlanError when every plan does more.
        """
        for number, found in reversed(list(enumerate(self.plans))):
            if found.factor <= factor:
                return self.taller(number)
        raise PlanError(
            f"no plan does at most {factor:.3f} times the work of the plain model; the least is "
            f"{self.plans[0].factor:.3f}"
        )
