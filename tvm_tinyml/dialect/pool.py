"""Pooling over the spatial axes of an NHWC tensor: `avg_pool2d` and `max_pool2d`.

Input and output share their quantisation. Averages round half away from zero and divide by the number of
elements of the window that lie inside the input. Semantics: TFLite's AVERAGE_POOL_2D and MAX_POOL_2D.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te, tirx

from . import windows
from .bounds import InputBounds, Window
from .fixed_point import saturate_expr
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec

INT8_MIN = -128
_NO_DILATION = (1, 1)


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    (data,) = inputs
    if len(data.shape) != 4:
        raise ValueError(f"pooling needs 4-D data, found {data.shape}")
    batch, *extents, channels = data.shape
    sizes = []
    for axis, (extent, kernel, stride) in enumerate(
        zip(extents, attrs["pool"], attrs["strides"], strict=True)
    ):
        before, after = attrs["padding"][axis], attrs["padding"][axis + 2]
        size = windows.output_extent(extent, kernel, stride, 1, before, after)
        if before >= kernel or (size - 1) * stride - before >= extent:
            raise ValueError(f"a window of {kernel} lies entirely in the padding {before}+{after}")
        sizes.append(size)
    return TensorSpec((batch, *sizes, channels), data.dtype)


def _taps(data: Array, attrs: Attrs, neutral: int) -> Array:
    padded = windows.pad_array(data, attrs["padding"], neutral)
    return windows.taps(padded, tuple(attrs["pool"]), attrs["strides"], _NO_DILATION)


def _clamp(x: Array, attrs: Attrs) -> Array:
    clamped: Array = np.clip(x, attrs["clamp_min"], attrs["clamp_max"]).astype(np.int8)
    return clamped


def _reference_average(arrays: Sequence[Array], attrs: Attrs) -> Array:
    (data,) = arrays
    total = _taps(data.astype(np.int32), attrs, 0).sum(axis=(3, 4))
    count = _taps(np.ones_like(data, np.int32), attrs, 0).sum(axis=(3, 4))
    rounded = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return _clamp(rounded, attrs)


def _reference_max(arrays: Sequence[Array], attrs: Attrs) -> Array:
    return _clamp(_taps(arrays[0], attrs, INT8_MIN).max(axis=(3, 4)), attrs)


def _reduce(data: Any, attrs: Attrs, neutral: int, combine: Any, dtype: str) -> Any:
    """Stage `accumulate`: `combine` over each window, padded by `neutral`."""
    shape = tuple(int(extent) for extent in data.shape)
    padded = windows.pad_tensor(data, attrs["padding"], neutral)
    (pool_h, pool_w), (stride_h, stride_w) = attrs["pool"], attrs["strides"]
    kh, kw = te.reduce_axis((0, pool_h), "kh"), te.reduce_axis((0, pool_w), "kw")
    return te.compute(
        _infer([TensorSpec(shape, data.dtype)], attrs).shape,
        lambda n, h, w, c: combine(
            padded[n, h * stride_h + kh, w * stride_w + kw, c].astype(dtype), axis=[kh, kw]
        ),
        name="accumulate",
    )


def _valid_extent(index: Any, extent: int, output: int, kernel: int, stride: int, before: int) -> Any:
    """How many of a window's `kernel` elements along one axis lie inside the input."""
    first = index * stride - before
    end = (
        tirx.min(first + kernel, extent)
        if (output - 1) * stride - before + kernel > extent
        else first + kernel
    )
    return end - (tirx.max(first, 0) if before else first)


def _compute_average(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Average of each window, counting the elements inside the input."""
    (data,) = tensors
    accumulator = _reduce(data, attrs, 0, te.sum, "int32")
    axes = [
        (int(data.shape[axis + 1]), int(accumulator.shape[axis + 1]), *geometry)
        for axis, geometry in enumerate(
            zip(attrs["pool"], attrs["strides"], attrs["padding"][:2], strict=True)
        )
    ]

    def output(n: Any, h: Any, w: Any, c: Any) -> Any:
        total = accumulator[n, h, w, c]
        count = _valid_extent(h, *axes[0]) * _valid_extent(w, *axes[1])
        half = tirx.floordiv(count, 2)
        rounded = tirx.truncdiv(tirx.Select(total > 0, total + half, total - half), count)
        return saturate_expr(rounded, attrs["clamp_min"], attrs["clamp_max"])

    return te.compute(accumulator.shape, output, name="requantize")


def _compute_max(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Maximum of each window."""
    accumulator = _reduce(tensors[0], attrs, INT8_MIN, te.max, "int8")
    return te.compute(
        accumulator.shape,
        lambda *indices: saturate_expr(
            accumulator[indices].astype("int32"), attrs["clamp_min"], attrs["clamp_max"]
        ),
        name="requantize",
    )


def _bounds(_inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    return (
        windows.window_bounds(attrs["pool"], attrs["strides"], _NO_DILATION, attrs["padding"], Window(3)),
    )


register(
    Operator(
        name="avg_pool2d",
        inputs=("data",),
        infer=_infer,
        reference=_reference_average,
        compute=_compute_average,
        bounds=_bounds,
        transposed=windows.swap_axes,
    )
)
register(
    Operator(
        name="max_pool2d",
        inputs=("data",),
        infer=_infer,
        reference=_reference_max,
        compute=_compute_max,
        bounds=_bounds,
        transposed=windows.swap_axes,
        border=lambda _attrs: INT8_MIN,
    )
)
