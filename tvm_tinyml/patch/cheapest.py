"""The plan with the least estimated cost that keeps a budget of memory and a bound on the work.

The dynamic programming of `search.py` with other ends: the peak is given, so that parts and paths above it are left
out, and those that are left are compared by cost, work, and the room that their output leaves. That leaves few of each,
so that regions whose calls make several rows are parts as well. Where the planner finds no placement within the budget
the search runs again without the parts that have something beyond it. Where bands are needed and a plan is dear, those
are searched again that cost the least within the budget, with several columns at a time: the front has those that do
the least work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from ..memory.occupancy import regions
from .band_parts import SMALL, BandParts, Bound, settled_cuts
from .footprint import EFFORT, Block, PlanFigures, Settings, footprint
from .geometry import keeping_pace
from .network import Network
from .parts import Part, Parts
from .paths import Staircase
from .plan import PatchPlan, Region
from .region import region_operations
from .runs import Runs

PACES = (2, 4)
"""Rows per call of the last operator of a region that are tried beside one."""

PATHS = 48
"""Paths kept per cut."""

PLACED = 4
"""Plans put before the memory planner for one bound on the peak."""

ROUNDS = 16
"""Searches, each without the parts that had no place in the one before."""

NEAR = 1.04
"""Times the budget that an arena may be for the planner to look again, with more effort."""

CLOSER_LOOK = 10
"""Times the effort of that."""

DEAR = 0.25
"""By how much the cost of a plan, over the plain network's, exceeds its work over the plain one's where bands are
searched again."""


class Way(NamedTuple):
    """A way to a cut; reach as in `paths.Paths`."""

    cost: float
    macs: int
    reach: int
    part: Part | None = None
    before: Way | None = None


class Cheapest:
    """Plans by cost.

    found: parts by the cut where they end, in rows one by one. known: regions met before; new ones are added.
    runs: of the network.
    """

    def __init__(
        self,
        network: Network,
        settings: Settings,
        found: Sequence[Sequence[Part]],
        known: dict[Region, Block],
        runs: Runs,
    ) -> None:
        self.network = network
        self.settings = settings
        self.single = found
        self.known = known
        self.runs = runs
        self._every: list[list[Part]] = []
        self._banded: dict[int, list[list[Part]]] = {}
        self._most = -1

    def with_scratch(self, scratch: Mapping[str, int]) -> dict[Region, Block]:
        """Regions met so far whose operators need as much scratch with other settings."""
        old = self.settings.scratch
        changed = {name for name in {*old, *scratch} if old.get(name, 0) != scratch.get(name, 0)}
        return {region: block for region, block in self.known.items() if changed.isdisjoint(region.operators)}

    def parts(self, most: int) -> list[list[Part]]:
        """All parts with peaks of at most so many bytes, those with several rows per call included, and some others."""
        if most > self._most:
            source = Parts(self.network, self.settings)
            self.size, self.always, self._most = source.size, source.always, most
            self._every = [
                [*parts, *(part for pace in PACES for part in source.regions(end, pace, most))]
                for end, parts in enumerate(self.single, 1)
            ]
        return self._every

    def plans(self, arena_bytes: int, macs: int) -> list[PlanFigures]:
        """Plans within an arena and a bound on the work, the cheapest first; none where the search finds none."""
        fitting = self._fitting(self.parts(arena_bytes), arena_bytes, macs)
        if not fitting or self._is_dear(fitting[0]):
            fitting += self._fitting(self._with_bands(arena_bytes), arena_bytes, macs)
        return sorted(fitting, key=lambda one: (one.cost, one.macs))

    def _is_dear(self, found: PlanFigures) -> bool:
        """Whether a plan has bands, and costs clearly more than its work makes it."""
        costs = self.settings.costs_of(self.network)
        plain = sum(costs.plain(index) for index in range(len(self.network.nodes)))
        banded = any(region.segments for region in found.plan.regions)
        return banded and found.cost > (found.factor + DEAR) * plain

    def _with_bands(self, arena_bytes: int) -> list[list[Part]]:
        """All parts, and regions with bands that cost little within an arena."""
        if arena_bytes not in self._banded:
            source = Parts(self.network, self.settings)
            bands = BandParts(source, [Bound(0, arena_bytes + 1)], self.known, self.runs, arena_bytes)
            settled = settled_cuts(self.network, self.single, max(arena_bytes // SMALL, source.live[0]))
            self._banded[arena_bytes] = [
                [*parts, *bands.ending(end, settled[end])]
                for end, parts in enumerate(self.parts(arena_bytes), 1)
            ]
        return self._banded[arena_bytes]

    def _fitting(self, every: Sequence[Sequence[Part]], arena_bytes: int, macs: int) -> list[PlanFigures]:
        """Plans of parts that the memory planner places, by cost."""
        fitting: list[PlanFigures] = []
        peaks: dict[tuple[int, int], int] = {}
        for _ in range(ROUNDS):
            least = min((one.cost for one in fitting), default=float("inf"))
            # What fewer parts leave costs no less.
            hopeful = [way for way in self._ways(every, arena_bytes, macs, peaks) if way.cost < least]
            if not hopeful:
                break
            tried = []
            for way in hopeful[:PLACED]:
                tried.append(self._placed(way, arena_bytes))
                if tried[-1].arena_bytes <= arena_bytes and tried[-1].macs <= macs:
                    fitting.append(tried[-1])
                    break
            misplaced = list(_misplaced(hopeful[0], tried[0], arena_bytes))
            if not misplaced:
                break
            peaks |= {(part.begin, part.end): part.peak - 1 for part in misplaced}
        return sorted(fitting, key=lambda one: (one.cost, one.macs))

    def _placed(self, way: Way, arena_bytes: int) -> PlanFigures:
        """Figures of a way; where little is missing, after a closer look."""
        patch_plan = plan_along(self.network, way)
        found = footprint(self.network, patch_plan, self.settings, self.known, enough=arena_bytes)
        if arena_bytes < found.arena_bytes <= NEAR * arena_bytes:
            closer = footprint(
                self.network,
                patch_plan,
                self.settings,
                self.known,
                CLOSER_LOOK * EFFORT,
                enough=arena_bytes,
                most=arena_bytes,
            )
            return min(found, closer, key=lambda one: one.arena_bytes)
        return found

    def _ways(
        self, every: Sequence[Sequence[Part]], peak: int, macs: int, peaks: Mapping[tuple[int, int], int]
    ) -> list[Way]:
        """To the end, the cheapest first; peak: bound on that of every part; peaks: others, by begin and end."""
        rest = [0]
        for work in reversed(self.network.macs):
            rest.append(rest[-1] + work)
        rest.reverse()
        made = ["", *(node.tensor for node in self.network.nodes)]
        fronts: list[list[Way]] = [[Way(0.0, 0, 0)]]
        for end, parts in enumerate(every, 1):
            found = []
            fitting = (one for one in parts if one.peak <= peaks.get((one.begin, one.end), peak))
            for part in _outstanding(fitting):
                least, further = part.reach(made[part.begin], self.size.get(part.source, 0))
                for way in fronts[part.begin]:
                    work = way.macs + part.macs
                    reach = max(least, way.reach + further)
                    if work + rest[end] <= macs and reach + self.always <= peak:
                        found.append(Way(way.cost + part.cost, work, reach, part, way))
            fronts.append(_unbeaten(found))
        return fronts[-1]


def _misplaced(way: Way, found: PlanFigures, arena_bytes: int) -> Iterator[Part]:
    """Parts of a way during which something lies beyond an arena of so many bytes."""
    step, time = way, {one.name: number for number, one in enumerate(found.program.steps)}
    beyond = [one for one in regions(found.program, found.memory) if one.end > arena_bytes]
    while step.part is not None and step.before is not None:
        name = found.plan.order[step.part.end - 1]
        if name in time and any(one.alive(time[name]) for one in beyond):
            yield step.part
        step = step.before


class Step(Protocol):
    """The last part of a way to a cut, and what comes before it; without a part where nothing does."""

    @property
    def part(self) -> Part | None:
        """The part."""

    @property
    def before(self) -> Step | None:
        """The way that it goes on from."""


def plan_along(network: Network, way: Step) -> PatchPlan:
    """The plan that a way to the last cut is."""
    regions = []
    step: Step | None = way
    while step is not None and step.part is not None:
        if step.part.strip:
            regions.append(_region_of(network, step.part))
        step = step.before
    return PatchPlan(tuple(node.name for node in network.nodes), tuple(reversed(regions)))


def _region_of(network: Network, part: Part) -> Region:
    """The region that a part with strips is."""
    names = tuple(node.name for node in network.nodes[part.begin : part.end])
    banded = {name for segment in part.segments for name in segment.operators}
    rows = {name: 1 for name in names if name not in banded}
    region = Region(names, part.strip, rows, part.segments, part.settling, part.floating)
    return region if part.rows == 1 else in_pace(network, region, part.rows)


def in_pace(network: Network, region: Region, rows: int) -> Region:
    """A region without segments whose last operator makes so many rows per call, with which the others keep pace."""
    operations = region_operations(network.chosen(region), region)
    found = {one.name: one.rows for one in keeping_pace(operations, rows)}
    return replace(region, rows=found)


def _outstanding(parts: Iterable[Part]) -> Iterator[Part]:
    """Of parts with the same begin and place of their output those that no other one beats in cost and work."""
    front: dict[tuple[int, str, int], int] = {}
    for part in sorted(parts, key=lambda part: (part.cost, part.macs)):
        where = part.begin, part.source, part.distance
        if where not in front or part.macs < front[where]:
            front[where] = part.macs
            yield part


def _unbeaten(ways: list[Way]) -> list[Way]:
    """Ways with less work or reach than all cheaper ones; at most PATHS, the cheapest among them."""
    front: list[Way] = []
    stairs = Staircase()
    for way in sorted(ways, key=lambda way: way[:3]):
        if not stairs.beats(way.macs, way.reach):
            front.append(way)
            stairs.add(way.macs, way.reach)
    if len(front) <= PATHS:
        return front
    kept = front[: PATHS // 2]
    step = -(-(len(front) - len(kept)) // (PATHS // 2))
    least = min(front[len(kept) :], key=lambda way: way.macs)
    return [*kept, *(way for way in front[len(kept) :: step] if way is not least), least]
