"""Reductions over all pixels of an image: `sum_pixels`, `max_pixels`, and `scale_sum`, which finishes a sum.

A mean or an average over the whole image is a sum, exact in any order, and one requantisation of it. The sum may be
made of parts of the image (`Operator.accumulates`): a call with the attribute ACCUMULATE adds to what its output holds.
`scale_sum` computes clip(requantize(sum - input_offset) + output_offset, clamp_min, clamp_max).
Semantics: together those of TFLite's MEAN, AVERAGE_POOL_2D and MAX_POOL_2D over both spatial axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tvm import ir, s_tir, te, tirx

from .bounds import InputBounds, Whole, Window, elementwise
from .broadcasting import compute_elementwise
from .fixed_point import requantize, requantize_expr, saturate_expr
from .registry import ACCUMULATE, Operator, register
from .relax_api import Array, Attrs, TensorSpec

INT8_MIN = -128
_PIXELS = (1, 2)

Combine = Callable[[Any, Any, Attrs], Any]
"""What a result and another element make, both int32."""


def _shape(shape: Sequence[int], attrs: Attrs) -> tuple[int, ...]:
    if len(shape) != 4:
        raise ValueError(f"an image needs 4-D data, found {tuple(shape)}")
    batch, _, _, channels = shape
    return (batch, 1, 1, channels) if attrs["keepdims"] else (batch, channels)


def _infer_sum(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    return TensorSpec(_shape(inputs[0].shape, attrs), "int32")


def _infer_max(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    return TensorSpec(_shape(inputs[0].shape, attrs), "int8")


def _infer_scale(inputs: Sequence[TensorSpec], _attrs: Attrs) -> TensorSpec:
    if inputs[0].dtype != "int32":
        raise ValueError(f"scale_sum's input is {inputs[0].dtype}, expected int32")
    return TensorSpec(inputs[0].shape, "int8")


def _reference_sum(arrays: Sequence[Array], attrs: Attrs) -> Array:
    total: Array = arrays[0].sum(axis=_PIXELS, dtype=np.int32)
    return total.reshape(_shape(arrays[0].shape, attrs))


def _reference_max(arrays: Sequence[Array], attrs: Attrs) -> Array:
    largest = np.clip(arrays[0].max(axis=_PIXELS), attrs["clamp_min"], attrs["clamp_max"])
    return np.asarray(largest.reshape(_shape(arrays[0].shape, attrs)), np.int8)


def _reference_scale(arrays: Sequence[Array], attrs: Attrs) -> Array:
    centred = arrays[0].astype(np.int64) - attrs["input_offset"]
    scaled = requantize(centred, attrs["multiplier"], attrs["shift"], attrs["rounding"])
    clamped = np.clip(scaled + attrs["output_offset"], attrs["clamp_min"], attrs["clamp_max"])
    return np.asarray(clamped, np.int8)


def _compute_sum(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Sum of all pixels, channel by channel."""
    if attrs.get(ACCUMULATE):
        return _accumulated(tensors[0], attrs, "int32", lambda total, element, _attrs: total + element)
    return _reduced(tensors[0], attrs, te.sum, "int32")


