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
        """Whether any window leaves the image; padding alone does not say so, as strides may leave it out."""
        rows, columns = self.output
        return len(self.inner_rows) < rows or len(self.inner_columns) < columns

    @property
    def window(self) -> int:
        """Taps of one output."""
        return self.kernel[0] * self.kernel[1] * self.depth

    def origin(self, y: Any, x: Any) -> tuple[Any, Any]:
        """Row and byte in the data where the window of output (y, x) begins; may lie outside."""
        top, left, _, _ = self.padding
        return y * self.strides[0] - top, (x * self.strides[1] - left) * self.depth

    @property
    def inner_rows(self) -> range:
        """Rows of the output whose windows have all their rows inside the image."""
        return self._inner(0)

    @property
    def inner_columns(self) -> range:
        """Columns of the output whose windows have all their columns inside the image."""
        return self._inner(1)

    def _inner(self, axis: int) -> range:
        extent, before = (self.height, self.width)[axis], self.padding[axis]
        reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
        first = -(-before // self.strides[axis])
        end = min(self.output[axis], (extent + before - reach) // self.strides[axis] + 1)
        return range(first, max(first, end))

    def inner_tiles(self, together: int) -> list[int]:
        """First columns of the tiles of `together` pixels (`tiles_of`) whose windows have all columns inside."""
        inner = self.inner_columns
        tiles = tiles_of(self.output[1], together)
        return [first for first in tiles if first in inner and first + together - 1 in inner]

    def outside(self, y: Any, x: Any, together: int) -> Any:
        """Condition that a tile of `together` pixels from (y, x) on reaches over the border of the image."""
        tiles = self.inner_tiles(together)
        inner = range(tiles[0], tiles[-1] + 1)
        rows, columns = self.output
        return tirx.any(*_not_in(y, self.inner_rows, rows), *_not_in(x, inner, columns - together + 1))

    def row_inside(self, y: Any) -> Any:
        """Condition that the windows of row `y` have all rows inside the image; None if that is so for all."""
        conditions = _not_in(y, self.inner_rows, self.output[0])
        return tirx.Not(tirx.any(*conditions)) if conditions else None

    def share_outside(self, together: int) -> float:
        """Share of tiles of `together` adjacent outputs that reach over the border."""
        rows, columns = self.output
        inside = len(self.inner_rows) * len(self.inner_tiles(together))
        return 1 - inside / (rows * len(tiles_of(columns, together)))


def tiles_of(columns: int, together: int) -> list[int]:
    """First columns of tiles of `together` that cover a row; the last one may overlap."""
    return [min(first, columns - together) for first in range(0, columns, together)]


def parts(tiles: list[int], together: int) -> list[tuple[int, int]]:
    """(first, columns) of strips of adjacent tiles: most are one strip, and one that overlaps is another."""
    adjacent = [first for first in tiles if first % together == 0]
    strips = [(adjacent[0], len(adjacent) * together)] if adjacent else []
    return strips + [(first, together) for first in tiles if first % together]


def _not_in(index: Any, inner: range, extent: int) -> list[Any]:
    """Conditions of which one holds for indices below `extent` that are not in `inner`."""
    conditions = []
    if inner.start > 0:
        conditions.append(index < inner.start)
    if inner.stop < extent:
        conditions.append(index >= inner.stop)
    return conditions


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
