"""Scalar schedule of dense: up to sixteen outputs of one row at a time, weights packed in the order they are read."""

from __future__ import annotations

from .kernel import Kernel, Problem
from .matrix import matrix_kernel


def schedule_dense_tiles(problem: Problem) -> Kernel | None:
    """Schedule dense; None for every other operator."""
    if problem.operator != "dense" or "thumb1" in problem.features:
        return None
    return matrix_kernel(problem, "scalar dense tiles", channel_axis=0)
