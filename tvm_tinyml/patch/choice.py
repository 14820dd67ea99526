"""One plan of a front: the least work within a budget of memory, or the least memory within a bound on the work."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PlanError
from .footprint import PlanFigures
from .network import Network
from .words import limits

NAMED = 8
"""Plans listed in an error."""


def cheapest_within(network: Network, front: Sequence[PlanFigures], arena_bytes: int) -> PlanFigures:
    """The plan with the least work whose arena has at most `arena_bytes`.

    front: not empty, the least work first. Raises PlanError with the smallest arena found, what sets it, and the
    front, when there is none.
    """
    for found in front:
        if found.arena_bytes <= arena_bytes:
            return found
    smallest = front[-1]
    others = ", ".join(f"{one.arena_bytes:,} at {one.factor:.3f}" for one in front[-NAMED:])
    raise PlanError(
        f"no plan found needs at most {arena_bytes:,} bytes; the smallest needs {smallest.arena_bytes:,} and does "
        f"{smallest.factor:.3f} times the work of the plain model. {limits(network, smallest)} "
        f"Bytes at times the work, of the smallest plans: {others}."
    )


def smallest_within(front: Sequence[PlanFigures], factor: float) -> PlanFigures:
    """The plan with the smallest arena whose work is at most `factor` times the plain model's.

    front: not empty, the least work first. Raises PlanError when every plan does more.
    """
    for found in reversed(front):
        if found.factor <= factor:
            return found
    raise PlanError(
        f"no plan does at most {factor:.3f} times the work of the plain model; the least is {front[0].factor:.3f}"
    )
