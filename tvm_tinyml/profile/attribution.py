"""From costs of C functions to costs of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tvm_tinyml.runner.report import LayerCount


@dataclass(frozen=True)
class Cost:
    """Executed instructions and what they cost.

    cycles: by the model; transfers: what register lists take beyond it (register_lists.py); unknown: instructions
    that were taken as one cycle for want of a model.
    """

    instructions: float = 0
    cycles: float = 0.0
    transfers: float = 0.0
    unknown: float = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.instructions + other.instructions,
            self.cycles + other.cycles,
            self.transfers + other.transfers,
            self.unknown + other.unknown,
        )

    def __mul__(self, factor: float) -> Cost:
        return Cost(
            self.instructions * factor, self.cycles * factor, self.transfers * factor, self.unknown * factor
        )

    def share(self, instructions: float) -> Cost:
        """The part that `instructions` of these instructions cost."""
        return self * (instructions / self.instructions) if self.instructions else Cost()


def summed_by_function(costs: Iterable[tuple[str, Cost]]) -> dict[str, Cost]:
    """Total cost of each function."""
    totals: dict[str, Cost] = {}
    for function, cost in costs:
        totals[function] = totals.get(function, Cost()) + cost
    return totals


def layer_costs(
    costs: Mapping[str, Cost], calls: Mapping[str, set[str]], layers: Sequence[LayerCount]
) -> list[Cost]:
    """Divide the costs of functions among the layers, in the order of `layers`.

    costs: by function; calls: functions that each one branches to. A function that only one layer function reaches
    belongs to it. Costs of functions that several reach, and of the entry function, go to the layer functions
    by the instructions that these executed outside of their own code; the cost of a layer function goes to the
    layers it computes by their instructions.
    """
    roots = list(dict.fromkeys(layer.function for layer in layers))
    owners = _owners(roots, calls)
    own = summed_by_function(
        (owners[_source(name)], cost) for name, cost in costs.items() if _source(name) in owners
    )
    shared = sum((cost for name, cost in costs.items() if _source(name) not in owners), start=Cost())
    executed = Counter[str]()
    for layer in layers:
        executed[layer.function] += layer.instructions
    whole = {}
    for root in roots:
        inside = own.get(root, Cost())
        whole[root] = inside + shared.share(max(0, executed[root] - inside.instructions))
    return [
        whole[layer.function] * (layer.instructions / max(1, executed[layer.function])) for layer in layers
    ]


def _owners(roots: Sequence[str], calls: Mapping[str, set[str]]) -> dict[str, str]:
    """The one layer function that reaches each function; those that several reach have no owner."""
    graph: dict[str, set[str]] = {}
    for caller, called in calls.items():
        graph.setdefault(_source(caller), set()).update(map(_source, called))
    reached_by: dict[str, list[str]] = {}
    for root in roots:
        reached, waiting = {root}, [root]
        while waiting:
            fresh = graph.get(waiting.pop(), set()) - reached - set(roots)
            reached |= fresh
            waiting += fresh
        for name in reached:
            reached_by.setdefault(name, []).append(root)
    return {name: found[0] for name, found in reached_by.items() if len(found) == 1}


def _source(function: str) -> str:
    """The function in the source of one that an optimizing compiler copied (name.constprop.0, name.part.0)."""
    return function.split(".", 1)[0]
