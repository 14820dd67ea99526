"""The memory plan in a few sentences, for the terminal and for error messages."""

from __future__ import annotations

from tvm_tinyml.memory.memory_plan import MemoryPlan
from tvm_tinyml.memory.occupancy import Region, occupied_bytes, peak_time, regions, shortened, time_name
from tvm_tinyml.memory.program import Program

_NAMED = 6
_NAME_LENGTH = 40


def explain(program: Program, plan: MemoryPlan) -> str:
    """Say which step sets the peak, what is in memory there, and how far the plan is from the lower bound."""
    found = regions(program, plan)
    if not found:
        return "The arena is empty: no tensor lives in it."
    peak = peak_time(found, len(program.steps))
    alive = sorted((region for region in found if region.alive(peak)), key=lambda region: -region.nbytes)
    where = time_name(program, peak)
    return (
        f"{where[0].upper()}{where[1:]} sets the peak with {occupied_bytes(found, peak):,} bytes in use: "
        f"{_listed(program, alive, peak)}. {_distance(plan)}"
    )


def _listed(program: Program, alive: list[Region], peak: int) -> str:
    entries = [
        f"{shortened(region.name, _NAME_LENGTH)!r} {region.nbytes:,} ({_role(program, region, peak)})"
        for region in alive[:_NAMED]
    ]
    if len(alive) > _NAMED:
        rest = alive[_NAMED:]
        entries.append(f"{len(rest)} more with {sum(region.nbytes for region in rest):,}")
    return ", ".join(entries)


def _role(program: Program, region: Region, peak: int) -> str:
    if region.kind == "scratch":
        return "scratch"
    if 0 <= peak < len(program.steps):
        step = program.steps[peak]
        if region.name in {program.place(name)[0] for name in step.writes}:
            return "written"
        if region.name in {program.place(name)[0] for name in step.reads}:
            return "read"
    if region.last >= len(program.steps):
        return "output" if region.kind == "output" else "kept to the end"
    if region.last > peak:
        return f"kept for step {shortened(program.steps[region.last].name, _NAME_LENGTH)!r}"
    return region.kind


def _distance(plan: MemoryPlan) -> str:
    if plan.optimal:
        condition = "that keeps every tensor to the end" if plan.keep_all else "for this order of steps"
        return f"The arena of {plan.arena_bytes:,} bytes is the smallest possible {condition}."
    return (
        f"The arena of {plan.arena_bytes:,} bytes exceeds the lower bound of {plan.lower_bound:,} by "
        f"{plan.arena_bytes - plan.lower_bound:,} ({plan.gap:.1%})."
    )
