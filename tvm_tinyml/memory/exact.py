"""Optimal placement: the least capacity for which a complete search finds a placement.

The capacity is bracketed between what is proven too small and the best placement known, starting at the lower
bound, where most networks have a solution. Before each search, blocks whose neighbours cannot cover all their
possible starts are set aside and placed at the end, as registers of low degree are in graph colouring (Chaitin,
"Register allocation and spilling via graph coloring", 1982).

All arithmetic is on integers and the effort is counted in blocks looked at, so the result does not depend on the
machine unless the time limit ends the search. A mixed-integer program with one binary per conflicting pair
(HiGHS) was measured first: with 90 blocks and 350 pairs it often had no proof after 10 s, where this search
takes milliseconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tvm_tinyml.memory.greedy import first_fit
from tvm_tinyml.memory.problem import PlacementProblem
from tvm_tinyml.memory.search import Budget, OutOfBudgetError, Search

EFFORT = 150_000
"""Blocks looked at in all searches of one plan; about half a second of work."""


@dataclass(frozen=True)
class ExactPlacement:
    """Best placement found; it is optimal exactly if its arena equals the proven `lower_bound`, in bytes."""

    offsets: list[int]
    lower_bound: int


def place_exactly(
    problem: PlacementProblem,
    incumbent: list[int],
    *,
    time_limit: float,
    effort: int = EFFORT,
    enough: int = 0,
    most: int | None = None,
) -> ExactPlacement:
    """Improve `incumbent` until it is proven optimal or the budget is spent.

    incumbent: byte offset of every block in a valid placement.
    time_limit: seconds. effort: blocks looked at, over all capacities tried.
    enough: bytes below which no capacity is tried.
    most: bytes above which a placement is of no use: where none within them is found first, there is no other search.
    """
    deadline = time.monotonic() + time_limit
    granule = problem.granule
    best = incumbent
    proven = problem.lower_bound()
    # Capacities below this are proven too small, or have used up their share of the budget.
    open_from = target = max(proven, enough // granule * granule)
    remaining = effort
    if most is not None and most < problem.arena_bytes(best):
        budget = Budget(max(1, effort // 3), deadline)
        try:
            offsets = _place_in(problem, most // granule * granule, budget) if proven <= most else None
        except OutOfBudgetError:
            offsets = None
        if offsets is None:
            return ExactPlacement(best, proven)
        best = offsets
        remaining -= budget.spent
    while open_from < problem.arena_bytes(best) and remaining > 0 and time.monotonic() < deadline:
        budget = Budget(max(1, remaining // 3), deadline)
        try:
            offsets = _place_in(problem, target, budget)
        except OutOfBudgetError:
            open_from = target + granule
        else:
            if offsets is None:
                proven = open_from = target + granule
            else:
                best = offsets
        remaining -= budget.spent
        middle = (open_from + problem.arena_bytes(best) - granule) // 2
        target = max(open_from, middle // granule * granule)
    return ExactPlacement(best, proven)


def _place_in(problem: PlacementProblem, capacity: int, budget: Budget) -> list[int] | None:
    """Byte offset of every block in a placement within `capacity` bytes, or None if there is none."""
    hard, easy = _split(problem, capacity)
    search = Search(problem, hard, capacity)
    # A choice that misleads one order is often harmless for another: all get a short run before a long one.
    for share in (50, 4):
        for rank in search.ranks():
            attempt = Budget(max(1, budget.effort // share), budget.deadline)
            try:
                placed = search.run(rank, attempt)
            except OutOfBudgetError:
                continue
            finally:
                budget.spent += attempt.spent
            return None if placed is None else first_fit(problem, easy, placed)
    raise OutOfBudgetError


def _split(problem: PlacementProblem, capacity: int) -> tuple[list[int], list[int]]:
    """Blocks that need a search, and the others in an order in which each is sure to find a free start."""
    hard = dict.fromkeys(range(len(problem.blocks)))
    easy: list[int] = []
    previous = -1
    while previous != len(easy):
        previous = len(easy)
        for index in list(hard):
            if _always_finds_a_start(problem, index, hard, capacity):
                del hard[index]
                easy.append(index)
    return list(hard), easy[::-1]


def _always_finds_a_start(
    problem: PlacementProblem, index: int, others: dict[int, None], capacity: int
) -> bool:
    block = problem.blocks[index]
    starts = (capacity - block.nbytes) // block.alignment + 1
    blocked = 0
    for other, distance in problem.spacing[index].items():
        if other in others:
            # Starts strictly between "too close from below" and "too close from above".
            reach = distance + problem.spacing[other][index] - 2 * problem.granule
            blocked += reach // block.alignment + 1
    return blocked < starts
