"""Bounds maps: which region of an input a region of the output reads (Halide's bounds inference, per operator).

A region is one half-open interval per axis. An input axis is either an affine image of one output axis, as in
a sliding window, or needed as a whole. Patch geometry, receptive fields and halos are derived from
these maps, so no pass knows an operator by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Interval: TypeAlias = tuple[int, int]
Region: TypeAlias = tuple[Interval, ...]


@dataclass(frozen=True)
class Window:
    """Input axis read through a sliding window over output axis `axis`.

    Output index `o` reads input indices `floor(o * numerator / denominator) + first` up to and including
    `floor(o * numerator / denominator) + last`, clipped to the axis. A stride is a numerator, an upsampling
    factor a denominator.
    """

    axis: int
    numerator: int = 1
    denominator: int = 1
    first: int = 0
    last: int = 0


@dataclass(frozen=True)
class Whole:
    """Input axis read from end to end whatever part of the output is wanted."""


AxisBounds: TypeAlias = Window | Whole


@dataclass(frozen=True)
class InputBounds:
    """Bounds of one input: one entry per axis of that input."""

    axes: tuple[AxisBounds, ...]

    def region(self, output: Region, shape: Sequence[int]) -> Region:
        """Region of an input of `shape` that `output` reads; an axis read nowhere gives the interval (0, 0)."""
        return tuple(
            _axis_interval(bounds, output, extent) for bounds, extent in zip(self.axes, shape, strict=True)
        )


def _axis_interval(bounds: AxisBounds, output: Region, extent: int) -> Interval:
    if isinstance(bounds, Whole):
        return (0, extent)
    low, high = output[bounds.axis]
    if low >= high:
        return (0, 0)
    begin = max(0, low * bounds.numerator // bounds.denominator + bounds.first)
    end = min(extent, (high - 1) * bounds.numerator // bounds.denominator + bounds.last + 1)
    return (begin, end) if begin < end else (0, 0)


def whole(rank: int) -> InputBounds:
    """Bounds of an input of which every output element may read everything."""
    return InputBounds((Whole(),) * rank)


def elementwise(shape: Sequence[int], output_rank: int) -> InputBounds:
    """Bounds of an operand of an elementwise operator under NumPy broadcasting rules."""
    offset = output_rank - len(shape)
    return InputBounds(
        tuple(Whole() if extent == 1 else Window(axis + offset) for axis, extent in enumerate(shape))
    )
