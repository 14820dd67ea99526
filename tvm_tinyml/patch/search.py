"""The search for patch plans: cut the network into regions and single operators, choose strips, keep the best.

What is alive at a cut of the order depends on the cut alone, because a region's inner tensors are read nowhere else.
So plans are paths through the cuts, the peak of a path is the largest of its parts and its work their sum, and dynamic
programming over the cuts keeps all paths that no other one beats in both (the plan search of MCUNetV2 and of
msf-CNN, Huang and Baccelli, 2025, is of this kind). The capacity of a line buffer depends on its readers and not on
where a region begins, so one simulation per end of a region serves all its beginnings. The figures that are
returned come from the memory planner. Peaks of paths are bounds from below, and outputs that lie over one another
leave gaps that no block fits in: with bands the search runs with such gaps left empty as well; without them, where
the planner finds no placement as small as a peak, it keeps runners-up. The planner's figures decide between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import PlanError
from .band_parts import SMALL, BandParts, Bound, settled_cuts
from .cheapest import Cheapest, plan_along
from .footprint import EFFORT, Block, PlanFigures, Settings, footprint
from .network import Network
from .parts import ENDLESS, Part, Parts
from .paths import Path, at_start, joined, linked, unbeaten
from .plan import PatchPlan, Region
from .runs import Runs

MAX_FACTOR = 1.6
"""Work that plans may do, as a multiple of the plain network's; beyond it memory hardly falls."""

RUNNERS_UP = 12
"""Paths of no more work and no larger peak that it takes to drop one where the planner misses peaks."""


GLANCE = 6_000
"""Effort of the memory planner for a runner-up: there are many, and few improve the front."""


def pareto_front(
    network: Network,
    settings: Settings,
    *,
    max_factor: float = MAX_FACTOR,
    bands: bool = True,
    settling: bool = True,
    most: int | None = None,
) -> list[PlanFigures]:
    """Plans that no other plan found beats in both arena and work, the least work first; see `searched`."""
    return searched(network, settings, max_factor=max_factor, bands=bands, settling=settling, most=most)[0]


def searched(
    network: Network,
    settings: Settings,
    *,
    max_factor: float = MAX_FACTOR,
    bands: bool = True,
    settling: bool = True,
    most: int | None = None,
    before: Cheapest | None = None,
) -> tuple[list[PlanFigures], Cheapest]:
    """The front of `pareto_front`, and plans by cost from the same parts.

    max_factor: bound on the work as a multiple of the plain network's.
    bands: whether regions may have segments, which takes most of the time.
    settling: whether line buffers give up channel planes where that saves memory (`plan.Region`).
    most: bytes of an arena that is small enough; where there can be none, only the least work is returned.
    before: of an earlier search with the same network and settings but other scratch, of which much holds here as well.
    Raises PlanError when no plan keeps the settings.
    """
    evaluate = _Evaluation(network, settings)
    if before is None:
        runs = Runs(network, settings.pulled, settings.costs_of(network))
    else:
        runs = before.runs
        evaluate.known |= before.with_scratch(settings.scratch)
    search = _Search(network, settings, max_factor, settling=settling)
    paths = search.paths()
    if most is not None and paths and min(path.peak for path in paths) > most:
        return evaluate.front(paths[:1]), Cheapest(network, settings, search.parts, evaluate.known, runs)
    front = evaluate.front(paths)
    if bands and front and search.add_bands(front, evaluate.known, runs):
        front = evaluate.front(search.paths(front, apart=True), known=front)
        front = evaluate.front(search.paths(front), known=front)
    if evaluate.missed:
        front = evaluate.front(search.paths(front, RUNNERS_UP), GLANCE, front)
    if not front:
        raise PlanError(
            "patch plan: an input that is fetched by rows is read by an operator that needs all of it"
        )
    return front, Cheapest(network, settings, search.parts, evaluate.known, runs)


