"""RVV schedule of dense layers: each row of the input is a pixel of a pointwise convolution."""

from __future__ import annotations

import numpy as np

from .channels_rvv import ChannelLayer
from .geometry_rvv import Geometry, folded_bias
from .intrinsics.rvv.epilogue import fit_epilogue
from .kernel import Candidate, Problem


def schedule_dense_rvv(problem: Problem) -> Candidate | None:
    """Schedule dense on cores with RVV; None for other operators and cores, and for factors of 1 and more."""
    if problem.operator != "dense" or "rvv" not in problem.features:
        return None
    depth = problem.shapes["weight"][1]
    parameters = fit_epilogue(problem.constants, problem.attrs, folded_bias(problem), depth)
    if parameters is None:
        return None
    rows = int(np.prod(problem.shapes["data"])) // depth
    geometry = Geometry(1, rows, depth, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (1, rows))
    return ChannelLayer("RVV dense", problem, geometry, parameters).candidate()
