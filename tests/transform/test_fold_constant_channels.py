"""FoldConstantChannels: which channels disappear, and that no output changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.layers import LayerCase
from tests.transform.building import assert_same_meaning, calls_of
from tvm_tinyml.dialect import call as make_call
from tvm_tinyml.dialect.relax_api import Array, TensorSpec, constant, constant_value, tensor_type
from tvm_tinyml.transform import FoldConstantChannels

ZERO_POINT = -128


def parameters(generator: np.random.Generator, channels: int) -> list[Array]:
    return [
        generator.integers(-500, 500, channels).astype(np.int32),
        generator.integers(2**30, 2**31, channels).astype(np.int32),
        generator.integers(-9, -6, channels).astype(np.int32),
    ]


def chain(seed: int, *, dead: list[int], depthwise_padding: tuple[int, ...], dead_bias: int = -30_000) -> Any:
    """conv 1x1 -> depthwise 3x3 -> conv 1x1; the filters of channels `dead` of the first one are zero."""
    from tvm import relax

    generator = np.random.default_rng(seed)
    first = generator.integers(-127, 128, (8, 1, 1, 3)).astype(np.int8)
    # One positive weight each, so that no live channel is closed by its clamp.
    first[..., 0] = 100
    first[dead] = 0
    operands = parameters(generator, 8)
    operands[0][dead] = dead_bias
    common = {
        "strides": (1, 1),
        "dilation": (1, 1),
        "clamp_min": -128,
        "clamp_max": 127,
        "rounding": "double",
        "input_zero_point": ZERO_POINT,
        "zero_point": ZERO_POINT,
    }
    middle = generator.integers(-127, 128, (1, 3, 3, 8)).astype(np.int8)
    middle[:, 1, 1] = 127
    last = generator.integers(-127, 128, (5, 1, 1, 8)).astype(np.int8)
    none = {"padding": (0, 0, 0, 0)}
    layers = [
        LayerCase("conv2d", (first, *operands), common | none),
        LayerCase(
            "depthwise_conv2d",
            (middle, *parameters(generator, 8)),
            common | {"depth_multiplier": 1, "padding": depthwise_padding},
        ),
        LayerCase("conv2d", (last, *parameters(generator, 5)), common | none),
    ]
    builder = relax.BlockBuilder()
    data = relax.Var("data", tensor_type(TensorSpec((1, 6, 5, 3), "int8")))
    with builder.function("main", [data]):
        with builder.dataflow():
            value = data
            for index, layer in enumerate(layers):
                attrs = dict(layer.attrs) | {"name": f"layer_{index}", "tensor": f"t{index}", "scale": 0.5}
                value = builder.emit(make_call(layer.name, [value, *map(constant, layer.arrays)], attrs))
            value = builder.emit_output(value)
        builder.emit_func_output(value)
    return builder.get()


def channels_of(module: Any) -> list[int]:
    """Output channels of the three convolutions: the length of their biases."""
    biases = [constant_value(inputs[2]) for _, _, inputs in calls_of(module)]
    return [bias.size for bias in biases if bias is not None]


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 1, 1)])
def test_zero_filters_that_hold_the_zero_point_go_with_all_that_reads_them(padding: tuple[int, ...]) -> None:
    before = chain(0, dead=[1, 4, 7], depthwise_padding=padding)
    after = FoldConstantChannels()(before)
    assert channels_of(after) == [5, 5, 5]
    assert_same_meaning(before, after)


def test_a_constant_other_than_the_zero_point_goes_where_nothing_is_padded() -> None:
    before = chain(1, dead=[0, 2], depthwise_padding=(0, 0, 0, 0), dead_bias=20_000)
    after = FoldConstantChannels()(before)
    assert channels_of(after) == [6, 6, 5]
    assert_same_meaning(before, after)


def test_a_constant_other_than_the_zero_point_stays_at_a_padded_border() -> None:
    before = chain(1, dead=[0, 2], depthwise_padding=(1, 1, 1, 1), dead_bias=20_000)
    after = FoldConstantChannels()(before)
    assert channels_of(after) == [8, 8, 5]
    assert_same_meaning(before, after)


@pytest.mark.parametrize("seed", range(20))
def test_any_mix_of_dead_channels_keeps_the_outputs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    dead = [int(c) for c in np.flatnonzero(generator.integers(0, 2, 8))]
    padding = tuple(int(p) for p in generator.integers(0, 2, 4))
    before = chain(
        seed, dead=dead, depthwise_padding=padding, dead_bias=int(generator.integers(-30_000, 2_000))
    )
    assert_same_meaning(before, FoldConstantChannels()(before), seed)
