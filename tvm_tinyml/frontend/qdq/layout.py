"""NCHW to NHWC: shapes, dimensions and contents of values with four dimensions; all others stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .network import Array

RANK = 4
TO_LAST = (0, 2, 3, 1)
"""Dimensions of NCHW in the order of NHWC."""
TO_FIRST = (0, 3, 1, 2)
"""Dimensions of NHWC in the order of NCHW."""


def shape_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Shape in memory of a value of this shape."""
    return tuple(shape[axis] for axis in TO_LAST) if len(shape) == RANK else tuple(shape)


def axis_of(axis: int, rank: int) -> int:
    """Dimension in memory of dimension `axis`, not negative, of a value."""
    return TO_LAST.index(axis) if rank == RANK else axis


def contents(data: Array, rank: int) -> Array:
    """A constant operand of a value with `rank` dimensions, as it lies in memory; broadcasting stays what it was."""
    if rank != RANK or data.ndim == 0:
        return data
    full = data.reshape((1,) * (rank - data.ndim) + data.shape)
    return np.ascontiguousarray(full.transpose(TO_LAST))


def keeps_order(shape: Sequence[int]) -> bool:
    """Whether the elements of a value of this shape lie in one order in both layouts."""
    if len(shape) != RANK:
        return True
    _, channels, height, width = shape
    return channels == 1 or height * width == 1


def feature_order(shape: Sequence[int]) -> Array:
    """For every element of a flattened image as it lies in memory, its number in the order of NCHW."""
    _, channels, height, width = shape
    numbers = np.arange(channels * height * width).reshape(channels, height, width)
    return np.ascontiguousarray(numbers.transpose(1, 2, 0)).reshape(-1)
