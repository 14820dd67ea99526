"""Scalar schedule of dense: up to sixteen outputs of one row at a time, weights packed in the order they are read."""

from __future__ import annotations

from .kernel import Candidate, Problem
from .matrix import matrix_candidate


def schedule_dense_tiles(problem: Problem) -> Candidate | None:
    """Schedule dense; None for every other operator."""
    if problem.operator != "dense" or "thumb1" in problem.features:
        return None
    return matrix_candidate(problem, "scalar dense tiles", channel_axis=0)
