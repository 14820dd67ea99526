"""Positions in row-major order, as index expressions: how operators read a tensor under another shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx


def position_of(indices: Sequence[Any], shape: Sequence[int]) -> Any:
    """Position of the element at `indices` of a tensor of `shape`."""
    position: Any = 0
    for index, extent in zip(indices, shape, strict=True):
        position = position * extent + index
    return position


def indices_of(position: Any, shape: Sequence[int]) -> list[Any]:
    """Indices of the element at `position` of a tensor of `shape`; the inverse of `position_of`."""
    indices: list[Any] = []
    for extent in reversed(shape[1:]):
        indices.append(tirx.floormod(position, extent))
        position = tirx.floordiv(position, extent)
    return [position, *reversed(indices)] if shape else []
