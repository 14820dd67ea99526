"""`resize_nearest` and `resize_bilinear`: the two spatial axes of an NHWC tensor at another size.

Semantics: the int8 reference kernels of TFLite's RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR. The nearest
source index is computed there in single precision, once per row and column; here that happens at compile
time and leaves an integer line `(o * multiplier + offset) >> shift`, with corrections for the few positions
that rounding in single precision puts off the line. Bilinear interpolation is integer throughout: positions
and weights have ten fraction bits, and the result rounds half away from zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from .bounds import InputBounds, Window
from .fixed_functions import rounding_shift_right_expr
from .fixed_point import rounding_shift_right
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec

FRACTION_BITS = 10
MAX_EXTENT = 1 << 14
MAX_CORRECTIONS = 16
_ONE = 1 << FRACTION_BITS


def _infer_shape(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data, size = inputs[0], tuple(attrs["size"])
    if len(data.shape) != 4:
        raise ValueError(f"resizing needs an NHWC tensor, found shape {data.shape}")
    if len(size) != 2 or any(extent < 1 for extent in size):
        raise ValueError(f"size must be two positive extents, found {size}")
    if max(*size, *data.shape[1:3]) > MAX_EXTENT:
        raise ValueError(f"resizing {data.shape[1:3]} to {size} exceeds the limit of {MAX_EXTENT} elements")
    return TensorSpec((data.shape[0], *size, data.shape[3]), data.dtype)


def _ratio(source: int, target: int, attrs: Attrs) -> tuple[int, int]:
    """Source distance per output distance, a fraction; aligned corners map first to first, last to last."""
    return (source - 1, target - 1) if attrs["align_corners"] and target > 1 else (source, target)


def _bounds_axis(axis: int, low: Array, high: Array, numerator: int, denominator: int) -> Window:
    """Window over output `axis` that reads from `low[o]` to `high[o]`."""
    base = np.arange(len(low)) * numerator // denominator
    return Window(axis, numerator, denominator, int((low - base).min()), int((high - base).max()))


def _nearest_indices(source: int, target: int, attrs: Attrs) -> Array:
    numerator, denominator = _ratio(source, target, attrs)
    scale = np.float32(numerator) / np.float32(denominator)
    centre = np.float32(0.5 if attrs["half_pixel_centers"] else 0.0)
    position = (np.arange(target, dtype=np.float32) + centre) * scale
    index = np.floor(position)
    if attrs["align_corners"]:
        index += position - index >= 0.5
    inside: Array = np.clip(index.astype(np.int64), 0, source - 1)
    return inside


@dataclass(frozen=True)
class IndexLine:
    """Integer form of a table of source indices: `(o * multiplier + offset) >> shift`, then the corrections.

    corrections: (position, what to add there).
    """

    multiplier: int
    offset: int
    shift: int
    corrections: tuple[tuple[int, int], ...] = ()

    def expression(self, position: Any) -> Any:
        """TE expression of the source index of output `position`."""
        index = position * self.multiplier + self.offset
        if self.shift:
            index = tirx.shift_right(index, tirx.const(self.shift, "int32"))
        for exception, amount in self.corrections:
            index = index + tirx.Select(
                position == exception, tirx.const(amount, "int32"), tirx.const(0, "int32")
            )
        return index


def index_line(table: Array, numerator: int, denominator: int) -> IndexLine:
    """The line nearest to `numerator / denominator` through a table of indices, exact at every position."""
    positions = np.arange(len(table))
    # Both ends of the line stay below 2**29, so that no intermediate value leaves 32 bits.
    widest = 29 - max(len(table) * numerator // denominator, int(table.max())).bit_length()
    for shift in range(widest + 1):
        for multiplier in sorted(
            {(numerator << shift) // denominator, -(-(numerator << shift) // denominator)}
        ):
            lowest = int(((table << shift) - positions * multiplier).max())
            highest = int((((table + 1) << shift) - 1 - positions * multiplier).min())
            if lowest <= highest:
                return IndexLine(multiplier, lowest, shift)
    multiplier = round((numerator << widest) / denominator)
    # A position is met by 2**widest offsets in a row; the best offset meets most positions.
    lowest_offsets = np.sort((table << widest) - positions * multiplier)
    first_met = np.searchsorted(lowest_offsets, lowest_offsets - (1 << widest), side="right")
    met = np.arange(1, len(table) + 1) - first_met
    offset = int(lowest_offsets[int(np.argmax(met))])
    amounts = table - ((positions * multiplier + offset) >> widest)
    corrections = tuple((int(position), int(amounts[position])) for position in np.flatnonzero(amounts))
    return IndexLine(multiplier, offset, widest, corrections)


def _infer_nearest(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    output = _infer_shape(inputs, attrs)
    for source, line in zip(inputs[0].shape[1:3], _lines(inputs[0].shape, attrs), strict=True):
        if len(line.corrections) > MAX_CORRECTIONS:
            raise ValueError(
                f"resize_nearest of {source} elements to {output.shape}: {len(line.corrections)} positions are "
                f"off the line through the others, the limit is {MAX_CORRECTIONS}"
            )
    return output


def _lines(shape: Sequence[int], attrs: Attrs) -> list[IndexLine]:
    return [
        index_line(table, *_ratio(shape[axis + 1], len(table), attrs))
        for axis, table in enumerate(_tables(shape, attrs))
    ]


def _tables(shape: Sequence[int], attrs: Attrs) -> list[Array]:
    return [_nearest_indices(shape[axis + 1], attrs["size"][axis], attrs) for axis in (0, 1)]


def _reference_nearest(arrays: Sequence[Array], attrs: Attrs) -> Array:
    (data,) = arrays
    rows, columns = _tables(data.shape, attrs)
    return np.ascontiguousarray(data[:, rows][:, :, columns])


def _compute_nearest(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Spatial axes at another size, each element from its nearest neighbour."""
    (data,) = tensors
    shape = [int(extent) for extent in data.shape]
    rows, columns = _lines(shape, attrs)
    return te.compute(
        (shape[0], *attrs["size"], shape[3]),
        lambda n, h, w, c: data[n, rows.expression(h), columns.expression(w), c],
        name="resize_nearest",
    )


