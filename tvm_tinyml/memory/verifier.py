"""Checks a memory plan by replaying the program on a symbolic arena; shares no code with the planner.

Every byte of the arena holds a tag that says which byte of which tensor was last written there and by which
step. A step's reads must find their own tags; then its scratch and its outputs put theirs. Lifetimes are never
computed: a tensor that was overwritten too early shows when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np

from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory.memory_plan import MemoryPlan
from tvm_tinyml.memory.program import Program, Step, Tensor

_CALLER = "the caller, before the first step"


def verify(program: Program, plan: MemoryPlan) -> None:
    """Raise PlanError if executing `program` with the offsets of `plan` would go wrong.

    The error names the step, the two tensors and the range of arena bytes they dispute, or the tensor that is
    misaligned, misplaced, missing or outside the arena.
    """
    tensors = {tensor.name: tensor for tensor in program.tensors}
    scratch = {buffer.name: buffer for step in program.steps for buffer in step.scratch}
    _check_offsets(tensors, plan.offsets, plan)
    _check_offsets(scratch, plan.scratch_offsets, plan)
    for view, (root, offset) in program.aliases.items():
        if plan.offsets[view] != plan.offsets[root] + offset:
            raise PlanError(
                f"memory plan: view {view!r} lies at byte {plan.offsets[view]}, but its root {root!r} lies at "
                f"{plan.offsets[root]} and the view starts {offset} bytes into it"
            )
    if plan.lower_bound > plan.arena_bytes or plan.optimal != (plan.lower_bound == plan.arena_bytes):
        raise PlanError(
            f"memory plan: arena of {plan.arena_bytes} bytes with a lower bound of {plan.lower_bound} "
            f"cannot be {'optimal' if plan.optimal else 'short of optimal'}"
        )
    _replay(program, plan, _Arena(program, plan))


def _check_offsets(declared: Mapping[str, Tensor], offsets: Mapping[str, int], plan: MemoryPlan) -> None:
    for name in offsets:
        if name not in declared:
            raise PlanError(f"memory plan: places {name!r}, which the program does not declare")
    for name, tensor in declared.items():
        if name not in offsets:
            raise PlanError(f"memory plan: gives no offset to {name!r}")
        start, end = offsets[name], offsets[name] + tensor.nbytes
        if start < 0 or end > plan.arena_bytes:
            raise PlanError(
                f"memory plan: {name!r} takes bytes [{start}, {end}), outside the arena of {plan.arena_bytes} bytes"
            )
        if start % tensor.alignment or plan.alignment % tensor.alignment:
            raise PlanError(
                f"memory plan: {name!r} lies at byte {start} of an arena aligned to {plan.alignment}, "
                f"but needs an alignment of {tensor.alignment}"
            )


class _Arena:
    """Tags of all arena bytes: a number for each byte of each root and scratch buffer, and the writing step."""

    def __init__(self, program: Program, plan: MemoryPlan) -> None:
        self.owners: list[str] = ["nothing"]
        first_tags = [0]
        self.first_tag: dict[str, int] = {}
        next_tag = 1
        scratch = [buffer for step in program.steps for buffer in step.scratch]
        for tensor in (*program.tensors, *scratch):
            if tensor.name not in program.aliases:
                self.first_tag[tensor.name] = next_tag
                self.owners.append(tensor.name)
                first_tags.append(next_tag)
                next_tag += tensor.nbytes
        for view, (root, offset) in program.aliases.items():
            self.first_tag[view] = self.first_tag[root] + offset
        self.first_tags = np.array(first_tags)
        self.tags = np.zeros(plan.arena_bytes, dtype=np.int64)
        self.writers = np.full(plan.arena_bytes, -1, dtype=np.int32)

    def write(self, name: str, start: int, nbytes: int, writer: int) -> None:
        """Fill bytes [start, start + nbytes) with the tags of `name`."""
        tag = self.first_tag[name]
        self.tags[start : start + nbytes] = np.arange(tag, tag + nbytes)
        self.writers[start : start + nbytes] = writer

    def first_damage(self, name: str, start: int, nbytes: int) -> tuple[int, int, str, int] | None:
        """First run of bytes of `name` which hold another tensor's: (start, end, other tensor, its writer)."""
        tag = self.first_tag[name]
        wrong = np.flatnonzero(self.tags[start : start + nbytes] != np.arange(tag, tag + nbytes))
        if not wrong.size:
            return None
        owners = np.searchsorted(self.first_tags, self.tags[start + wrong], side="right") - 1
        run = 1
        while run < wrong.size and wrong[run] == wrong[0] + run and owners[run] == owners[0]:
            run += 1
        first = start + int(wrong[0])
        return first, first + run, self.owners[int(owners[0])], int(self.writers[first])


def _replay(program: Program, plan: MemoryPlan, arena: _Arena) -> None:
    size = {tensor.name: tensor.nbytes for tensor in program.tensors}
    for name in program.inputs:
        arena.write(name, plan.offsets[name], size[name], -1)
    for name in program.inputs:
        _check_read(program, plan, arena, name, "the caller fills")
    for index, step in enumerate(program.steps):
        for name in step.reads:
            _check_read(program, plan, arena, name, f"step {step.name!r} reads")
        _check_within_step(step, size, plan)
        for buffer in step.scratch:
            arena.write(buffer.name, plan.scratch_offsets[buffer.name], buffer.nbytes, index)
        for name in step.writes:
            arena.write(name, plan.offsets[name], size[name], index)
    for name in program.outputs:
        _check_read(program, plan, arena, name, "the caller reads output")
    if plan.keep_all:
        for name in (*program.inputs, *(name for step in program.steps for name in step.writes)):
            _check_read(program, plan, arena, name, "with keep_all the caller reads")


def _check_read(program: Program, plan: MemoryPlan, arena: _Arena, name: str, reader: str) -> None:
    size = program.by_name[name].nbytes
    damage = arena.first_damage(name, plan.offsets[name], size)
    if damage is not None:
        start, end, other, writer = damage
        culprit = f"step {program.steps[writer].name!r}" if writer >= 0 else _CALLER
        raise PlanError(
            f"memory plan: {reader} tensor {name!r}, but arena bytes [{start}, {end}) hold {other!r}, "
            f"written by {culprit}"
        )


def _check_within_step(step: Step, size: Mapping[str, int], plan: MemoryPlan) -> None:
    """Everything a step touches is in use at the same time, so only reads may overlap each other.

    Where it permits an output to overwrite something else, that must lie far enough above.
    """
    reads = [(name, plan.offsets[name], size[name]) for name in dict.fromkeys(step.reads)]
    writes = [(name, plan.offsets[name], size[name]) for name in step.writes]
    writes += [(buffer.name, plan.scratch_offsets[buffer.name], buffer.nbytes) for buffer in step.scratch]
    pairs: Iterable[tuple[tuple[str, int, int], tuple[str, int, int]]] = (
        *((read, write) for read in reads for write in writes),
        *combinations(writes, 2),
    )
    for (one, one_start, one_size), (other, other_start, other_size) in pairs:
        start, end = max(one_start, other_start), min(one_start + one_size, other_start + other_size)
        starts = {one: one_start, other: other_start}
        permitted = any(
            {one, other} == {source, output}
            and (starts[output] + distance <= starts[source] or (same_place and other_start == one_start))
            for source, output, distance, same_place in step.inplace
        )
        if start < end and not permitted:
            raise PlanError(
                f"memory plan: step {step.name!r} uses {one!r} and {other!r} at once, "
                f"but they share arena bytes [{start}, {end})"
            )
