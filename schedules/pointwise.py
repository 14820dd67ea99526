"""Scalar schedule of 1x1 convolution: the image is a matrix of pixels, tiles run over its rows unbroken."""

from __future__ import annotations

from .kernel import Kernel, Problem
from .matrix import matrix_kernel


def schedule_pointwise(problem: Problem) -> Kernel | None:
    """Schedule conv2d with a 1x1 kernel, stride 1 and no padding; None otherwise."""
    attrs = problem.attrs
    if (
        problem.operator != "conv2d"
        or "thumb1" in problem.features
        or problem.shapes["weight"][1:3] != (1, 1)
        or tuple(attrs["strides"]) != (1, 1)
        or any(attrs["padding"])
    ):
        return None
    return matrix_kernel(problem, "scalar pointwise", channel_axis=0)
