"""Hypothesis strategies that draw random calls of every registered operator: geometry, quantisation and data.

`STRATEGIES` has one entry per operator; the generic tests of bounds maps and of TensorIR run over all of them,
so a new operator joins by adding its line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.dialect.geometry import filled, shapes
from tvm_tinyml.dialect.relax_api import Array, Attrs
from tvm_tinyml.dialect.windows import same_padding


@dataclass(frozen=True)
class Call:
    """One call of a dialect operator: its name, inputs in order, and attributes."""

    name: str
    arrays: tuple[Array, ...]
    attrs: Attrs


Strategy = Callable[[st.DrawFn, str], Call]
SEEDS = st.integers(0, 2**16)
ZERO_POINTS = st.integers(-128, 127)
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
ROUNDINGS = st.sampled_from(["double", "single", "away"])


def _clamps(draw: st.DrawFn) -> dict[str, int]:
    low, high = sorted((draw(ZERO_POINTS), draw(ZERO_POINTS)))
    return (
        {"clamp_min": low, "clamp_max": high}
        if draw(st.booleans())
        else {"clamp_min": -128, "clamp_max": 127}
    )


def _scaling(draw: st.DrawFn, low: int, high: int, prefix: str = "") -> dict[str, int]:
    multiplier = draw(st.integers(2**30, 2**31 - 1))
    return {f"{prefix}multiplier": multiplier, f"{prefix}shift": draw(st.integers(low, high))}


def _per_channel(draw: st.DrawFn, channels: int, terms: int) -> tuple[Array, Array, Array]:
    """Bias, multiplier and shift that bring sums of `terms` products into the range of int8 or a little beyond."""
    generator = np.random.default_rng(draw(SEEDS))
    shift = -4 - int(terms).bit_length() // 2
    return (
        generator.integers(-5000, 5000, channels, dtype=np.int32),
        generator.integers(2**30, 2**31, channels, dtype=np.int32),
        generator.integers(shift - 4, shift + 2, channels, dtype=np.int32),
    )


def _requantized(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "input_zero_point": draw(ZERO_POINTS),
        "zero_point": draw(ZERO_POINTS),
        "rounding": draw(ROUNDINGS),
        **_clamps(draw),
    }


def _padding(
    draw: st.DrawFn,
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int, int, int] | None:
    """SAME padding, none, or an arbitrary one smaller than the window; None when the window fits nowhere."""
    kind = draw(st.sampled_from(["same", "valid", "any"]))
    pairs = []
    for extent, k, stride, d in zip(size, kernel, strides, dilation, strict=True):
        span = (k - 1) * d + 1
        before, after = {
            "same": same_padding(extent, k, stride, d),
            "valid": (0, 0),
            "any": (draw(st.integers(0, span - 1)), draw(st.integers(0, span - 1))),
        }[kind]
        if extent + before + after < span:
            before, after = span - 1, span - 1
        pairs.append((before, after))
    (top, bottom), (left, right) = pairs
    return top, left, bottom, right


def _convolution(draw: st.DrawFn, name: str) -> Call:
    size = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    kernel, strides, dilation = draw(PAIRS), draw(PAIRS), draw(PAIRS)
    depth, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    attrs = {"strides": strides, "dilation": dilation, **_requantized(draw)}
    attrs["padding"] = _padding(draw, size, kernel, strides, dilation)
    if name == "depthwise_conv2d":
        attrs["depth_multiplier"] = outputs
        weight, channels, terms = (1, *kernel, depth * outputs), depth * outputs, kernel[0] * kernel[1]
    else:
        weight, channels, terms = (outputs, *kernel, depth), outputs, kernel[0] * kernel[1] * depth
    data = filled((1, *size, depth), "int8", draw(SEEDS))
    operands = (data, filled(weight, "int8", draw(SEEDS)), *_per_channel(draw, channels, terms))
    return Call(name, operands, attrs)


def _transposed(draw: st.DrawFn, name: str) -> Call:
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    kernel, strides = draw(st.tuples(st.integers(1, 5), st.integers(1, 5))), draw(PAIRS)
    depth, channels = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    extents, befores, afters = [], [], []
    for extent, k, stride in zip(size, kernel, strides, strict=True):
        before, after = draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))
        whole = (extent - 1) * stride + k + draw(st.integers(0, stride - 1))
        after = min(after, max(0, whole - before - 1))
        extents.append(whole - before - after)
        befores.append(before)
        afters.append(after)
    attrs = {
        "strides": strides,
        "padding": (*befores, *afters),
        "output_shape": (1, *extents, channels),
        **_requantized(draw),
    }
    data = filled((1, *size, depth), "int8", draw(SEEDS))
    weight = filled((channels, *kernel, depth), "int8", draw(SEEDS))
    return Call(name, (data, weight, *_per_channel(draw, channels, kernel[0] * kernel[1] * depth)), attrs)


def _dense(draw: st.DrawFn, name: str) -> Call:
    leading, inner = draw(shapes(3, 3)), draw(shapes(2, 6))
    depth, channels = int(np.prod(inner)), draw(st.integers(1, 9))
    rows = draw(st.sampled_from([leading, (int(np.prod(leading)),)]))
    data = filled((*leading, *inner), "int8", draw(SEEDS))
    weight = filled((channels, depth), "int8", draw(SEEDS))
    attrs = {"shape": (*rows, channels), **_requantized(draw)}
    return Call(name, (data, weight, *_per_channel(draw, channels, depth)), attrs)


def _pool(draw: st.DrawFn, name: str) -> Call:
    size = draw(st.tuples(st.integers(2, 8), st.integers(2, 8)))
    pool, strides = draw(st.tuples(st.integers(1, 4), st.integers(1, 4))), draw(PAIRS)
    pairs = [same_padding(*axis, 1) for axis in zip(size, pool, strides, strict=True)]
    if draw(st.booleans()) and all(k <= extent for k, extent in zip(pool, size, strict=True)):
        pairs = [(0, 0), (0, 0)]
    (top, bottom), (left, right) = pairs
    attrs = {"pool": pool, "strides": strides, "padding": (top, left, bottom, right), **_clamps(draw)}
    data = filled((1, *size, draw(st.integers(1, 5))), "int8", draw(SEEDS))
    return Call(name, (data,), attrs)


def _binary(draw: st.DrawFn, name: str) -> Call:
    shape = draw(st.one_of(st.just(()), shapes()))
    operands = []
    for _ in range(2):
        own = tuple(draw(st.sampled_from([1, extent])) for extent in shape)[
            draw(st.integers(0, len(shape))) :
        ]
        operands.append(np.asarray(filled(own, "int8", draw(SEEDS))))
    attrs: dict[str, Any] = {"zero_point": draw(ZERO_POINTS), **_clamps(draw)}
    attrs |= {"a_zero_point": draw(ZERO_POINTS), "b_zero_point": draw(ZERO_POINTS)}
    if name == "mul":
        attrs |= {"rounding": draw(ROUNDINGS), **_scaling(draw, -9, -3)}
    else:
        attrs |= {"left_shift": 20, **_scaling(draw, -20, -16)}
        attrs |= {**_scaling(draw, -4, 0, "a_"), **_scaling(draw, -4, 0, "b_")}
    return Call(name, tuple(operands), attrs)


def _mean(draw: st.DrawFn, name: str) -> Call:
    shape = draw(shapes())
    axes = draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, max_size=3))
    attrs = {
        "axes": tuple(axes),
        "keepdims": draw(st.booleans()),
        "input_zero_point": draw(ZERO_POINTS),
        "zero_point": draw(ZERO_POINTS),
        **_scaling(draw, -5, 1),
    }
    return Call(name, (filled(shape, "int8", draw(SEEDS)),), attrs)


def _pixels(draw: st.DrawFn, name: str) -> Call:
    shape = draw(st.tuples(*[st.integers(1, 5)] * 4))
    attrs = {"keepdims": draw(st.booleans()), **(_clamps(draw) if name == "max_pixels" else {})}
    return Call(name, (filled(shape, "int8", draw(SEEDS)),), attrs)


def _scale_sum(draw: st.DrawFn, name: str) -> Call:
    sums = np.random.default_rng(draw(SEEDS)).integers(-9000, 9000, draw(shapes()), dtype=np.int32)
    attrs = {"input_offset": draw(st.integers(-4000, 4000)), "output_offset": draw(ZERO_POINTS)}
    return Call(
        name, (sums,), {**attrs, "rounding": draw(ROUNDINGS), **_clamps(draw), **_scaling(draw, -9, -3)}
    )


def _softmax(draw: st.DrawFn, name: str) -> Call:
    shift = draw(st.integers(16, 30))
    attrs = {
        "multiplier": draw(st.integers(2**30, 2**31 - 1)),
        "shift": shift,
        "diff_min": -((31 << 26) >> shift),
    }
    return Call(name, (filled(draw(shapes(4, 12)), "int8", draw(SEEDS)),), attrs)


def _lookup(draw: st.DrawFn, name: str) -> Call:
    arrays = (filled(draw(shapes()), "int8", draw(SEEDS)), filled((256,), "int8", draw(SEEDS)))
    return Call(name, arrays, {"function": "random"})


def _requantize(draw: st.DrawFn, name: str) -> Call:
    source, target = (draw(st.sampled_from(["int8", "uint8", "int16"])) for _ in range(2))
    limits = np.iinfo(target)
    attrs = {
        "dtype": target,
        **_requantized(draw),
        **_scaling(draw, -8, 3),
        "clamp_min": int(limits.min),
        "clamp_max": int(limits.max),
    }
    return Call(name, (filled(draw(shapes()), source, draw(SEEDS)),), attrs)


def _quantize(draw: st.DrawFn, name: str) -> Call:
    data = filled(draw(shapes()), "float32", draw(SEEDS))
    data.flat[0] = draw(st.floats(width=32))
    scale = float(np.float32(draw(st.sampled_from([0.25, 0.0173, 1e-4, 3.7]))))
    dtype = draw(st.sampled_from(["int8", "uint8", "int16"]))
    return Call(name, (data,), {"scale": scale, "zero_point": draw(ZERO_POINTS), "dtype": dtype})


def _dequantize(draw: st.DrawFn, name: str) -> Call:
    data = filled(draw(shapes()), draw(st.sampled_from(["int8", "uint8", "int16"])), draw(SEEDS))
    scale = float(np.float32(draw(st.sampled_from([0.25, 0.0173, 1e-4, 3.7]))))
    return Call(name, (data,), {"input_scale": scale, "input_zero_point": draw(ZERO_POINTS)})


def _unary(draw: st.DrawFn, name: str, attributes: Callable[[st.DrawFn, tuple[int, ...]], Attrs]) -> Call:
    data = filled(draw(shapes()), "int8", draw(SEEDS))
    return Call(name, (data,), attributes(draw, data.shape))


def _pad(draw: st.DrawFn, shape: tuple[int, ...]) -> Attrs:
    widths = draw(st.lists(st.integers(0, 3), min_size=2 * len(shape), max_size=2 * len(shape)))
    return {"pad_width": tuple(widths), "pad_value": draw(ZERO_POINTS)}


def _slice(draw: st.DrawFn, shape: tuple[int, ...]) -> Attrs:
    begin = [draw(st.integers(0, extent - 1)) for extent in shape]
    strides = [draw(st.sampled_from([-2, -1, 1, 2])) for _ in shape]
    room = [
        (extent - 1 - first) // step if step > 0 else first // -step
        for extent, first, step in zip(shape, begin, strides, strict=True)
    ]
    return {
        "begin": tuple(begin),
        "strides": tuple(strides),
        "shape": tuple(draw(st.integers(1, steps + 1)) for steps in room),
    }


def _argmax(draw: st.DrawFn, shape: tuple[int, ...]) -> Attrs:
    return {"axis": draw(st.integers(0, len(shape) - 1)), "dtype": draw(st.sampled_from(["int32", "int64"]))}


def _concat(draw: st.DrawFn, name: str) -> Call:
    shape = draw(shapes(4, 4))
    axis = draw(st.integers(0, len(shape) - 1))
    extents = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    parts = [(*shape[:axis], extent, *shape[axis + 1 :]) for extent in extents]
    return Call(name, tuple(filled(part, "int8", draw(SEEDS)) for part in parts), {"axis": axis})


def _resize(draw: st.DrawFn, name: str) -> Call:
    size = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    data = filled((1, *size, draw(st.integers(1, 4))), "int8", draw(SEEDS))
    flags = draw(st.sampled_from([(False, False), (True, False), (False, True)]))
    target = tuple(n * draw(st.integers(1, 3)) for n in size)
    return Call(name, (data,), {"size": target, "align_corners": flags[0], "half_pixel_centers": flags[1]})


def _reshaped(draw: st.DrawFn, shape: tuple[int, ...]) -> Attrs:
    return {"shape": draw(st.sampled_from([(int(np.prod(shape)),), (1, *shape), (*shape, 1), shape[::-1]]))}


STRATEGIES: Mapping[str, Strategy] = {
    "add": _binary,
    "argmax": partial(_unary, attributes=_argmax),
    "avg_pool2d": _pool,
    "concat": _concat,
    "conv2d": _convolution,
    "copy": partial(_unary, attributes=lambda _draw, _shape: {}),
    "dense": _dense,
    "depthwise_conv2d": _convolution,
    "dequantize": _dequantize,
    "lookup": _lookup,
    "max_pixels": _pixels,
    "max_pool2d": _pool,
    "maximum": _binary,
    "mean": _mean,
    "minimum": _binary,
    "mul": _binary,
    "pad": partial(_unary, attributes=_pad),
    "quantize": _quantize,
    "requantize": _requantize,
    "reshape": partial(_unary, attributes=_reshaped),
    "resize_bilinear": _resize,
    "resize_nearest": _resize,
    "scale_sum": _scale_sum,
    "slice": partial(_unary, attributes=_slice),
    "softmax": _softmax,
    "sub": _binary,
    "sum_pixels": _pixels,
    "transpose": partial(
        _unary, attributes=lambda draw, shape: {"axes": tuple(draw(st.permutations(range(len(shape)))))}
    ),
    "transpose_conv2d": _transposed,
}


@st.composite
def calls(draw: st.DrawFn, name: str) -> Call:
    """Random calls of operator `name`."""
    return STRATEGIES[name](draw, name)
