"""SplitChannels: which maps are made in groups, into how many, and what stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.transform.building import (
    CLAMP,
    ZERO_POINT,
    ModuleBuilder,
    assert_same_meaning,
    assert_unchanged,
    operators_of,
    tensors_of,
)
from tvm_tinyml.dialect.fixed_point import quantize_multiplier
from tvm_tinyml.transform import SplitChannels


def widened(builder: ModuleBuilder, depth: int, channels: int, size: int = 5) -> Any:
    """A pointwise convolution of a map of `depth` channels to `channels`."""
    generator = np.random.default_rng(channels)
    multiplier, shift = quantize_multiplier(0.02)
    return builder.call(
        "conv2d",
        builder.parameter(1, size, size, depth),
        generator.integers(-30, 30, (channels, 1, 1, depth)).astype("int8"),
        generator.integers(-300, 300, channels).astype("int32"),
        np.full(channels, multiplier, "int32"),
        np.full(channels, shift, "int32"),
        strides=(1, 1),
        dilation=(1, 1),
        padding=(0, 0, 0, 0),
        input_zero_point=ZERO_POINT,
        rounding="double",
        **CLAMP,
    )


def averaged(builder: ModuleBuilder, wide: Any, **attrs: Any) -> Any:
    """The mean of every channel."""
    multiplier, shift = quantize_multiplier(1 / 25)
    common = {"axes": (1, 2), "keepdims": True, "input_zero_point": ZERO_POINT}
    return builder.call("mean", wide, multiplier=multiplier, shift=shift, **(common | attrs))


@pytest.mark.parametrize("keepdims", [True, False])
def test_a_widened_map_is_averaged_in_groups_no_larger_than_its_input(keepdims: bool) -> None:
    builder = ModuleBuilder()
    mean = averaged(builder, widened(builder, 32, 96), keepdims=keepdims)
    module = builder.module(mean)
    split = SplitChannels()(module)
    assert operators_of(split) == ["conv2d", "mean"] * 3 + ["concat"]
    assert tensors_of(split)[-1] == tensors_of(module)[-1]
    assert len(set(tensors_of(split))) == 7
    assert_same_meaning(module, split)
    assert_unchanged(split, SplitChannels())


def test_a_pooled_map_is_split_too() -> None:
    builder = ModuleBuilder()
    wide = widened(builder, 16, 64)
    module = builder.module(
        builder.call("avg_pool2d", wide, pool=(5, 5), strides=(5, 5), padding=(0, 0, 0, 0), **CLAMP)
    )
    split = SplitChannels()(module)
    assert operators_of(split) == ["conv2d", "avg_pool2d"] * 4 + ["concat"]
    assert_same_meaning(module, split)


def test_maps_stay_that_are_small_read_elsewhere_or_mixed() -> None:
    builder = ModuleBuilder()
    assert_unchanged(builder.module(averaged(builder, widened(builder, 96, 96))), SplitChannels())
    builder = ModuleBuilder()
    wide = widened(builder, 16, 64)
    assert_unchanged(builder.module(averaged(builder, wide), wide), SplitChannels())
    builder = ModuleBuilder()
    mixed = averaged(builder, widened(builder, 16, 64), axes=(1, 2, 3))
    assert_unchanged(builder.module(mixed), SplitChannels())