def _compute_max(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Maximum of all pixels, channel by channel."""
    if attrs.get(ACCUMULATE):
        return _accumulated(tensors[0], attrs, "int8", _largest)
    largest = _reduced(tensors[0], attrs, te.max, "int8")
    return te.compute(
        largest.shape,
        lambda *at: saturate_expr(largest(*at).astype("int32"), attrs["clamp_min"], attrs["clamp_max"]),
        name="clamp",
    )


def _largest(found: Any, element: Any, attrs: Attrs) -> Any:
    """The result is clamped at any time, so the lower limit is part of it from the start."""
    return tirx.max(found, tirx.min(element, tirx.const(attrs["clamp_max"], "int32")))


def _reduced(data: Any, attrs: Attrs, combine: Any, dtype: str) -> Any:
    extents = [int(extent) for extent in data.shape]
    y, x = (te.reduce_axis((0, extents[axis]), f"k{axis}") for axis in _PIXELS)
    return te.compute(
        _shape(extents, attrs),
        lambda *at: combine(data[at[0], y, x, at[-1]].astype(dtype), axis=[y, x]),
        name="accumulate",
    )


def _accumulated(data: Any, attrs: Attrs, dtype: str, combine: Combine) -> Any:
    """One image: every pixel is combined with what the output holds, and nothing is cleared before."""
    extents = [int(extent) for extent in data.shape]
    source = tirx.decl_buffer(data.shape, data.dtype, data.op.name)
    output = tirx.decl_buffer(list(_shape(extents, attrs)), dtype, "output")
    loops = [tirx.Var(name, "int32") for name in ("c", "y", "x")]
    kinds = (tirx.IterVar.DataPar, tirx.IterVar.CommReduce, tirx.IterVar.CommReduce)
    ranges = [ir.Range(0, extents[axis]) for axis in (3, *_PIXELS)]
    iterators = [
        tirx.IterVar(extent, tirx.Var(f"v{loop.name}", "int32"), kind)
        for extent, loop, kind in zip(ranges, loops, kinds, strict=True)
    ]
    c, y, x = (iterator.var for iterator in iterators)
    zero = tirx.const(0, "int32")
    place = [zero] * (len(output.shape) - 1) + [c]
    pixel = [zero, y, x, c]

    def statement(_inputs: Sequence[Any], _outputs: Sequence[Any]) -> Any:
        held = tirx.BufferLoad(output, place).astype("int32")
        changed = combine(held, tirx.BufferLoad(source, pixel).astype("int32"), attrs).astype(dtype)
        block = s_tir.SBlock(
            iterators,
            [_point(output, place), _point(source, pixel)],
            [_point(output, place)],
            "accumulate",
            tirx.BufferStore(output, changed, place),
        )
        body = s_tir.SBlockRealize(loops, True, block)
        for loop, extent in reversed(list(zip(loops, ranges, strict=True))):
            body = tirx.For(loop, 0, extent.extent, tirx.ForKind.SERIAL, body)
        return body

    return te.extern(
        list(output.shape),
        [data],
        statement,
        name="root",
        dtype=dtype,
        in_buffers=[source],
        out_buffers=[output],
    )


def _point(buffer: Any, index: Sequence[Any]) -> Any:
    return tirx.BufferRegion(buffer, [ir.Range.from_min_extent(coordinate, 1) for coordinate in index])


def _compute_scale(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Sums under the quantisation of their mean."""

    def element(x: Any) -> Any:
        centred = x - attrs["input_offset"]
        scaled = requantize_expr(centred, attrs["multiplier"], attrs["shift"], attrs["rounding"])
        return saturate_expr(scaled + attrs["output_offset"], attrs["clamp_min"], attrs["clamp_max"])

    return compute_elementwise(tensors, element, "requantize")


def _bounds_pixels(_inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    return (InputBounds((Window(0), Whole(), Whole(), Window(3 if attrs["keepdims"] else 1))),)


def _bounds_scale(inputs: Sequence[TensorSpec], _attrs: Attrs) -> tuple[InputBounds, ...]:
    return (elementwise(inputs[0].shape, len(inputs[0].shape)),)


register(
    Operator(
        name="sum_pixels",
        inputs=("data",),
        infer=_infer_sum,
        reference=_reference_sum,
        compute=_compute_sum,
        bounds=_bounds_pixels,
        border=lambda _attrs: 0,
        accumulates=lambda _attrs: 0,
    )
)
register(
    Operator(
        name="max_pixels",
        inputs=("data",),
        infer=_infer_max,
        reference=_reference_max,
        compute=_compute_max,
        bounds=_bounds_pixels,
        border=lambda _attrs: INT8_MIN,
        accumulates=lambda attrs: int(attrs["clamp_min"]),
    )
)
register(
    Operator(
        name="scale_sum",
        inputs=("data",),
        infer=_infer_scale,
        reference=_reference_scale,
        compute=_compute_scale,
        bounds=_bounds_scale,
    )
)
