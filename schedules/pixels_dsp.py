"""Sums over pixels on Arm DSP: groups of four channels over runs of a few pixels, the rest one by one."""

from __future__ import annotations

from .intrinsics import dsp
from .kernel import Candidate, Kernel, Problem
from .pixels import instructions_left, pixels_function, pixels_of, register_sums, schedule_rest


def schedule_pixels_dsp(problem: Problem) -> Candidate | None:
    """Schedule sum_pixels of four channels and more; None for everything else."""
    extents = pixels_of(problem)
    if "dsp" not in problem.features or problem.operator != "sum_pixels" or extents is None:
        return None
    pixels, channels = extents
    if channels < dsp.SUM_LANES:
        return None
    run, groups = dsp.longest_run(pixels, channels), channels // dsp.SUM_LANES
    cost = pixels // run * dsp.sum_instructions(run, channels, groups)
    return Candidate(
        rule="dsp pixel sums",
        instructions=20 + cost + instructions_left(problem, channels % dsp.SUM_LANES),
        build=lambda: _build(problem, pixels, channels, run),
        micro_kernels=lambda: (dsp.sum_pixels(run, channels),),
    )


def _build(problem: Problem, pixels: int, channels: int, run: int) -> Kernel:
    groups = channels // dsp.SUM_LANES
    blocked, kernel = groups * dsp.SUM_LANES, dsp.sum_pixels(run, channels)
    function = pixels_function(problem, blocked, run)
    sch = schedule_rest(function) if blocked < channels else dsp.schedule(function)
    sch.tensorize(sch.get_sblock("tile"), register_sums(kernel.name, (run, channels, blocked), (groups,)))
    return Kernel(sch.mod["main"], {}, (kernel,))
