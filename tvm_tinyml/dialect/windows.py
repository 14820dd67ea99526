"""Geometry of sliding windows shared by the convolution and pooling families.

Padding is [top, left, bottom, right]; windows may be strided and dilated. SAME padding follows TFLite: the
extra element of an odd total goes to the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te, tirx

from .bounds import InputBounds, Whole, Window
from .relax_api import Array, Attrs


def output_extent(extent: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Number of window positions along one axis; ValueError when the window does not fit once."""
    span = (kernel - 1) * dilation + 1
    positions = (extent + before + after - span) // stride + 1
    if positions < 1:
        raise ValueError(
            f"a window of {span} elements does not fit an axis of {extent} padded by {before}+{after}"
        )
    return positions


def same_padding(extent: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """SAME padding (before, after) of one axis."""
    span = (kernel - 1) * dilation + 1
    total = max(0, (-(-extent // stride) - 1) * stride + span - extent)
    return total // 2, total - total // 2


def share_inside(x: Sequence[int], kernel: Sequence[int], output: Sequence[int], attrs: Attrs) -> float:
    """Share of the taps of all windows that lie in the image, not in its padding; x, output: NHWC shapes."""
    share = 1.0
    for axis in range(2):
        stride, step, before = attrs["strides"][axis], attrs["dilation"][axis], attrs["padding"][axis]
        origins = np.arange(output[1 + axis])[:, None] * stride - before
        taps = origins + np.arange(kernel[axis]) * step
        share *= float(np.mean((taps >= 0) & (taps < x[1 + axis])))
    return share


def swap_axes(attrs: Attrs) -> Attrs:
    """Attributes of the same windows over an image whose rows and columns are swapped."""
    top, left, bottom, right = attrs["padding"]
    pairs = {key: tuple(attrs[key][::-1]) for key in ("strides", "dilation", "pool") if key in attrs}
    return {**attrs, **pairs, "padding": (left, top, right, bottom)}


def pad_array(x: Array, padding: Sequence[int], value: int) -> Array:
    """NHWC array with its two spatial axes padded by `value`."""
    top, left, bottom, right = padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def taps(x: Array, kernel: tuple[int, int], strides: Sequence[int], dilation: Sequence[int]) -> Array:
    """View of a padded NHWC array as windows: shape [N, OH, OW, KH, KW, C]."""
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(1, 2))
    picked = windows[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    return np.moveaxis(picked, 3, 5)


def pad_tensor(x: Any, padding: Sequence[int], value: int) -> Any:
    """TE stage that pads the two spatial axes of an NHWC tensor by `value`; `x` itself when nothing is added.

    Schedules inline the stage: the guard becomes a clamp of the window loops (see codegen's ClampWindows).
    """
    top, left, bottom, right = padding
    if not any(padding):
        return x
    batch, height, width, channels = (int(extent) for extent in x.shape)

    def padded(n: Any, h: Any, w: Any, c: Any) -> Any:
        inside = []
        if top:
            inside.append(h >= top)
        if bottom:
            inside.append(h < height + top)
        if left:
            inside.append(w >= left)
        if right:
            inside.append(w < width + left)
        return tirx.if_then_else(tirx.all(*inside), x[n, h - top, w - left, c], tirx.const(value, x.dtype))

    return te.compute((batch, height + top + bottom, width + left + right, channels), padded, name="pad")


def window_bounds(
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    channels: Window | Whole,
) -> InputBounds:
    """Bounds of the NHWC input of a sliding-window operator."""
    spatial = tuple(
        Window(
            axis + 1,
            numerator=strides[axis],
            first=-padding[axis],
            last=(kernel[axis] - 1) * dilation[axis] - padding[axis],
        )
        for axis in (0, 1)
    )
    return InputBounds((Window(0), *spatial, channels))
