"""GroupChannels: convolutions whose channels are only summed, by groups that take less memory than the sums."""

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
    calls_of,
    operators_of,
    tensors_of,
)
from tvm_tinyml.dialect.reduce import mean_scaling
from tvm_tinyml.dialect.relax_api import spec_of
from tvm_tinyml.transform import AccumulatePixels, GroupChannels


def convolved(builder: ModuleBuilder, image: Any, channels: int, kernel: int = 1) -> Any:
    """A convolution with another weight, bias and multiplier for every channel."""
    generator = np.random.default_rng(channels)
    weight = generator.integers(-90, 90, (channels, kernel, kernel, spec_of(image).shape[-1]))
    return builder.call(
        "conv2d",
        image,
        weight.astype("int8"),
        generator.integers(-900, 900, channels).astype("int32"),
        generator.integers(2**30, 2**31 - 1, channels).astype("int32"),
        generator.integers(-9, -5, channels).astype("int32"),
        strides=(1, 1),
        dilation=(1, 1),
        padding=(0, 0, 0, 0),
        input_zero_point=ZERO_POINT,
        rounding="double",
        effective_scale=tuple(float(x) for x in generator.uniform(0.001, 0.01, channels)),
        **CLAMP,
    )


def averaged(builder: ModuleBuilder, image: Any, *, keepdims: bool = False) -> Any:
    """The mean of every channel."""
    _, height, width, _ = spec_of(image).shape
    multiplier, shift = mean_scaling(0.25, 0.25, height * width)
    common = {"axes": (1, 2), "keepdims": keepdims, "input_zero_point": ZERO_POINT}
    return builder.call("mean", image, multiplier=multiplier, shift=shift, **common)


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("kernel", [1, 2])
def test_groups_are_as_large_as_what_the_sums_would_take(keepdims: bool, kernel: int) -> None:
    builder = ModuleBuilder()
    wide = convolved(builder, builder.parameter(1, 4, 3, 8), 96, kernel)
    module = AccumulatePixels()(builder.module(averaged(builder, wide, keepdims=keepdims)))
    grouped = GroupChannels()(module)
    # Sums of 96 channels take 384 bytes, the input 96: 24 channels of 12 pixels or 48 of 6 fit into the rest.
    size = {1: 16, 2: 48}[kernel]
    assert operators_of(grouped) == ["conv2d", "sum_pixels", "scale_sum"] * (96 // size) + ["concat"]
    weights = [
        spec_of(args[1]).shape[0] for operator, _, args in calls_of(grouped) if operator.name == "conv2d"
    ]
    assert set(weights) == {size}
    assert tensors_of(grouped)[-1] == tensors_of(module)[-1]
    assert len({attrs["name"] for _, attrs, _ in calls_of(grouped)}) == len(calls_of(grouped))
    assert_same_meaning(module, grouped)
    assert_unchanged(grouped, GroupChannels())


def test_inputs_that_leave_no_room_below_the_sums_stay() -> None:
    builder = ModuleBuilder()
    wide = convolved(builder, builder.parameter(1, 4, 3, 24), 96)
    assert_unchanged(AccumulatePixels()(builder.module(averaged(builder, wide))), GroupChannels())


def test_images_and_sums_that_somebody_else_reads_stay() -> None:
    builder = ModuleBuilder()
    images = [builder.parameter(1, 4, 3, 8) for _ in range(2)]
    returned, summed = (convolved(builder, image, 96) for image in images)
    total = builder.call("sum_pixels", summed, keepdims=False)
    scaling = {"input_offset": 0, "output_offset": 0, "multiplier": 2**30, "shift": -3, "rounding": "double"}
    outputs = [
        averaged(builder, returned),
        returned,
        builder.call("scale_sum", total, **scaling, **CLAMP),
        total,
    ]
    assert_unchanged(AccumulatePixels()(builder.module(*outputs)), GroupChannels())


def test_inputs_that_somebody_else_reads_stay() -> None:
    builder = ModuleBuilder()
    image = builder.parameter(1, 4, 3, 8)
    means = [averaged(builder, convolved(builder, image, 96)), averaged(builder, image)]
    assert_unchanged(AccumulatePixels()(builder.module(*means)), GroupChannels())


def test_more_groups_than_are_worth_their_calls_stay() -> None:
    builder = ModuleBuilder()
    wide = convolved(builder, builder.parameter(1, 8, 8, 16), 17 * 16 * 2)
    assert_unchanged(AccumulatePixels()(builder.module(averaged(builder, wide))), GroupChannels())


def test_several_images_stay() -> None:
    builder = ModuleBuilder()
    wide = convolved(builder, builder.parameter(2, 4, 3, 2), 96)
    assert_unchanged(AccumulatePixels()(builder.module(averaged(builder, wide))), GroupChannels())
