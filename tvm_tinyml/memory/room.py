"""How much memory is left for scratch at each step, when only so much may be taken in all."""

from __future__ import annotations

from tvm_tinyml.memory.liveness import lifetimes
from tvm_tinyml.memory.program import Program


def live_bytes(program: Program) -> list[int]:
    """Bytes of the tensors that are in memory at each step, scratch not included."""
    live = [0] * len(program.steps)
    sizes = {root.name: root.nbytes for root in program.roots}
    for name, span in lifetimes(program).items():
        for step in range(max(0, span.first), min(span.last, len(live) - 1) + 1):
            live[step] += sizes[name]
    return live


def scratch_room(program: Program, extra: int, limit: int | None) -> list[int]:
    """Bytes that scratch may take at each step; negative where the tensors alone are too many.

    extra: what scratch may add to the largest number of bytes that tensors need at once.
    limit: bytes of the arena, None when there is no limit.
    """
    live = live_bytes(program)
    most = max(live, default=0) + extra
    return [(most if limit is None else min(most, limit)) - one for one in live]
