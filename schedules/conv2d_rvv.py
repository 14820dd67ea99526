"""RVV schedule of conv2d over output channels."""

from __future__ import annotations

from .channels_rvv import ChannelLayer
from .geometry_rvv import folded_bias, geometry_of
from .intrinsics.rvv.epilogue import fit_epilogue
from .kernel import Candidate, Problem

# Bytes of scratch for patches.
MAX_SCRATCH = 5 * 1024


def schedule_conv2d_rvv(problem: Problem) -> Candidate | None:
    """Schedule conv2d on cores with RVV; None for other operators and cores, factors of 1 and more, large windows."""
    if problem.operator != "conv2d" or "rvv" not in problem.features:
        return None
    geometry = geometry_of(problem)
    if geometry is None:
        return None
    parameters = fit_epilogue(problem.constants, problem.attrs, folded_bias(problem), geometry.window)
    if parameters is None:
        return None
    layer = ChannelLayer("RVV conv2d, vectors of channels", problem, geometry, parameters)
    return layer.candidate() if layer.scratch <= MAX_SCRATCH else None
