"""Random layers for the RVV schedules: geometry from a seed, values at random or at their extremes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.layers import LayerCase
from tvm_tinyml.dialect import windows
from tvm_tinyml.dialect.relax_api import Array

# Balanced choices leave small layers to code that exists already.
TARGET = "tinyml -mcpu=rv32imcv -opt=speed"


def int8_values(generator: np.random.Generator, shape: tuple[int, ...], lowest: int = -128) -> Array:
    """Uniform values, or only the two ends of the range."""
    if generator.random() < 0.3:
        return generator.choice(np.array([lowest, 127], np.int8), shape)
    return generator.integers(lowest, 127, shape, dtype=np.int8, endpoint=True)


def requantization(
    generator: np.random.Generator, channels: int, window: int, rounding: str = "double"
) -> tuple[tuple[Array, Array, Array], dict[str, Any]]:
    """(bias, multiplier, shift) whose outputs spread over int8 for windows of `window` taps, and attributes."""
    bias = generator.integers(-(2**14), 2**14, channels, dtype=np.int32)
    multiplier = generator.integers(2**30, 2**31 - 1, channels, dtype=np.int32)
    spread = int(np.log2(64 * np.sqrt(window) * 64)) - 6
    shift = -generator.integers(max(2, spread - 2), spread + 3, channels).astype(np.int32)
    zero_point = int(generator.choice([-128, -3, 0, 17, 127]))
    low, high = (zero_point, 127) if generator.random() < 0.4 and zero_point < 127 else (-128, 127)
    if generator.random() < 0.3:
        low, high = max(low, -100), 90
    attrs = {
        "zero_point": zero_point,
        "clamp_min": low,
        "clamp_max": max(high, low + 1),
        "rounding": rounding,
    }
    return (bias, multiplier, shift), attrs


def convolution(
    generator: np.random.Generator,
    image: tuple[int, int, int],
    channels: int,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    same: bool = True,
    lowest_weight: int = -127,
) -> LayerCase:
    """A conv2d on int8 data [1, height, width, depth]."""
    depth = image[2]
    data = int8_values(generator, (1, *image))
    weight = int8_values(generator, (channels, *kernel, depth), lowest_weight)
    padding = same_padding(image, kernel, strides, dilation) if same else (0, 0, 0, 0)
    constants, attrs = requantization(generator, channels, kernel[0] * kernel[1] * depth)
    attrs |= {"strides": strides, "dilation": dilation, "padding": padding}
    attrs["input_zero_point"] = int(generator.choice([-128, 127, 5])) if any(padding) else 0
    return LayerCase("conv2d", (data, weight, *constants), attrs)


def depthwise(
    generator: np.random.Generator,
    image: tuple[int, int, int],
    kernel: tuple[int, int],
    *,
    multiplier: int = 1,
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    same: bool = True,
    lowest_weight: int = -127,
) -> LayerCase:
    """A depthwise_conv2d on int8 data [1, height, width, depth]."""
    channels = image[2] * multiplier
    data = int8_values(generator, (1, *image))
    weight = int8_values(generator, (1, *kernel, channels), lowest_weight)
    padding = same_padding(image, kernel, strides, dilation) if same else (0, 0, 0, 0)
    constants, attrs = requantization(generator, channels, kernel[0] * kernel[1])
    attrs |= {"strides": strides, "dilation": dilation, "padding": padding, "depth_multiplier": multiplier}
    attrs["input_zero_point"] = int(generator.choice([-128, 127, 5])) if any(padding) else 0
    return LayerCase("depthwise_conv2d", (data, weight, *constants), attrs)


def same_padding(
    image: tuple[int, int, int], kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Padding (top, left, bottom, right) that TFLite's SAME means."""
    (top, bottom), (left, right) = (
        windows.same_padding(extent, size, stride, factor)
        for extent, size, stride, factor in zip(image[:2], kernel, strides, dilation, strict=True)
    )
    return (top, left, bottom, right)
