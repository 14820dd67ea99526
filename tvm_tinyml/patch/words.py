"""What limits the peak of a plan and what would lower it, in sentences for people."""

from __future__ import annotations

from ..memory import explain
from ..memory.occupancy import peak_time, regions
from .footprint import PlanFigures
from .network import Network
from .plan import Region
from .region import region_operations

LARGE = 0.25
"""Share of the arena from which on a tensor is worth a sentence."""


def peak_step(found: PlanFigures) -> str:
    """Name of the operator whose step sets the peak; of a region, its last one. Empty outside of all steps."""
    steps = found.program.steps
    time = peak_time(regions(found.program, found.memory), len(steps))
    return steps[time].name if 0 <= time < len(steps) else ""


def limits(network: Network, found: PlanFigures) -> str:
    """What is in memory at the peak of a plan, why it is there, and what would take it away."""
    sentences = [explain(found.program, found.memory)]
    name = peak_step(found)
    region = found.plan.region_of(name) if name else None
    if region is not None:
        sentences.append(_of_region(network, region))
    elif name:
        sentences.append(_of_operator(network, name))
    time = next((index for index, step in enumerate(found.program.steps) if step.name == name), -1)
    for tensor in found.program.inputs:
        share = network.specs[tensor].nbytes / found.arena_bytes
        if share >= LARGE and network.spans[tensor][1] >= 0 and _alive(found, tensor, time):
            sentences.append(
                f"Input {tensor!r} takes {share:.0%} of the arena; fetched by rows it would take a few rows."
            )
    return " ".join(sentences)


def next_step(found: PlanFigures, following: PlanFigures) -> str:
    """What the next plan of a front brings over this one."""
    changed = [region for region in following.plan.regions if region not in found.plan.regions]
    strips = [region for region in changed if region.strip < _widest(found, region)]
    what = f"{len(changed)} other region{'s' if len(changed) != 1 else ''}"
    if strips:
        what += f", {len(strips)} of them in narrower strips"
    saved = found.arena_bytes - following.arena_bytes
    return f"The next plan saves {saved:,} bytes for {following.factor - found.factor:+.1%} of work: {what}."


def _widest(found: PlanFigures, region: Region) -> int:
    """Strip that a plan gives to the operators of a region; 0 when they run whole there."""
    before = found.plan.region_of(region.operators[-1])
    return before.strip if before is not None else 0


def _of_region(network: Network, region: Region) -> str:
    width = region_operations(network.chosen(region), region)[-1].width
    title = f"It is the region {region.operators[0]!r} to {region.operators[-1]!r}"
    if region.strip < width:
        rest = "narrower ones repeat more work" if region.strip > 1 else "there are no narrower ones"
        return f"{title} in strips of {region.strip} of {width} columns; {rest}."
    if not all(network.streams[network.position[name]][1] for name in region.operators):
        return (
            f"{title} in rows of the whole width; no strips, because an operator of it pads without a value."
        )
    return f"{title} in rows of the whole width; strips would shorten its line buffers and repeat work."


def _of_operator(network: Network, name: str) -> str:
    by_rows, _ = network.streams[network.position[name]]
    node = network.nodes[network.position[name]]
    whole = [
        size for tensor in node.inputs if tensor is not None for size in network.specs[tensor].shape[1:2]
    ]
    if by_rows and any(rows > 1 for rows in whole):
        return f"{name!r} runs whole: its input and its output are in memory from end to end."
    return f"{name!r} needs all rows of its input at once and cannot be part of a region."


def _alive(found: PlanFigures, tensor: str, time: int) -> bool:
    return any(one.name == tensor and one.alive(time) for one in regions(found.program, found.memory))
