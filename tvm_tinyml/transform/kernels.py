"""Kernels of convolutions and their sizes: taps that are added with zeros, or cut off.

Added taps change nothing, and neither do cut ones that hold zeros; the size of the output stays in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ..dialect.relax_api import Array
from .dataflow import Call, Constant, Graph

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
_KERNEL_AXES = (1, 2)
Taps: TypeAlias = tuple[int, int, int, int]
Strides: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Resize:
    """Taps that a convolution gets (above zero) or loses (below zero) at the ends of its kernel, and its new strides.

    layer: name of its call. taps: top, left, bottom, right, in the order of paddings. strides: of rows and columns;
    None where they stay.
    """

    layer: str
    taps: Taps = (0, 0, 0, 0)
    strides: Strides | None = None

    @property
    def grows(self) -> bool:
        """Whether no tap is lost and no stride moves."""
        return min(self.taps) >= 0 and self.strides is None

    def joined(self, other: Resize) -> Resize:
        """This one, then another one of the same layer."""
        top, left, bottom, right = (one + more for one, more in zip(self.taps, other.taps, strict=True))
        return Resize(self.layer, (top, left, bottom, right), other.strides or self.strides)


def joined(changes: Iterator[Resize] | list[Resize]) -> list[Resize]:
    """One change for each layer, in the order of their first ones."""
    found: dict[str, Resize] = {}
    for change in changes:
        found[change.layer] = found[change.layer].joined(change) if change.layer in found else change
    return list(found.values())


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution: extents of input, kernel and output in elements and taps, padding at both ends."""

    extent: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def output(self) -> int:
        """Positions of the kernel."""
        span = (self.kernel - 1) * self.dilation + 1
        return (self.extent + self.before + self.after - span) // self.stride + 1

    def resized(self, begin: int, end: int) -> Axis | None:
        """With taps more (or less) at both ends and the positions as they are; None where padding cannot do that.

        Padding that was equal at both ends stays equal, which is all that some frameworks have.
        """
        before = self.before + begin * self.dilation
        kernel = self.kernel + begin + end
        if before < 0 or kernel < 1:
            return None
        span = (kernel - 1) * self.dilation + 1
        needed = max(0, (self.output - 1) * self.stride + span - before - self.extent)
        found = replace(
            self, kernel=kernel, before=before, after=before if self.before == self.after else needed
        )
        return found if found.output == self.output else None


def convolutions(graph: Graph) -> list[Call]:
    """Convolutions with constant weights, in order."""
    return [
        node
        for node in graph.calls
        if node.operator.name in _CONVOLUTIONS and isinstance(node.inputs[1], Constant)
    ]


def axes(call: Call) -> tuple[Axis, Axis]:
    """Rows and columns of a convolution."""
    data, weight = call.inputs[0].spec.shape, call.inputs[1].spec.shape
    top, left, bottom, right = call.attrs["padding"]
    ends = ((top, bottom), (left, right))
    rows, columns = (
        Axis(data[axis], weight[axis], call.attrs["strides"][number], call.attrs["dilation"][number], *pair)
        for number, (axis, pair) in enumerate(zip(_KERNEL_AXES, ends, strict=True))
    )
    return rows, columns


def resize(call: Call, change: Resize) -> bool:
    """Give a convolution the kernel of `change`; whether it computes the same with it.

    Raises ValueError where no padding keeps the size of the output.
    """
    top, left, bottom, right = change.taps
    rows, columns = (
        axis.resized(begin, end)
        for axis, begin, end in zip(axes(call), (top, left), (bottom, right), strict=True)
    )
    if rows is None or columns is None:
        raise ValueError(f"{call.attrs['name']} cannot get {change.taps} taps at the ends of its kernel")
    weight = call.inputs[1]
    assert isinstance(weight, Constant)
    kept = _resized(weight.array, change.taps)
    exact = bool(np.count_nonzero(kept) == np.count_nonzero(weight.array))
    call.inputs[1] = Constant.of(kept)
    call.attrs["padding"] = (rows.before, columns.before, rows.after, columns.after)
    return exact


def _resized(weight: Array, taps: Taps) -> Array:
    top, left, bottom, right = taps
    ends = ((0, 0), (top, bottom), (left, right), (0, 0))
    padded = np.pad(weight, [(max(0, one), max(0, other)) for one, other in ends])
    cut = [
        slice(max(0, -one), size - max(0, -other))
        for (one, other), size in zip(ends, padded.shape, strict=True)
    ]
    return np.ascontiguousarray(padded[tuple(cut)])


def shrinking(call: Call) -> Resize | None:
    """The least cut of a kernel along every axis that is longer than its stride; None where there is none.

    No input is skipped: a kernel stays as long as its stride.
    """
    ends = [_cut(axis) for axis in axes(call)]
    (top, bottom), (left, right) = ends
    return Resize(call.attrs["name"], (top, left, bottom, right)) if any(map(any, ends)) else None


def _cut(axis: Axis) -> tuple[int, int]:
    for begin, end in ((-1, -1), (-1, 0), (0, -1)):
        if axis.kernel + begin + end >= axis.stride and axis.resized(begin, end) is not None:
            return begin, end
    return 0, 0


def growing(call: Call, *, rows: bool, columns: bool) -> Resize | None:
    """One tap more at both ends of the axes asked for; None where there is no room.

    Kernels have no tap that padding meets at every position, and pixels (1x1) stay pixels.
    """
    ends = [int(wanted) for wanted in (rows, columns)]
    for wanted, axis in zip(ends, axes(call), strict=True):
        reach = (axis.kernel + 1) * axis.dilation // 2
        if wanted and (axis.kernel == 1 or reach >= axis.extent or axis.resized(1, 1) is None):
            return None
    return Resize(call.attrs["name"], (ends[0], ends[1], ends[0], ends[1]))
