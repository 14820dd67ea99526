"""Sums over pixels on Arm MVE: blocks of sixteen channels, the rest one by one."""

from __future__ import annotations

from tvm.s_tir import Schedule

from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.pixels import CHANNELS, SUM_PIXELS, sum_instructions
from .kernel import Candidate, Kernel, Problem
from .pixels import instructions_left, pixels_function, pixels_of, register_sums, schedule_rest
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
    return Candidate(
        rule="mve pixel sums",
        instructions=sum_instructions(pixels, blocks) + instructions_left(problem, rest),
        build=lambda: _build(problem, pixels, channels),
        micro_kernels=lambda: (PRELUDE, SUM_PIXELS),
    )


def _build(problem: Problem, pixels: int, channels: int) -> Kernel:
    blocked = channels // CHANNELS * CHANNELS
    function = tensorizable(pixels_function(problem, blocked, pixels)).mod["main"]
    sch = schedule_rest(function) if blocked < channels else Schedule(function)
    arguments = pixels, channels, blocked // CHANNELS
    sch.tensorize(
        sch.get_sblock("tile"), register_sums(SUM_PIXELS.name, (pixels, channels, blocked), arguments)
    )
    return Kernel(sch.mod["main"], {}, (PRELUDE, SUM_PIXELS))
