"""Random small graphs, full of what the passes look for and of what only resembles it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st

from tests.transform.building import SCALE, ZERO_POINT, Expr, ModuleBuilder, identity_table
from tvm_tinyml.dialect.relax_api import spec_of

Step: TypeAlias = Callable[[st.DrawFn, ModuleBuilder, Expr], Expr]

SHAPES = ((1, 4, 3, 2), (1, 4, 2, 2), (1, 5, 1, 3), (1, 1, 4, 1))
MAX_ELEMENTS = 2000


@st.composite
def modules(draw: st.DrawFn) -> Any:
    """Modules of up to ten calls; outputs may repeat, be inputs, constants or views of each other."""
    builder = ModuleBuilder()
    values = [builder.parameter(*draw(st.sampled_from(SHAPES))) for _ in range(draw(st.integers(1, 2)))]
    if draw(st.integers(0, 3)) == 0:
        constant = np.random.default_rng(0).integers(-128, 127, draw(st.sampled_from(SHAPES)), dtype="int8")
        values.append(builder.lookup(constant, identity_table()))
    for _ in range(draw(st.integers(1, 7))):
        # Mostly chains: a value with two readers stops most rewrites.
        source = draw(st.sampled_from([*values, *values[-1:] * 6]))
        values.append(draw(st.sampled_from(_STEPS))(draw, builder, source))
    outputs = draw(st.lists(st.sampled_from([*values, *values[-1:] * 4]), max_size=2))
    return builder.module(*outputs, values[-1])


def _quantization(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly the standard one, so that neighbours have it in common."""
    other = draw(st.integers(0, 9)) == 0
    return {"scale": SCALE / 2} if other else {}


def _is_image(x: Expr) -> bool:
    return len(spec_of(x).shape) == 4 and spec_of(x).shape[0] == 1


def _small(x: Expr) -> bool:
    return spec_of(x).elements < MAX_ELEMENTS


def _reshape(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    shape = spec_of(x).shape
    count = math.prod(shape)
    target = draw(st.sampled_from([shape, (count,), (1, count, 1, 1), shape[::-1], (1, *shape[1:])]))
    return b.call("reshape", x, shape=target if math.prod(target) == count else shape, **_quantization(draw))


def _transpose(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    axes = draw(st.permutations(range(len(spec_of(x).shape))))
    return b.call("transpose", x, axes=tuple(axes), **_quantization(draw))


def _copy(_draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    return b.call("copy", x)


def _pad(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    if not _is_image(x) or not _small(x):
        return _copy(draw, b, x)
    width = [0, 0, *(draw(st.integers(0, 1)) for _ in range(4)), 0, draw(st.sampled_from([0, 0, 0, 1]))]
    value = draw(st.sampled_from([ZERO_POINT, ZERO_POINT, -128, 0]))
    return b.call("pad", x, pad_width=tuple(width), pad_value=value)


def _conv2d(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    if not _is_image(x):
        return _reshape(draw, b, x)
    kernel = draw(st.sampled_from([1, 2]))
    padding = tuple(draw(st.integers(kernel - 1, 1)) for _ in range(4))
    strides = draw(st.sampled_from([(1, 1), (2, 1)]))
    return b.conv2d(x, depthwise=draw(st.booleans()), kernel=kernel, padding=padding, strides=strides)


def _max_pool2d(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    if not _is_image(x):
        return _copy(draw, b, x)
    return b.max_pool2d(x, padding=(1, 0, 0, 0), pool=(2, 1))


def _padded(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    return draw(st.sampled_from([_conv2d, _conv2d, _max_pool2d]))(draw, b, _pad(draw, b, x))


def _clamped(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    producer = draw(st.sampled_from([_conv2d, _max_pool2d, _requantize]))
    return draw(st.sampled_from([_requantize, _lookup]))(draw, b, producer(draw, b, x))


def _requantize(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    ratio = draw(st.sampled_from([1.0, 1.0, 1.0, 0.7]))
    low, high = sorted(draw(st.tuples(st.sampled_from([-128, -20]), st.sampled_from([127, 30, -50]))))
    return b.requantize(x, ratio, clamp_min=low, clamp_max=high, **_quantization(draw))


def _lookup(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    entries = identity_table()
    table = draw(st.sampled_from([entries, np.clip(entries, ZERO_POINT, 50), ~entries, np.abs(entries // 2)]))
    return b.lookup(x, table, **_quantization(draw))


def _round_trip(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    zero_point = draw(st.sampled_from([ZERO_POINT, ZERO_POINT, 0]))
    real = b.call("dequantize", x, input_scale=SCALE, input_zero_point=zero_point, scale=0.0, zero_point=0)
    return b.call("quantize", real, dtype="int8")


def _alike(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    """Any value of the type of `x`, itself included."""
    values = [*b.parameters, *(variable for variable, _ in b.calls)]
    return draw(st.sampled_from([value for value in values if spec_of(value) == spec_of(x)]))


def _concat(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    others = draw(st.integers(0, 2)) if _small(x) else 0
    parts = [x, *(_alike(draw, b, x) for _ in range(others))]
    shape = spec_of(x).shape
    # The outermost axis with several elements needs no copy, the others do.
    outermost = next((axis for axis, extent in enumerate(shape) if extent > 1), 0)
    axis = draw(st.sampled_from([outermost, outermost, draw(st.integers(0, len(shape) - 1))]))
    return b.call("concat", *draw(st.permutations(parts)), axis=axis)


def _add(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    """A residual, or a value with itself."""
    return b.add(x, _alike(draw, b, x), **_quantization(draw))


def _joined(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    """What several calls made of one value, side by side or added."""
    one, other = _add(draw, b, x), _requantize(draw, b, x)
    axis = next((axis for axis, extent in enumerate(spec_of(x).shape) if extent > 1), 0)
    return b.call("concat", one, other, axis=axis) if _small(x) else b.add(one, other)


def _part(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    """A run of one axis: half of it when it is even."""
    shape = list(spec_of(x).shape)
    axis = draw(st.sampled_from([axis for axis, extent in enumerate(shape) if extent > 1] or [0]))
    begin = [0] * len(shape)
    if shape[axis] % 2 == 0:
        shape[axis] //= 2
        begin[axis] = draw(st.sampled_from([0, shape[axis]]))
    return b.call("slice", x, begin=begin, strides=[1] * len(shape), shape=shape)


def _slice(draw: st.DrawFn, b: ModuleBuilder, x: Expr) -> Expr:
    shape = spec_of(x).shape
    begin = [draw(st.sampled_from([0, extent - 1, 0])) for extent in shape]
    strides = [1 if start == 0 else -1 for start in begin]
    return b.call("slice", x, begin=begin, strides=strides, shape=shape)


_STEPS: tuple[Step, ...] = (
    _reshape,
    _transpose,
    _copy,
    _pad,
    _padded,
    _padded,
    _clamped,
    _clamped,
    _conv2d,
    _max_pool2d,
    _requantize,
    _lookup,
    _round_trip,
    _concat,
    _joined,
    _add,
    _part,
    _slice,
)
