"""Choose one candidate per layer for the whole network: instructions against bytes of code, within the scratch.

Layers share micro-kernels by name, so what a candidate adds to the code depends on what the other layers take.
Minimising instructions plus code at a price per byte is a facility location problem; it is solved by local search:
layers change their candidate as long as that pays, one by one and all users of a micro-kernel together. The price
follows from the objective. Where the code exceeds a limit the price is doubled until it fits, which gives up the
cheapest instructions per byte saved.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .kernel import Candidate

# Percent of all instructions that one percent of the code is worth.
WEIGHTS: Mapping[str, float] = {"speed": 0.0, "balanced": 0.13, "size": 5.0}
# What stands for the estimate of the plain schedule, which is none.
UNKNOWN = 1e12
# Doublings of the price in search of code that fits a limit.
DOUBLINGS = 40


@dataclass(frozen=True)
class Choice:
    """What was taken for a layer.

    candidates: what could be taken, by instructions; `taken` is an index into it.
    reasons: why each candidate was taken or was not.
    """

    candidates: Sequence[Candidate]
    taken: int
    reasons: Sequence[str]

    @property
    def candidate(self) -> Candidate:
        """The candidate taken."""
        return self.candidates[self.taken]


def code_bytes(candidate: Candidate) -> int:
    """Estimated code of a candidate that shares nothing."""
    return candidate.loop_bytes + sum(candidate.kernel_bytes.values())


def select(
    layers: Sequence[Sequence[Candidate]],
    objective: str = "balanced",
    *,
    scratch: Sequence[int] | None = None,
    code_limit: int | None = None,
) -> list[Choice]:
    """Choose a candidate for every layer.

    objective: one of WEIGHTS.
    scratch: bytes that each layer may take in the arena; a layer for which no candidate is small enough takes the
        smallest.
    code_limit: bytes that all code should take at most; what is smallest is taken when nothing fits.
    """
    network = _Network(layers, scratch)
    price = WEIGHTS[objective] * network.instructions_per_byte
    taken = network.search(price)
    if code_limit is not None and network.code(taken) > code_limit:
        price = max(price, network.instructions_per_byte / 1024)
        for _ in range(DOUBLINGS):
            price *= 2
            taken = network.search(price)
            if network.code(taken) <= code_limit:
                break
    return [network.choice(layer, taken) for layer in range(len(layers))]


def rounds(
    layers: Sequence[Sequence[Candidate]],
    scratch: Sequence[int] | None = None,
    kinds: Sequence[Hashable] | None = None,
) -> Iterator[list[Choice]]:
    """Selections in which every candidate that is within the scratch is taken at least once.

    kinds: of the layers; those of equal kind have equal candidates and share them out among themselves.
    """
    network = _Network(layers, scratch)
    alike: dict[Hashable, list[int]] = {}
    for layer, allowed in enumerate(network.allowed):
        alike.setdefault((layer if kinds is None else kinds[layer], tuple(allowed)), []).append(layer)
    needed = [-(-len(network.allowed[members[0]]) // len(members)) for members in alike.values()]
    for number in range(max(needed, default=0)):
        taken = [0] * len(layers)
        for members in alike.values():
            for place, layer in enumerate(members, number * len(members)):
                taken[layer] = network.allowed[layer][min(place, len(network.allowed[layer]) - 1)]
        yield [network.choice(layer, taken) for layer in range(len(layers))]


class _Network:
    """The candidates of all layers, and what a selection of them costs."""

    def __init__(self, layers: Sequence[Sequence[Candidate]], scratch: Sequence[int] | None) -> None:
        self.layers = layers
        self.kernels = [[candidate.kernel_bytes for candidate in layer] for layer in layers]
        self.limits = scratch
        self.allowed = [self._allowed(index) for index in range(len(layers))]

    def _allowed(self, layer: int) -> list[int]:
        candidates = self.layers[layer]
        limit = math.inf if self.limits is None else self.limits[layer]
        fitting = [index for index, candidate in enumerate(candidates) if candidate.scratch <= limit]
        least = min(range(len(candidates)), key=lambda index: candidates[index].scratch)
        return fitting or [least]

    @cached_property
    def fastest(self) -> list[int]:
        """The candidates of fewest instructions."""
        return [
            min(allowed, key=lambda index, layer=layer: _instructions(self.layers[layer][index]))  # type: ignore[misc]
            for layer, allowed in enumerate(self.allowed)
        ]

    @cached_property
    def instructions_per_byte(self) -> float:
        """Of the fastest selection."""
        estimates = [self.layers[layer][index].cost for layer, index in enumerate(self.fastest)]
        return sum(one for one in estimates if math.isfinite(one)) / max(1, self.code(self.fastest))

    def code(self, taken: Sequence[int]) -> int:
        """Bytes of the code of a selection."""
        shared: dict[str, int] = {}
        for layer, index in enumerate(taken):
            shared |= self.kernels[layer][index]
        loops = sum(self.layers[layer][index].loop_bytes for layer, index in enumerate(taken))
        return loops + sum(shared.values())

    def search(self, price: float) -> list[int]:
        """A selection that no single change makes cheaper, at a price per byte in instructions."""
        taken = list(self.fastest)
        if not price:
            return taken
        users = Counter(name for layer, index in enumerate(taken) for name in self.kernels[layer][index])
        changed = True
        while changed:
            changed = any([self._improve(layer, taken, users, price) for layer in range(len(taken))])
            changed |= any([self._drop(name, taken, users, price) for name in list(users)])
        return taken

    def _cost(self, layer: int, index: int, users: Counter[str], price: float) -> float:
        """Of a candidate beside what others use."""
        candidate = self.layers[layer][index]
        added = sum(size for name, size in self.kernels[layer][index].items() if not users[name])
        return _instructions(candidate) + price * (candidate.loop_bytes + added)

    def _improve(self, layer: int, taken: list[int], users: Counter[str], price: float) -> bool:
        """Give one layer what is cheapest for it while the others stay."""
        users.subtract(self.kernels[layer][taken[layer]].keys())
        costs = {index: self._cost(layer, index, users, price) for index in self.allowed[layer]}
        best = min(costs, key=costs.__getitem__)
        better = costs[best] < costs[taken[layer]]
        taken[layer] = best if better else taken[layer]
        users.update(self.kernels[layer][taken[layer]].keys())
        return better

    def _drop(self, name: str, taken: list[int], users: Counter[str], price: float) -> bool:
        """Take a micro-kernel away from all its users when that makes the network cheaper."""
        changes: dict[int, int] = {}
        for layer, index in enumerate(taken):
            if name in self.kernels[layer][index]:
                without = [other for other in self.allowed[layer] if name not in self.kernels[layer][other]]
                if not without:
                    return False
                costs = {other: self._cost(layer, other, users, price) for other in without}
                changes[layer] = min(costs, key=costs.__getitem__)
        trial = [changes.get(layer, index) for layer, index in enumerate(taken)]
        if not changes or self._total(trial, price) >= self._total(taken, price):
            return False
        taken[:] = trial
        users.clear()
        users.update(used for layer, index in enumerate(taken) for used in self.kernels[layer][index])
        return True

    def _total(self, taken: Sequence[int], price: float) -> float:
        instructions = sum(_instructions(self.layers[layer][index]) for layer, index in enumerate(taken))
        return instructions + price * self.code(taken)

    def choice(self, layer: int, taken: Sequence[int]) -> Choice:
        """What was taken for a layer, with the reasons."""
        candidates = self.layers[layer]
        others = set[str]().union(
            *(self.kernels[other][index] for other, index in enumerate(taken) if other != layer)
        )
        code = [
            candidate.loop_bytes + sum(size for name, size in kernels.items() if name not in others)
            for candidate, kernels in zip(candidates, self.kernels[layer], strict=True)
        ]
        mine = taken[layer]
        reasons = [
            self._why_taken(layer, mine) if index == mine else self._why_not(layer, index, mine, code)
            for index in range(len(candidates))
        ]
        return Choice(candidates, mine, reasons)

    def _why_taken(self, layer: int, mine: int) -> str:
        if len(self.layers[layer]) == 1:
            return "nothing else applies"
        if len(self.allowed[layer]) == 1:
            return "nothing else is within the scratch"
        return "fewest instructions" if mine == self.fastest[layer] else "cheapest with its code"

    def _why_not(self, layer: int, index: int, mine: int, code: Sequence[int]) -> str:
        candidates = self.layers[layer]
        if index not in self.allowed[layer]:
            limit = self.limits[layer] if self.limits is not None else 0
            return f"{candidates[index].scratch:,} bytes of scratch where {max(0, limit):,} are left"
        saved = candidates[mine].cost - candidates[index].cost
        added = code[index] - code[mine]
        if saved > 0:
            return f"saves {saved:,.0f} instructions for {added:,} bytes of code"
        if added < 0:
            return f"saves {-added:,} bytes of code for {-saved:,.0f} instructions"
        return f"{-saved:,.0f} instructions more"


def _instructions(candidate: Candidate) -> float:
    return min(candidate.cost, UNKNOWN)
