"""Scalar schedule of conv2d: the windows of a few pixels are copied side by side, then multiplied as a matrix.

Rows of a window that lie inside the image are copied in one run of kernel width times channels; at the left and
right border tap by tap. Taps outside the image become the zero point, so every window is multiplied whole and the zero
point of the input moves into the bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.scalar_memory import WORD, Copy, Fill
from .kernel import Candidate, Problem
from .matrix import matrix_candidates
from .pointwise import is_pointwise

# Bytes of patches that a layer may take from the arena.
SCRATCH_LIMIT = 2560
INSTRUCTIONS_PER_BYTE = 1.5
INSTRUCTIONS_PER_RUN = 12.0


def schedule_im2col(problem: Problem) -> list[Candidate]:
    """Schedule conv2d; nothing for other operators, for windows too large for the scratch and for single pixels."""
    if problem.operator != "conv2d" or "thumb1" in problem.features or is_pointwise(problem):
        return []
    gather = windows_of(problem)
    if 4 * gather.depth > SCRATCH_LIMIT:
        return []
    return matrix_candidates(problem, "scalar im2col", channel_axis=0, gather=gather)


def windows_of(problem: Problem) -> Windows:
    """The windows of a conv2d."""
    attrs = problem.attrs
    return Windows(
        shape=problem.shapes["data"],
        output=problem.output_shape[1:3],
        kernel=problem.shapes["weight"][1:3],
        strides=tuple(attrs["strides"]),
        dilation=tuple(attrs["dilation"]),
        padding=tuple(attrs["padding"]),
        zero_point=attrs["input_zero_point"],
    )


@dataclass(frozen=True)
class Windows:
    """Geometry of the windows of a convolution; see `matrix.Gather`."""

    shape: tuple[int, ...]
    output: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    zero_point: int

    @property
    def matrix(self) -> tuple[int, int]:
        """The activations as a matrix: rows of the images, elements of a row."""
        images, height, width, channels = self.shape
        return images * height, width * channels

    @property
    def depth(self) -> int:
        """Elements of a window."""
        return int(np.prod(self.kernel)) * self.shape[-1]

    @property
    def instructions_per_row(self) -> float:
        """Estimate for one window."""
        return INSTRUCTIONS_PER_BYTE * self.depth + INSTRUCTIONS_PER_RUN * self.kernel[0]

    @property
    def run(self) -> Copy:
        """Copy of one row of a window that lies inside the image."""
        return Copy(self.kernel[1] * self.shape[-1], self.shape[-1] % WORD == 0)

    @property
    def tap(self) -> Copy:
        """Copy of the channels of one pixel."""
        return Copy(self.shape[-1], self.shape[-1] % WORD == 0)

    @property
    def outside(self) -> Fill:
        """Fill for the channels of one pixel outside the image."""
        return Fill(self.shape[-1], self.zero_point, self.shape[-1] % WORD == 0)

    @property
    def intrinsics(self) -> dict[str, Copy | Fill]:
        """Micro-kernels by the names of the blocks that they implement."""
        by_tap: dict[str, Copy | Fill] = {"tap": self.tap}
        if any(self.padding):
            by_tap["outside"] = self.outside
        if self.dilation[1] != 1:
            return by_tap
        return {"run": self.run} | (by_tap if any(self.padding) else {})

    def emit(self, data: Any, patches: Any, first: Any, count: int, suffix: str) -> None:
        """Copy the windows of `count` pixels from `first` on, one row of the kernel at a time."""
        _, height, width, channels = self.shape
        rows, columns = self.output
        kernel_h, kernel_w = self.kernel
        span = kernel_w * channels
        with T.grid(count, kernel_h) as (i, ky):
            pixel = first + i
            image, y, x = pixel // (rows * columns), pixel // columns % rows, pixel % columns
            top = y * self.strides[0] + ky * self.dilation[0] - self.padding[0]
            left = x * self.strides[1] - self.padding[1]
            row = image * height + top

            def by_tap() -> None:
                with T.serial(0, kernel_w) as kx:
                    column = left + kx * self.dilation[1]
                    place = (i, (ky * kernel_w + kx) * channels)
                    if not any(self.padding):
                        self._copy("tap", suffix, patches, place, data, row, column)
                        return
                    inside = tirx.all(top >= 0, top < height, column >= 0, column < width)
                    with T.If(inside):
                        with T.Then():
                            self._copy("tap", suffix, patches, place, data, row, column)
                        with T.Else(), T.sblock(f"outside{suffix}"):
                            vi, vk = (
                                T.axis.spatial(patches.shape[0], i),
                                T.axis.spatial(patches.shape[1], place[1]),
                            )
                            self.outside.block(patches, (vi, vk))

            if self.dilation[1] != 1:
                by_tap()
            elif not any(self.padding):
                self._copy("run", suffix, patches, (i, ky * span), data, row, left)
            else:
                with T.If(tirx.all(top >= 0, top < height, left >= 0, left <= width - kernel_w)):
                    with T.Then():
                        self._copy("run", suffix, patches, (i, ky * span), data, row, left)
                    with T.Else():
                        by_tap()

    def _copy(
        self, name: str, suffix: str, patches: Any, place: tuple[Any, Any], data: Any, row: Any, column: Any
    ) -> None:
        channels = self.shape[-1]
        copy = self.run if name == "run" else self.tap
        with T.sblock(name + suffix):
            vi, vk = (T.axis.spatial(extent, at) for extent, at in zip(patches.shape, place, strict=True))
            vy, vx = T.axis.spatial(data.shape[0], row), T.axis.spatial(data.shape[1], column * channels)
            copy.block(patches, (vi, vk), data, (vy, vx))
