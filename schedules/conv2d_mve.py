"""Convolution on Arm MVE: the cheapest of the ways that apply."""

from __future__ import annotations

from .dense_mve import plan_dense
from .im2col_mve import plan_im2col
from .kernel import Kernel, Problem
from .plan_mve import cheapest
from .pointwise_mve import plan_pointwise
from .requantize_mve import epilogue_of
from .rows_mve import plan_rows

_WAYS = (plan_pointwise, plan_rows, plan_im2col, plan_dense)


def schedule_conv2d_mve(problem: Problem) -> Kernel | None:
    """Schedule conv2d; None for every other operator and for what no way computes."""
    if problem.operator != "conv2d" or "mve" not in problem.features:
        return None
    epilogue = epilogue_of(problem)
    return cheapest(way(problem, epilogue) for way in _WAYS) if epilogue is not None else None
