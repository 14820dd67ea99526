"""One plan of a front: the least work within a budget of memory, or the least memory within a bound on the work."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PlanError
from .footprint import PlanFigures, Settings
from .network import Network
from .search import MAX_FACTOR, pareto_front
from .taller import with_fewer_calls
from .words import limits

NAMED = 8
"""Plans listed in an error."""


@dataclass(frozen=True)
class PatchFront:
    """Plans for a network between the least work, which comes first, and the smallest arena; at least one."""

    network: Network
    settings: Settings
    plans: tuple[PlanFigures, ...]

    @classmethod
    def search(cls, network: Network, settings: Settings, *, max_factor: float = MAX_FACTOR) -> PatchFront:
        """Front of a network; see `pareto_front`."""
        return cls(network, settings, tuple(pareto_front(network, settings, max_factor=max_factor)))

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
        """That plan, with as many rows per call as the budget allows."""
        found = self.plans[self.first_within(arena_bytes)]
        return with_fewer_calls(self.network, found, self.settings, arena_bytes)

    def smallest(self, factor: float) -> PlanFigures:
        """The plan with the smallest arena whose work is at most `factor` times the plain model's.

        Raises PlanError when every plan does more.
        """
        for found in reversed(self.plans):
            if found.factor <= factor:
                return found
        raise PlanError(
            f"no plan does at most {factor:.3f} times the work of the plain model; the least is "
            f"{self.plans[0].factor:.3f}"
        )
