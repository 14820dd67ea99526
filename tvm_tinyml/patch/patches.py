"""Plans of one patched stage: the front of the network runs patch by patch, the rest operator by operator.

The plans of MCUNetV2 (Lin et al., NeurIPS 2021), in which neighbouring patches compute their overlap, the halo, each
for itself. A patch is one band of one strip here, so that within a patch only a few columns of every tensor exist. The
search in `search.py` finds plans that do less work at the same memory; these are for comparison, and for where the
overlap matters most.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import PlanError
from .choice import PatchFront
from .footprint import Block, PlanFigures, Settings, footprint
from .geometry import COLUMNS, RANK, ROWS
from .network import Network
from .parts import Parts
from .plan import PatchPlan, Region, Segment

MAX_PATCHES = 8
"""Patches along one axis."""


def patched_stages(network: Network, settings: Settings) -> PatchFront:
    """Plans with a patched stage, and the one without; none is beaten in both arena and work by another.

    Raises PlanError when not even one plan keeps the settings.
    """
    known: dict[Region, Block] = {}
    found: list[PlanFigures] = []
    for plan in _plans(network, settings):
        try:
            found.append(footprint(network, plan, settings, known))
        except PlanError:
            continue
    front: list[PlanFigures] = []
    for one in sorted(found, key=lambda figures: (figures.macs, figures.arena_bytes, figures.calls)):
        if not front or one.arena_bytes < front[-1].arena_bytes:
            front.append(one)
    if not front:
        raise PlanError("patch plan: no first operators of the network can run patch by patch")
    return PatchFront(network, settings, tuple(front))


def _plans(network: Network, settings: Settings) -> Iterator[PatchPlan]:
    names = tuple(node.name for node in network.nodes)
    # What is fetched by rows is read in the stage and nowhere else.
    readers = [at for at, node in enumerate(network.nodes) if not settings.pulled.isdisjoint(node.inputs)]
    if not readers:
        yield PatchPlan(names)
    parts = Parts(network, settings)
    for end in range(max([2, *(at + 1 for at in readers)]), len(names) + 1):
        shape = network.nodes[end - 1].output.shape
        operation = parts.operations[end - 1]
        if operation is None or operation.accumulates or len(shape) != RANK or parts.first_begin(end) > 0:
            continue
        height, width = shape[ROWS], shape[COLUMNS]
        for count in range(2, min(MAX_PATCHES, height, width) + 1):
            rows, strip = -(-height // count), -(-width // count)
            yield PatchPlan(names, (Region(names[:end], strip, {}, (Segment(names[:end], rows, rows),)),))
