"""What lies where in the arena and when: the common ground of the explanation and the drawings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tvm_tinyml.memory.liveness import lifetimes, scratch_lifetimes
from tvm_tinyml.memory.memory_plan import MemoryPlan
from tvm_tinyml.memory.program import Program


@dataclass(frozen=True)
class Region:
    """A root tensor or scratch buffer: bytes [start, end) of the arena in steps `first` to `last`.

    kind: "input", "output", "tensor" or "scratch"; an input that is also an output counts as an input.
    writers: names of the steps that fill it; the owning step for scratch; empty for inputs.
    views: names of the views into it.
    """

    name: str
    kind: str
    start: int
    nbytes: int
    first: int
    last: int
    writers: tuple[str, ...]
    views: tuple[str, ...]

    @property
    def end(self) -> int:
        """Address behind the last byte."""
        return self.start + self.nbytes

    def alive(self, time: int) -> bool:
        """Whether the region is in use in step `time` (-1: before the first, len(steps): after the last)."""
        return self.first <= time <= self.last


def regions(program: Program, plan: MemoryPlan) -> tuple[Region, ...]:
    """Every root tensor in declaration order, then every scratch buffer in order of its step."""
    spans = lifetimes(program, keep_all=plan.keep_all)
    views: dict[str, list[str]] = {root.name: [] for root in program.roots}
    for view, (root, _) in program.aliases.items():
        views[root].append(view)
    writers: dict[str, list[str]] = {root.name: [] for root in program.roots}
    for step in program.steps:
        for name in step.writes:
            writers[program.place(name)[0]].append(step.name)
    inputs = {program.place(name)[0] for name in program.inputs}
    outputs = {program.place(name)[0] for name in program.outputs}
    found = [
        Region(
            name=root.name,
            kind="input" if root.name in inputs else "output" if root.name in outputs else "tensor",
            start=plan.offsets[root.name],
            nbytes=root.nbytes,
            first=spans[root.name].first,
            last=spans[root.name].last,
            writers=tuple(writers[root.name]),
            views=tuple(views[root.name]),
        )
        for root in program.roots
    ]
    scratch_spans = scratch_lifetimes(program)
    for step in program.steps:
        for buffer in step.scratch:
            start = plan.scratch_offsets[buffer.name]
            span = scratch_spans[buffer.name]
            found.append(Region(buffer.name, "scratch", start, buffer.nbytes, *span, (step.name,), ()))
    return tuple(found)


def occupied_bytes(found: Iterable[Region], time: int) -> int:
    """Bytes in use in step `time`; those that an output and an input share in place count once."""
    total = reached = 0
    for region in sorted((region for region in found if region.alive(time)), key=lambda region: region.start):
        total += max(0, region.end - max(region.start, reached))
        reached = max(reached, region.end)
    return total


def peak_time(found: Sequence[Region], step_count: int) -> int:
    """Step in which most bytes are in use, the first of several.

    -1 or `step_count` only if the inputs before the first step, or the outputs after the last, need more.
    """
    times: list[int] = [*range(step_count), -1, step_count]
    return max(times, key=lambda time: occupied_bytes(found, time))


def time_name(program: Program, time: int) -> str:
    """Step `time` in words, for use in a sentence; steps count from 0."""
    if time < 0:
        return "the time before the first step"
    if time >= len(program.steps):
        return "the time after the last step"
    return f"step {time} ({shortened(program.steps[time].name, 40)})"


def operator_of(step_name: str) -> str:
    """Operator that a step is named after: its name without a trailing index."""
    return re.sub(r"_\d+$", "", step_name)


def printable(text: str) -> str:
    """`text` with what could upset a terminal or an XML reader replaced; names come from model files."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def shortened(text: str, limit: int) -> str:
    """`text` made printable, or its beginning and end around an ellipsis if it has more than `limit` characters."""
    text = printable(text)
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"
