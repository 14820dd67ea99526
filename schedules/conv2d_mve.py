"""Convolution on Arm MVE: the ways that apply."""

from __future__ import annotations

from math import inf

from .dense_mve import DENSE_RULE, plan_dense
from .im2col_direct_mve import plan_im2col_direct
from .im2col_mve import plan_im2col
from .intrinsics.mve.strip import MAX_PLANE
from .kernel import Candidate, Problem
from .pointwise_mve import plan_pointwise
from .requantize_mve import epilogue_of
from .rows_mve import plan_rows

_WAYS = (plan_pointwise, plan_rows, plan_im2col, plan_im2col_direct, plan_dense)


def schedule_conv2d_mve(problem: Problem) -> list[Candidate]:
    """Schedule conv2d; nothing for every other operator and for what no way computes."""
    if problem.operator != "conv2d" or "mve" not in problem.features:
        return []
    if problem.data_plane or problem.output_plane > MAX_PLANE:
        return []
    epilogue = epilogue_of(problem)
    if epilogue is None:
        return []
    plans = [plan for way in _WAYS for plan in way(problem, epilogue)]
    if problem.output_plane:
        # Products of single pixels wait less, which hides how many more instructions they take: here they are for what
        # nothing else makes as cheaply, such as odd numbers of channels.
        tiled = min((one.instructions for one in plans if one.rule != DENSE_RULE), default=inf)
        plans = [one for one in plans if one.rule != DENSE_RULE or one.instructions < tiled]
    return plans
