"""Search for a placement of blocks in a given capacity: complete, so that it also proves that there is none.

* Only left-justified placements are tried, lowest block first: each block stands on one placed before it, or
  on address 0, and starts no lower than the block before it. Every feasible capacity has such a placement. A
  block is not tried where another one still to come would fit entirely below it, because that one can be put
  there in any completion (Moffitt, "MiniMalloc", ASPLOS 2023).
* Blocks still to be placed which share no step, directly or through others, are independent problems.
* A set of unplaced blocks and the lowest start left to each decide everything that follows, so such a state
  is examined once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tvm_tinyml.memory.problem import PlacementProblem, round_up

Rank = Callable[[int, int], tuple[int, ...]]
State = tuple[tuple[int, ...], tuple[int, ...]]


class OutOfBudgetError(Exception):
    """The effort or time allowed ended before the question was decided; always caught by the exact planner."""


class Budget:
    """An amount of effort, in blocks looked at, and a deadline on the clock of `time.monotonic`."""

    def __init__(self, effort: int, deadline: float) -> None:
        self.effort = effort
        self.deadline = deadline
        self.spent = 0

    def spend(self, effort: int) -> None:
        """Account for some effort; raises OutOfBudgetError at the limit or after the deadline."""
        self.spent += effort
        if self.spent > self.effort or time.monotonic() > self.deadline:
            raise OutOfBudgetError


@dataclass
class _Node:
    """A state, the blocks that may be placed next, best last, and what the placed one leaves to do.

    pending: states, and of each the blocks whose floor is not what it was in this one.
    """

    state: State
    candidates: list[int]
    pending: list[tuple[State, list[int]]] = field(default_factory=list)


class Search:
    """Blocks `members` of a problem, to be placed below `capacity` bytes.

    A state is the tuple of unplaced blocks, in order of their first step, and the tuple of their floors: the
    lowest start that the placed blocks leave to each. What a run finds infeasible is kept for the next one.
    """

    def __init__(self, problem: PlacementProblem, members: list[int], capacity: int) -> None:
        blocks = problem.blocks
        self.problem = problem
        self.capacity = capacity
        self.nbytes = [block.nbytes for block in blocks]
        self.alignments = [block.alignment for block in blocks]
        self.members = tuple(sorted(members, key=lambda index: (blocks[index].first, index)))
        self.infeasible: set[State] = set()
        self.cuts: dict[tuple[int, ...], list[int]] = {}
        self.cliques = self._cliques()
        self.cliques_of: dict[int, list[int]] = {index: [] for index in members}
        for position, clique in enumerate(self.cliques):
            for index in clique:
                self.cliques_of[index].append(position)

    def ranks(self) -> Iterator[Rank]:
        """Orders in which the candidates of a node are tried, least first: (block, floor) -> key."""
        blocks = self.problem.blocks
        inside = set(self.members)
        weight = {
            index: sum(blocks[other].nbytes for other in self.problem.spacing[index] if other in inside)
            for index in self.members
        }
        duration = {index: blocks[index].last - blocks[index].first for index in self.members}
        yield lambda index, floor: (floor, -weight[index], index)
        yield lambda index, floor: (floor, -duration[index], -blocks[index].nbytes, index)
        yield lambda index, floor: (-duration[index], floor, index)

    def run(self, rank: Rank, budget: Budget) -> dict[int, int] | None:
        """Byte offset of every member, or None if the capacity does not suffice; may raise OutOfBudgetError."""
        placed: dict[int, int] = {}
        everything = self._components(self.members, [0] * len(self.members))
        stack = [_Node(((), ()), [], [(part, list(part[0])) for part in everything])]
        while stack:
            node = stack[-1]
            if not node.pending:
                stack.pop()
                continue
            child = self._examine(*node.pending.pop(), rank, budget)
            if child is not None:
                stack.append(child)
                self._place_next(child, placed)
                continue
            while stack and not stack[-1].candidates:
                self.infeasible.add(stack.pop().state)
            if not stack:
                return None
            self._place_next(stack[-1], placed)
        return placed

    def _examine(self, state: State, raised: list[int], rank: Rank, budget: Budget) -> _Node | None:
        """A node for a state whose floors were raised for some blocks; None where it is known to be infeasible."""
        indices, floors = state
        budget.spend(len(indices))
        if state in self.infeasible or not self._may_fit(state, raised):
            return None
        # A start at or above this leaves room for a whole unplaced block below it.
        limit = min([floor + self.nbytes[index] for index, floor in zip(indices, floors, strict=True)])
        candidates = [
            (rank(index, floor), index) for index, floor in zip(indices, floors, strict=True) if floor < limit
        ]
        candidates.sort(reverse=True)
        return _Node(state, [index for _, index in candidates])

    def _place_next(self, node: _Node, placed: dict[int, int]) -> None:
        chosen = node.candidates.pop()
        indices, floors = node.state
        place = indices.index(chosen)
        start = floors[place]
        placed[chosen] = start
        unplaced = indices[:place] + indices[place + 1 :]
        before = floors[:place] + floors[place + 1 :]
        distance = self.problem.spacing[chosen].get
        lowest = [start + distance(index, 0) for index in unplaced]
        # Floors are aligned, so only those that rise need to be.
        after = [
            floor if floor >= least else round_up(least, self.alignments[index])
            for index, floor, least in zip(unplaced, before, lowest, strict=True)
        ]
        raised = {index for index, old, new in zip(unplaced, before, after, strict=True) if old != new}
        node.pending = [
            (part, [index for index in part[0] if index in raised])
            for part in self._components(unplaced, after)
        ]

    def _components(self, unplaced: tuple[int, ...], floors: list[int]) -> list[State]:
        """Independent parts of a state, the smallest last because it is the first to be taken."""
        cuts = self.cuts.get(unplaced)
        if cuts is None:
            cuts = self.cuts[unplaced] = self._cuts(unplaced)
        parts = [(unplaced[a:b], tuple(floors[a:b])) for a, b in pairwise(cuts)]
        parts.sort(key=lambda part: -len(part[0]))
        return parts

    def _cuts(self, unplaced: tuple[int, ...]) -> list[int]:
        """Where independent parts begin and end."""
        blocks = self.problem.blocks
        cuts = [0]
        end = -2
        for position, index in enumerate(unplaced):
            if blocks[index].first > end and position:
                cuts.append(position)
            end = max(end, blocks[index].last)
        if unplaced:
            cuts.append(len(unplaced))
        return cuts

    def _may_fit(self, state: State, raised: list[int]) -> bool:
        """Whether the blocks of every clique, each stacked no lower than its floor, stay below the capacity.

        raised: blocks whose floors rose since this was last asked; cliques without one of them fit as before.
        """
        floor_of = dict(zip(*state, strict=True))
        for position in {position for index in raised for position in self.cliques_of[index]}:
            top = 0
            for floor, index in sorted(
                [(floor_of[index], index) for index in self.cliques[position] if index in floor_of]
            ):
                top = (top if top > floor else floor) + self.nbytes[index]
            if top > self.capacity:
                return False
        return True

    def _cliques(self) -> list[tuple[int, ...]]:
        """Largest sets of members that must all be disjoint, each in one step."""
        blocks = self.problem.blocks
        found: dict[tuple[int, ...], None] = {}
        for now in sorted({blocks[index].first for index in self.members}):
            alive = [index for index in self.members if blocks[index].first <= now <= blocks[index].last]
            present = set(alive)
            sharing = [pair for pair in self.problem.sharing if present.issuperset(pair)]
            # Of a pair that may overlap in place only one can be counted; each is, in a clique of its own.
            for excluded in ({lower for lower, _ in sharing}, {upper for _, upper in sharing}):
                found.setdefault(tuple(index for index in alive if index not in excluded))
        sets = [set(clique) for clique in found]
        return [
            clique for clique, own in zip(found, sets, strict=True) if not any(own < other for other in sets)
        ]
