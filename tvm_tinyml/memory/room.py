"""How much memory is left for scratch at each step, when only so much may be taken in all."""

from __future__ import annotations

from tvm_tinyml.memory.liveness import lifetimes
from tvm_tinyml.memory.problem import usable_permissions
from tvm_tinyml.memory.program import Program, Step


def live_bytes(program: Program) -> list[int]:
    """Bytes of the tensors that are in memory at each step, scratch not included.

    An output that may lie over an input counts with what the two need together.
    """
    live = [0] * len(program.steps)
    sizes = {root.name: root.nbytes for root in program.roots}
    spans = lifetimes(program)
    for name, span in spans.items():
        for step in range(max(0, span.first), min(span.last, len(live) - 1) + 1):
            live[step] += sizes[name]
    shared = [0] * len(program.steps)
    for output, source, distance, same_place in usable_permissions(program, spans):
        distance = 0 if same_place else max(0, distance)
        together = max(sizes[output], sizes[source] + distance)
        step = spans[output].first
        shared[step] = max(shared[step], sizes[output] + sizes[source] - together)
    return [one - less for one, less in zip(live, shared, strict=True)]


def scratch_room(program: Program, extra: int, limit: int | None) -> list[int]:
    """Bytes that more scratch may take at each step; negative where what is there alone is too much.

    Scratch that the program has already, as the line buffers of a region, counts like its tensors.

    extra: what scratch may add to the largest number of bytes that are needed at once.
    limit: bytes of the arena, None when there is no limit.
    """
    live = [
        tensors + sum(buffer.nbytes for buffer in step.scratch) - _written_over(program, step)
        for tensors, step in zip(live_bytes(program), program.steps, strict=True)
    ]
    most = max(live, default=0) + extra
    return [(most if limit is None else min(most, limit)) - one for one in live]


def _written_over(program: Program, step: Step) -> int:
    """Bytes that an output of a step may have in common with its scratch, at most."""
    scratch = {buffer.name: buffer.nbytes for buffer in step.scratch}
    common = [0]
    for source, output, distance, _ in step.inplace:
        if source in scratch:
            common.append(min(program.by_name[output].nbytes - distance, scratch[source]))
    return max(common)
