"""Convolutions as RVV schedules see them: rows of bytes, windows inside the image and across its border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx

from .kernel import Array, Problem


@dataclass(frozen=True)
class Geometry:
    """A convolution on data seen as rows of bytes: input [height, width * depth], output [pixels, channels]."""

    height: int
    width: int
    depth: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int, int, int]
    output: tuple[int, int]

    @property
    def padded(self) -> bool:
        """Whether any window leaves the image."""
        return any(self.padding)

    @property
    def window(self) -> int:
        """Taps of one output."""
        return self.kernel[0] * self.kernel[1] * self.depth

    def origin(self, y: Any, x: Any) -> tuple[Any, Any]:
        """Row and byte in the data where the window of output (y, x) begins; may lie outside."""
        top, left, _, _ = self.padding
        return y * self.strides[0] - top, (x * self.strides[1] - left) * self.depth

    def inside(self, y: Any, x: Any, pixels: int) -> Any:
        """Condition that the windows of `pixels` outputs from (y, x) on lie inside the image."""
        (kernel_h, kernel_w), (stride_h, stride_w), (dilation_h, dilation_w) = (
            self.kernel,
            self.strides,
            self.dilation,
        )
        top, left, bottom, right = self.padding
        conditions = []
        if top:
            conditions.append(y * stride_h >= top)
        if bottom:
            conditions.append(y * stride_h - top + (kernel_h - 1) * dilation_h < self.height)
        if left:
            conditions.append(x * stride_w >= left)
        if right:
            last = x + (pixels - 1)
            conditions.append(last * stride_w - left + (kernel_w - 1) * dilation_w < self.width)
        return tirx.all(*conditions)

    def share_outside(self, pixels: int) -> float:
        """Share of tiles of `pixels` adjacent outputs that reach over the border."""
        rows, columns = self.output
        (kernel_h, kernel_w), (stride_h, stride_w), (dilation_h, dilation_w) = (
            self.kernel,
            self.strides,
            self.dilation,
        )
        top, left, _, _ = self.padding
        inner_rows = sum(
            top <= y * stride_h < self.height + top - (kernel_h - 1) * dilation_h for y in range(rows)
        )
        inner_columns = sum(
            left <= x * stride_w
            and (x + pixels - 1) * stride_w < self.width + left - (kernel_w - 1) * dilation_w
            for x in range(0, columns, pixels)
        )
        return 1 - inner_rows * inner_columns / (rows * -(-columns // pixels))


def geometry_of(problem: Problem) -> Geometry | None:
    """Geometry of a convolution with batch 1; pointwise layers become one long row."""
    batch, height, width, depth = problem.shapes["data"]
    _, kernel_h, kernel_w, _ = problem.shapes["weight"]
    attrs = problem.attrs
    if batch != 1:
        return None
    geometry = Geometry(
        height,
        width,
        depth,
        (kernel_h, kernel_w),
        tuple(attrs["strides"]),
        tuple(attrs["dilation"]),
        tuple(attrs["padding"]),
        (problem.output_shape[1], problem.output_shape[2]),
    )
    if (kernel_h, kernel_w) == (1, 1) and geometry.strides == (1, 1) and not geometry.padded:
        return Geometry(1, height * width, depth, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (1, height * width))
    return geometry


def folded_bias(problem: Problem, channel_axis: int = 0) -> Array:
    """Bias with the input zero point folded in, for windows that are complete."""
    weight = problem.constants["weight"].astype(np.int64)
    sums = weight.sum(axis=tuple(axis for axis in range(weight.ndim) if axis != channel_axis))
    bias: Array = problem.constants["bias"].astype(np.int64) - problem.attrs["input_zero_point"] * sums
    return bias
