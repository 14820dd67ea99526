"""Scalar schedule of dense: up to sixteen outputs of one row at a time, weights packed in the order they are read."""

from __future__ import annotations

from .kernel import Candidate, Problem
from .matrix import matrix_candidates


def schedule_dense_tiles(problem: Problem) -> list[Candidate]:
    """Schedule dense; nothing for every other operator."""
    if problem.operator != "dense" or "thumb1" in problem.features:
        return []
    return matrix_candidates(problem, "scalar dense tiles", channel_axis=0)