class _Evaluation:
    """What the memory planner makes of paths; missed: whether it missed a peak."""

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network = network
        self.settings = settings
        self.missed = False
        self.known: dict[Region, Block] = {}
        self.placed: dict[tuple[Region, ...], PlanFigures] = {}

    def front(
        self, paths: Sequence[Path], effort: int = EFFORT, known: Sequence[PlanFigures] = ()
    ) -> list[PlanFigures]:
        """Plans that no other one beats in work and arena, the least work first.

        effort: of the memory planner, for each plan that it has not placed yet. known: other plans, the least work
        first.
        """
        front: list[PlanFigures] = []
        later = list(reversed(known))

        def add(found: PlanFigures) -> None:
            if not front or found.arena_bytes < front[-1].arena_bytes:
                front.append(found)

        for path in sorted(paths, key=_work):
            while later and (later[-1].macs, later[-1].calls) <= (path.macs, path.calls):
                add(later.pop())
            if front and path.peak >= front[-1].arena_bytes:
                continue
            most = front[-1].arena_bytes - 1 if front else None
            found = self._placed(plan_along(self.network, path), effort, most)
            self.missed |= found.arena_bytes > path.peak
            add(found)
        while later:
            add(later.pop())
        return front

    def _placed(self, patch_plan: PatchPlan, effort: int, most: int | None) -> PlanFigures:
        """Figures of a plan, placed once: what was of no use to a front is of none to a better one."""
        key = patch_plan.regions
        if key not in self.placed:
            self.placed[key] = footprint(
                self.network, patch_plan, self.settings, self.known, effort, most=most
            )
        return self.placed[key]


class _Search:
    """Best paths to the end of the order."""

    def __init__(self, network: Network, settings: Settings, max_factor: float, *, settling: bool) -> None:
        self.all_parts = Parts(network, settings)
        self.parts = [list(self.all_parts.ending(end)) for end in range(1, len(network.nodes) + 1)]
        self.small = [_small(parts, settling=settling) for parts in self.parts]
        self.plain = [0]
        for macs in network.macs:
            self.plain.append(self.plain[-1] + macs)
        self.size = self.all_parts.size
        self.made = ["", *(node.tensor for node in network.nodes)]
        self.allowed = (max_factor - 1) * self.plain[-1]

    def add_bands(self, front: Sequence[PlanFigures], known: dict[Region, Block], runs: Runs) -> bool:
        """Add regions with bands that may improve a front; whether there are any. known, runs: as in `BandParts`."""
        network = self.all_parts.network
        bounds = [Bound(found.macs, found.arena_bytes) for found in front]
        bands = BandParts(self.all_parts, bounds, known, runs)
        # No plan needs less than what is there before the first operator.
        most = max(front[-1].arena_bytes // SMALL, self.all_parts.live[0])
        settled = settled_cuts(network, self.parts, most)
        found = [list(bands.ending(end, settled[end])) for end in range(1, len(self.parts) + 1)]
        self.parts = [[*parts, *more] for parts, more in zip(self.parts, found, strict=True)]
        self.small = [[*parts, *more] for parts, more in zip(self.small, found, strict=True)]
        return any(found)

    def paths(
        self, known: Sequence[PlanFigures] = (), runners_up: int = 0, *, apart: bool = False
    ) -> list[Path]:
        """Those that no other one beats; apart: as in `Paths.through`.

        known: a front; what it beats is left out. runners_up: paths with no more work and no larger peak that it takes
        to drop one that may improve it.
        """
        fronts, always = [at_start()], self.all_parts.always
        ceilings = np.array([ENDLESS, *(found.arena_bytes for found in known)])
        for end, parts in enumerate(self.small, 1):
            # What the rest of the plan does at least is not done yet.
            works = [found.macs - (self.plain[-1] - self.plain[end]) for found in known]
            # Of the known plan that does no more work than each part does with the plain operators before it.
            macs = [self.plain[part.begin] + part.macs for part in parts]
            above = ceilings[np.searchsorted(works, macs, "right")].tolist()
            every = joined(
                [
                    fronts[part.begin].through(
                        part,
                        number,
                        self.made[part.begin],
                        self.size.get(part.source, 0),
                        always,
                        apart=apart,
                    )
                    for number, (part, ceiling) in enumerate(zip(parts, above, strict=True))
                    if part.peak <= ceiling
                ]
            )
            fits = every.macs <= self.plain[end] + self.allowed
            fits &= every.peak <= ceilings[np.searchsorted(works, every.macs, "right")]
            every = every.taken(np.flatnonzero(fits))
            fronts.append(every.taken(unbeaten(every, runners_up, last=end == len(self.parts))))
        return linked(fronts, self.small)


def _small(parts: Sequence[Part], *, settling: bool) -> list[Part]:
    """Of parts that differ in what is settling alone the one with the least memory, or those where nothing is."""
    if not settling:
        return [part for part in parts if not part.settling and not part.floating]
    least: dict[tuple[int, int, str], Part] = {}
    for part in parts:
        # Those with more operators that are settling come later and need less.
        least[part.begin, part.strip, part.source] = part
    return list(least.values())


def _work(path: Path) -> tuple[int, int, int]:
    """Order of paths: multiply-accumulates, then calls; the peak decides between equals."""
    return path.macs, path.calls, path.peak
