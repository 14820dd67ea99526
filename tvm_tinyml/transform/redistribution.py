"""Which kernels of a patched stage to shrink, where strides go and what grows, so that patches repeat less work.

MCUNetV2 (Lin et al., NeurIPS 2021) moves the receptive field out of the stage whose patches overlap: the halo gets
smaller, and later kernels, on small maps, see as much of the image as before. Here kernels are chosen greedily by the
figures of the patch plan itself: the cut that saves the most repeated work first, and for each the growth that costs
the fewest multiply-accumulates. A stride that moves to another layer changes the resolution of the maps between both,
which takes more training to make up for, and so comes where kernels do not suffice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from ..errors import PlanError
from ..patch import PatchPlan
from ..patch.choice import PatchFront
from ..patch.footprint import PlanFigures, Settings, footprint
from ..patch.geometry import ROWS
from ..patch.network import Network
from ..patch.patches import patched_stages
from ..patch.receptive import halo, receptive_field, repeating
from .dataflow import Call, Graph
from .kernels import Resize, convolutions, growing, joined, resize, shrinking
from .patch_network import network_of
from .strides import moves, restride

StrideMoves: TypeAlias = Literal["last", "alike", "never"]
_Changes: TypeAlias = Mapping[str, Resize]
_Kind: TypeAlias = Callable[[_Changes], Iterator[_Changes]]
REDUCTION = 0.6
"""Part of the repeated work that is to go."""
STRIDE_MOVES: tuple[StrideMoves, ...] = ("last", "alike", "never")


@dataclass(frozen=True)
class Figures:
    """A network under a patch plan.

    receptive_field: rows and columns of the input behind a value of the last map. halo: rows and columns of input
    that neighbouring patches share. factor: work over that of the plain network. macs: that work.
    """

    receptive_field: tuple[int, int]
    halo: tuple[int, int]
    factor: float
    macs: int
    arena_bytes: int

    @classmethod
    def of(cls, network: Network, found: PlanFigures) -> Figures:
        """Figures of a plan for a network."""
        return cls(
            receptive_field(network), halo(network, found.plan), found.factor, found.macs, found.arena_bytes
        )


@dataclass(frozen=True)
class Proposal:
    """Layers to change, one entry for each, what a plan costs before, and what `plan` costs after.

    It is the same plan, but for another number of patches where strides moved.
    """

    changes: tuple[Resize, ...]
    plan: PatchPlan
    before: Figures
    after: Figures


def propose(
    function: Any,
    search: Callable[[Network], PatchFront],
    ram_budget: int,
    *,
    reduction: float = REDUCTION,
    strides: StrideMoves = "last",
) -> Proposal:
    """Kernels and strides whose change lowers the work that patches repeat, without a smaller receptive field or more
    memory.

    function: of Relax, cleaned up as patch plans need it. search: plans for its network.
    ram_budget: bytes of the arena, scratch of kernels not counted; the plan with the least work within it is taken.
    reduction: part of the repeated work after which no more is cut.
    strides: whether those move: where kernels alone do not get there, from the start, or never.

    Raises PlanError when no plan keeps the budget, or no change lowers what the plan costs.
    """
    network = network_of(Graph.read(function))
    front = search(network)
    found = front.plans[front.first_within(ram_budget)]
    if found.macs <= found.plain_macs:
        raise PlanError(
            f"redistribution: the plan for {ram_budget:,} bytes repeats no work, so that smaller kernels save none; "
            f"set a smaller budget (the smallest plan needs {front.plans[-1].arena_bytes:,} bytes)"
        )
    sizes = _Sizes(function, found, front.settings)
    kinds = [sizes.cuts] if strides == "never" else [sizes.cuts, sizes.moves]
    if all(next(kind({}), None) is None for kind in kinds):
        raise PlanError(
            "redistribution: no convolution of the patched stage has a kernel that is longer than its stride and can "
            "be cut, or a stride that can move; there is no receptive field to move"
        )
    return sizes.proposal(reduction, [kinds] if strides != "last" else [kinds[:1], kinds])


def resized(function: Any, changes: Iterable[Resize]) -> tuple[Graph, list[Resize]]:
    """The graph of a function with other kernels and strides, and the changes that change what it computes.

    Raises PlanError for layers that are not there, or where sizes of maps would not fit any more.
    """
    graph, wanted = Graph.read(function), list(changes)
    layers = {call.attrs["name"]: call for call in convolutions(graph)}
    for change in wanted:
        if change.layer not in layers:
            raise PlanError(
                f"redistribution: {change.layer!r} is no convolution with constant weights of this module; "
                "propose changes for the module as the other passes leave it"
            )
    inexact = []
    try:
        restride(graph, {one.layer: one.strides for one in wanted if one.strides is not None})
        for change in wanted:
            if not resize(layers[change.layer], change) or change.strides is not None:
                inexact.append(change)
    except ValueError as error:
        raise PlanError(f"redistribution: {error}; an output would have another size") from None
    return graph, inexact


class _Sizes:
    """Sizes of the kernels under one patch plan."""

    def __init__(self, function: Any, found: PlanFigures, settings: Settings) -> None:
        network = network_of(Graph.read(function))
        self.function = function
        self.plan = found.plan
        self.settings = settings
        self.limit = found.arena_bytes
        self.sizes = {node.name: node.output.shape[ROWS:] for node in network.nodes}
        self.field = receptive_field(network)
        self.stage = {name for one in repeating(network, found.plan) for name in one.operators}

    def proposal(self, reduction: float, rounds: Sequence[Sequence[_Kind]]) -> Proposal:
        """Changes until enough of the repeated work is gone, of more kinds in each round."""
        before, first = self.figures({})
        changes: _Changes = {}
        best = before
        for kinds in rounds:
            while best.factor - 1 > (1 - reduction) * (before.factor - 1):
                candidates = [
                    (found, grown)
                    for kind in kinds
                    for wanted in kind(changes)
                    if (grown := self.grown(wanted)) is not None
                    and _better(found := self.planned(grown)[0], best)
                ]
                if not candidates:
                    break
                # Of equals the one that leaves the network most of what it computes.
                best, changes = min(candidates, key=lambda one: (_repeated(one[0]), -one[0].plain_macs))
        if best is before:
            raise PlanError(
                f"redistribution: no change of kernels or strides lowers the repeated work in {self.limit:,} bytes at "
                f"the receptive field of {self.field[0]} x {self.field[1]}: later kernels cannot grow "
                "enough there; try another budget"
            )
        after, last = self.planned(changes)
        return Proposal(
            tuple(changes.values()), after.plan, Figures.of(first, before), Figures.of(last, after)
        )

    def cuts(self, changes: _Changes) -> Iterator[_Changes]:
        """One more cut of a kernel in the patched stage that was not grown."""
        for call in convolutions(self._resized(changes)):
            name = call.attrs["name"]
            if name in self.stage and not (name in changes and changes[name].grows):
                change = shrinking(call)
                if change is not None:
                    yield _with(changes, change)

    def moves(self, changes: _Changes) -> Iterator[_Changes]:
        """One more stride that moves into, out of or inside the patched stage, where maps can have those sizes."""
        moved = {name for name, change in changes.items() if change.strides is not None}
        for less, more in moves(convolutions(self._resized(changes))):
            pair = {less.layer, more.layer}
            if not pair & self.stage or pair & moved:
                continue
            wanted = _with(_with(changes, less), more)
            try:
                self._resized(wanted)
            except PlanError:
                continue
            yield wanted

    def grown(self, changes: _Changes) -> _Changes | None:
        """With kernels behind the last cut grown until the receptive field is what it was; None where they cannot."""
        while True:
            graph = self._resized(changes)
            have = receptive_field(network_of(graph))
            rows, columns = (one < wanted for one, wanted in zip(have, self.field, strict=True))
            if not rows and not columns:
                return changes
            candidates = [
                (price, more)
                for call in _behind_cuts(convolutions(graph), changes)
                if (change := growing(call, rows=rows, columns=columns)) is not None
                if (price := self._price(more := _with(changes, change), changes, have)) is not None
            ]
            if not candidates:
                return None
            changes = min(candidates, key=lambda one: one[0])[1]

    def planned(self, changes: _Changes) -> tuple[PlanFigures, Network]:
        """What the plan costs with these changes; where strides moved, the best patched stage in its memory."""
        if all(change.strides is None for change in changes.values()):
            return self.figures(changes)
        network = network_of(self._resized(changes))
        found = [one for one in patched_stages(network, self.settings).plans if one.arena_bytes <= self.limit]
        with suppress(PlanError):
            found.append(self.figures(changes)[0])
        return min(found, key=lambda one: (one.macs, one.arena_bytes)), network

    def figures(self, changes: _Changes) -> tuple[PlanFigures, Network]:
        """What the plan costs with these changes; PlanError where it does not fit the sizes of the maps."""
        network = network_of(self._resized(changes))
        return footprint(network, self._plan_for(network), self.settings), network

    def _plan_for(self, network: Network) -> PatchPlan:
        """The plan with as many patches as before where the map that a patched stage ends in has another size."""
        heights = {node.name: node.output.shape[ROWS:] for node in network.nodes}
        regions = []
        for region in self.plan.regions:
            was, now = (sizes[region.operators[-1]][:2] for sizes in (self.sizes, heights))
            if was != now and len(region.segments) == 1 and not region.rows:
                rows = -(-now[0] // -(-was[0] // region.segments[0].rows))
                strip = -(-now[1] // -(-was[1] // region.strip))
                segment = replace(region.segments[0], rows=rows, lead=rows)
                region = replace(region, strip=strip, segments=(segment,))
            regions.append(region)
        return replace(self.plan, regions=tuple(regions))

    def _price(self, more: _Changes, less: _Changes, have: tuple[int, int]) -> float | None:
        """Multiply-accumulates per row and column of receptive field; None where the memory would grow."""
        try:
            found, network = self.figures(more)
        except PlanError:
            return None
        gained = sum(receptive_field(network)) - sum(have)
        if gained <= 0 or found.arena_bytes > self.limit:
            return None
        return (found.macs - self.figures(less)[0].macs) / gained

    def _resized(self, changes: _Changes) -> Graph:
        return resized(self.function, changes.values())[0]


def _better(found: PlanFigures, best: PlanFigures) -> bool:
    """Whether a plan repeats less work, also in proportion, in no more memory."""
    return (
        _repeated(found) < _repeated(best)
        and found.factor < best.factor
        and found.arena_bytes <= best.arena_bytes
    )


def _behind_cuts(calls: list[Call], changes: _Changes) -> list[Call]:
    names = [call.attrs["name"] for call in calls]
    cut = [names.index(change.layer) for change in changes.values() if not change.grows]
    return calls[max(cut, default=-1) + 1 :]


def _repeated(found: PlanFigures) -> int:
    return found.macs - found.plain_macs


def _with(changes: _Changes, change: Resize) -> _Changes:
    return {one.layer: one for one in joined([*changes.values(), change])}
