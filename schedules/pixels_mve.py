"""Sums over pixels on Arm MVE: blocks of sixteen channels, the rest one by one."""

from __future__ import annotations

from tvm.s_tir import Schedule

from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.pixels import CHANNELS, MAX_PIXELS, SUM_PIXELS, sum_instructions
from .kernel import Candidate, Kernel, Problem
from .pixels import instructions_left, pixels_function, pixels_of, register_sums, schedule_rest
from .tensor_ir import largest_divisor
from .tensorize_mve import tensorizable


def schedule_pixels_mve(problem: Problem) -> Candidate | None:
    """Schedule sum_pixels of sixteen channels and more; None for everything else."""
    extents = pixels_of(problem)
    if "mve" not in problem.features or problem.operator != "sum_pixels" or extents is None:
        return None
    pixels, channels = extents
    blocks, rest = divmod(channels, CHANNELS)
    if not blocks:
        return None
    run = largest_divisor(pixels, MAX_PIXELS)
    return Candidate(
        rule="mve pixel sums",
        instructions=pixels // run * sum_instructions(run, blocks) + instructions_left(problem, rest),
        build=lambda: _build(problem, run, channels),
        micro_kernels=lambda: (PRELUDE, SUM_PIXELS),
    )


def _build(problem: Problem, run: int, channels: int) -> Kernel:
    """The function; run: pixels of a call."""
    blocked = channels // CHANNELS * CHANNELS
    function = tensorizable(pixels_function(problem, blocked, run)).mod["main"]
    sch = schedule_rest(function) if blocked < channels else Schedule(function)
    arguments = run, channels, blocked // CHANNELS
    sch.tensorize(sch.get_sblock("tile"), register_sums(SUM_PIXELS.name, (run, channels, blocked), arguments))
    return Kernel(sch.mod["main"], {}, (PRELUDE, SUM_PIXELS))
