"""One plan: the least estimated cost within a budget of memory, or the least memory within a bound on the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..errors import PlanError
from .cheapest import Cheapest
from .footprint import Block, PlanFigures, Settings
from .network import Network
from .plan import Region
from .search import MAX_FACTOR, searched
from .taller import with_fewer_calls
from .words import limits

NAMED = 8
"""Plans listed in an error."""

GROWN = 3
"""Plans that get more rows per call before they are compared, beside that with the least work."""


@dataclass(frozen=True)
class PatchFront:
    """Plans for a network between the least work, which comes first, and the smallest arena; at least one.

    plans: with single rows per call, outside of segments.
    max_factor: bound on the work of all plans, as a multiple of the plain network's.
    cheapest: other plans, by cost; None: those of the front only. known: regions met before; new ones are added.
    """

    network: Network
    settings: Settings
    plans: tuple[PlanFigures, ...]
    max_factor: float = MAX_FACTOR
    cheapest: Cheapest | None = field(default=None, compare=False)
    known: dict[Region, Block] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def search(cls, network: Network, settings: Settings, *, max_factor: float = MAX_FACTOR) -> PatchFront:
        """Front of a network; see `pareto_front`."""
        return cls._searched(network, settings, max_factor, None)

    def with_scratch(self, scratch: Mapping[str, int]) -> PatchFront:
        """The front where kernels need other scratch; what does not depend on it is not searched again."""
        settings = replace(self.settings, scratch=scratch)
        return self._searched(self.network, settings, self.max_factor, self.cheapest)

    @classmethod
    def _searched(
        cls, network: Network, settings: Settings, max_factor: float, before: Cheapest | None
    ) -> PatchFront:
        plans, cheapest = searched(network, settings, max_factor=max_factor, before=before)
        return cls(network, settings, tuple(plans), max_factor, cheapest, cheapest.known)

    def taller(self, number: int) -> PlanFigures:
        """Plan `number`, with as many rows per call as cost neither memory nor work."""
        found = self.plans[number]
        return with_fewer_calls(self.network, found, self.settings, found.arena_bytes, known=self.known)

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

    def within(self, arena_bytes: int, factor: float | None = None) -> PlanFigures:
        """The plan with the least estimated cost that keeps the budget, with as many rows per call as it allows.

        factor: bound on its work as a multiple of the plain network's; None: `max_factor`. Rows beyond the image count.
        Raises PlanError when there is none, as `first_within` does or naming the least work within the budget.
        """
        first = self.plans[self.first_within(arena_bytes)]
        bound = self.max_factor if factor is None else factor
        macs = int(bound * first.plain_macs) if first.plain_macs else 0
        if factor is None:
            macs = max(macs, first.macs)
        elif first.macs > macs:
            raise PlanError(
                f"no plan found needs at most {arena_bytes:,} bytes and does at most {factor:.3f} times the work of "
                f"the plain model; allow more bytes, or {first.factor:.3f} times the work, the least within those bytes"
            )
        others = [] if self.cheapest is None else self.cheapest.plans(arena_bytes, macs)
        others += [one for one in self.plans if one.arena_bytes <= arena_bytes and one.macs <= macs]
        others.sort(key=lambda one: one.cost)
        grown = [
            with_fewer_calls(self.network, one, self.settings, arena_bytes, macs, known=self.known)
            for one in (first, *others[:GROWN])
        ]
        return min(grown, key=lambda one: (one.cost, one.macs))

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