def _bounds_nearest(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    shape = inputs[0].shape
    spatial = (
        _bounds_axis(axis + 1, table, table, *_ratio(shape[axis + 1], len(table), attrs))
        for axis, table in enumerate(_tables(shape, attrs))
    )
    return (InputBounds((Window(0), *spatial, Window(3))),)


@dataclass(frozen=True)
class Interpolation:
    """Source positions of one axis in units of 2**-10: `o * step + start`.

    source: extent of the axis that is read.
    """

    step: int
    start: int
    source: int

    def lower(self, target: int) -> Array:
        """Index below each output position."""
        index: Array = np.maximum(self._positions(target) >> FRACTION_BITS, 0)
        return index

    def upper(self, target: int) -> Array:
        """Index above each output position; the index below where the position falls on an element."""
        index: Array = np.minimum((self._positions(target) + _ONE - 1) >> FRACTION_BITS, self.source - 1)
        return index

    def fraction(self, target: int) -> Array:
        """Weight of the upper element in 1024ths; negative before the first element, where both are it."""
        weight: Array = self._positions(target) - _ONE * self.lower(target)
        return weight

    def _positions(self, target: int) -> Array:
        return np.arange(target, dtype=np.int64) * self.step + self.start

    def expressions(self, position: Any) -> tuple[Any, Any, Any]:
        """TE expressions of `lower`, `upper` and `fraction` at output `position`."""
        scaled = position * self.step + self.start
        bits = tirx.const(FRACTION_BITS, "int32")
        lower = tirx.shift_right(scaled, bits)
        if self.start < 0:
            lower = tirx.max(lower, tirx.const(0, "int32"))
        upper = tirx.min(tirx.shift_right(scaled + (_ONE - 1), bits), tirx.const(self.source - 1, "int32"))
        return lower, upper, scaled - lower * _ONE


def _interpolation(source: int, target: int, attrs: Attrs) -> Interpolation:
    numerator, denominator = _ratio(source, target, attrs)
    step = (_ONE * numerator + denominator // 2) // denominator
    start = step // 2 - _ONE // 2 if attrs["half_pixel_centers"] else 0
    return Interpolation(step, start, source)


def _interpolations(shape: Sequence[int], attrs: Attrs) -> list[Interpolation]:
    return [_interpolation(shape[axis + 1], attrs["size"][axis], attrs) for axis in (0, 1)]


def _infer_bilinear(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    output = _infer_shape(inputs, attrs)
    if output.dtype != "int8":
        raise ValueError(f"resize_bilinear takes int8, found {output.dtype}")
    if attrs["align_corners"] and attrs["half_pixel_centers"]:
        raise ValueError("resize_bilinear cannot combine align_corners and half_pixel_centers")
    for axis, interpolation in enumerate(_interpolations(inputs[0].shape, attrs)):
        source, target = interpolation.source, attrs["size"][axis]
        if int(interpolation.lower(target)[-1]) >= source:
            raise ValueError(
                f"resize_bilinear from {source} to {target} elements: ten fraction bits are too few, "
                "the last position lies behind the input"
            )
    return output


def _reference_bilinear(arrays: Sequence[Array], attrs: Attrs) -> Array:
    (data,) = arrays
    height, width = attrs["size"]
    rows, columns = _interpolations(data.shape, attrs)
    wide = data.astype(np.int64)
    left, right = wide[:, :, columns.lower(width)], wide[:, :, columns.upper(width)]
    weight = columns.fraction(width)[:, None]
    across = left * (_ONE - weight) + right * weight
    above, below = across[:, rows.lower(height)], across[:, rows.upper(height)]
    weight = rows.fraction(height)[:, None, None]
    total = above * (_ONE - weight) + below * weight
    return rounding_shift_right(total, 2 * FRACTION_BITS).astype(np.int8)


def _compute_bilinear(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Spatial axes at another size, each element interpolated between its four neighbours."""
    (data,) = tensors
    shape = [int(extent) for extent in data.shape]
    rows, columns = _interpolations(shape, attrs)

    def output(n: Any, h: Any, w: Any, c: Any) -> Any:
        top, bottom, down = rows.expressions(h)
        left, right, along = columns.expressions(w)

        def across(row: Any) -> Any:
            first, second = (data[n, row, column, c].astype("int32") for column in (left, right))
            return first * (_ONE - along) + second * along

        total = across(top) * (_ONE - down) + across(bottom) * down
        return rounding_shift_right_expr(total, 2 * FRACTION_BITS).astype("int8")

    return te.compute((shape[0], *attrs["size"], shape[3]), output, name="resize_bilinear")


def _bounds_bilinear(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    spatial = (
        _bounds_axis(
            axis + 1, line.lower(attrs["size"][axis]), line.upper(attrs["size"][axis]), line.step, _ONE
        )
        for axis, line in enumerate(_interpolations(inputs[0].shape, attrs))
    )
    return (InputBounds((Window(0), *spatial, Window(3))),)


register(
    Operator(
        name="resize_nearest",
        inputs=("data",),
        infer=_infer_nearest,
        reference=_reference_nearest,
        compute=_compute_nearest,
        bounds=_bounds_nearest,
    )
)
register(
    Operator(
        name="resize_bilinear",
        inputs=("data",),
        infer=_infer_bilinear,
        reference=_reference_bilinear,
        compute=_compute_bilinear,
        bounds=_bounds_bilinear,
    )
)
