"""When each root tensor must hold its bytes.

Time is counted in steps: -1 is before the first step, when the caller fills the inputs, and len(steps) is
after the last, when the caller reads the outputs. A lifetime includes both its ends, because a step's inputs,
outputs and scratch are all in memory while it runs.
"""

from __future__ import annotations

from typing import NamedTuple

from tvm_tinyml.memory.program import Program

BEFORE_FIRST_STEP = -1


class Lifetime(NamedTuple):
    """Steps `first` to `last`, both included."""

    first: int
    last: int


def lifetimes(program: Program, *, keep_all: bool = False) -> dict[str, Lifetime]:
    """Lifetime of every root, in declaration order.

    A root lives from the first write to the last read of any of its views; one that is never read lives in
    the step that writes it. With `keep_all` every root lives throughout, for reading intermediates back.
    """
    after_last_step = len(program.steps)
    if keep_all:
        return {root.name: Lifetime(BEFORE_FIRST_STEP, after_last_step) for root in program.roots}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    uses = [(BEFORE_FIRST_STEP, program.inputs)]
    uses += [(time, (*step.reads, *step.writes)) for time, step in enumerate(program.steps)]
    uses += [(after_last_step, program.outputs)]
    for time, names in uses:
        for name in names:
            root, _ = program.place(name)
            first.setdefault(root, time)
            last[root] = time
    return {root.name: Lifetime(first[root.name], last[root.name]) for root in program.roots}


def scratch_lifetimes(program: Program) -> dict[str, Lifetime]:
    """Lifetime of every scratch buffer: the one step that owns it."""
    return {
        buffer.name: Lifetime(time, time)
        for time, step in enumerate(program.steps)
        for buffer in step.scratch
    }
