"""Scalar schedule of 1x1 convolution: the image is a matrix of pixels, tiles run over its rows unbroken."""

from __future__ import annotations

from .kernel import Candidate, Problem
from .matrix import matrix_candidates


def is_pointwise(problem: Problem) -> bool:
    """Whether a conv2d has a 1x1 kernel, stride 1 and no padding."""
    attrs = problem.attrs
    return (
        problem.shapes["weight"][1:3] == (1, 1)
        and tuple(attrs["strides"]) == (1, 1)
        and not any(attrs["padding"])
    )


def schedule_pointwise(problem: Problem) -> list[Candidate]:
    """Schedule conv2d of single pixels; nothing otherwise."""
    if problem.operator != "conv2d" or "thumb1" in problem.features or not is_pointwise(problem):
        return []
    return matrix_candidates(problem, "scalar pointwise", channel_axis=0)
