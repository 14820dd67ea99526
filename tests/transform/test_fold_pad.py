"""FoldPad: which pads disappear into their readers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.transform.building import (
    ZERO_POINT,
    ModuleBuilder,
    assert_becomes,
    assert_same_meaning,
    assert_unchanged,
    calls_of,
    identity_table,
)
from tvm_tinyml.transform import FoldPad


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("own", [(0, 0, 0, 0), (1, 0, 2, 1)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_a_pad_becomes_padding_of_its_convolution(
    depthwise: bool, own: tuple[int, ...], strides: tuple[int, int]
) -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    data = before.parameter(1, 6, 5, 3)
    padded = before.pad(data, 1, 2, 0, 3)
    source = before.module(before.conv2d(padded, depthwise=depthwise, padding=own, strides=strides))
    data = after.parameter(1, 6, 5, 3)
    top, left, bottom, right = own
    name = "depthwise_conv2d_1" if depthwise else "conv2d_1"
    target = after.module(
        after.conv2d(
            data,
            depthwise=depthwise,
            padding=(top + 1, left, bottom + 2, right + 3),
            strides=strides,
            name=name,
            tensor="t1",
        )
    )
    assert_becomes(source, FoldPad(), target)


def test_a_pad_by_the_minimum_becomes_padding_of_its_maximum() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    padded = before.pad(before.parameter(1, 6, 5, 3), 1, 0, 0, 1, value=-128)
    source = before.module(before.max_pool2d(padded))
    data = after.parameter(1, 6, 5, 3)
    target = after.module(after.max_pool2d(data, padding=(1, 0, 0, 1), name="max_pool2d_1", tensor="t1"))
    assert_becomes(source, FoldPad(), target)


def test_a_pad_of_several_convolutions_folds_into_all() -> None:
    builder = ModuleBuilder()
    padded = builder.pad(builder.parameter(1, 6, 5, 3), 1, 1, 1, 1)
    module = builder.module(builder.conv2d(padded), builder.conv2d(padded, depthwise=True))
    folded = FoldPad()(module)
    assert [attrs["padding"] for _, attrs, _ in calls_of(folded)] == [(1, 1, 1, 1)] * 2
    assert_same_meaning(module, folded)


def test_a_pad_of_a_pad_folds_too() -> None:
    builder = ModuleBuilder()
    padded = builder.pad(builder.pad(builder.parameter(1, 6, 5, 3), 1, 0, 0, 2), 1, 1, 1, 1)
    module = builder.module(builder.conv2d(padded))
    folded = FoldPad()(module)
    assert [attrs["padding"] for _, attrs, _ in calls_of(folded)] == [(2, 1, 1, 3)]
    assert_same_meaning(module, folded)


def _pad_of_another_value(builder: ModuleBuilder, data: Any) -> list[Any]:
    return [builder.conv2d(builder.pad(data, 1, 1, 1, 1, value=ZERO_POINT + 1))]


def _pad_of_channels(builder: ModuleBuilder, data: Any) -> list[Any]:
    padded = builder.call("pad", data, pad_width=(0, 0, 1, 1, 1, 1, 0, 1), pad_value=ZERO_POINT)
    return [builder.conv2d(padded)]


def _pad_of_the_batch(builder: ModuleBuilder, data: Any) -> list[Any]:
    padded = builder.call("pad", data, pad_width=(1, 0, 1, 1, 1, 1, 0, 0), pad_value=ZERO_POINT)
    return [builder.conv2d(padded)]


def _pad_with_another_reader(builder: ModuleBuilder, data: Any) -> list[Any]:
    padded = builder.pad(data, 1, 1, 1, 1)
    return [builder.conv2d(padded), builder.lookup(padded, ~identity_table())]


def _pad_that_is_an_output(builder: ModuleBuilder, data: Any) -> list[Any]:
    padded = builder.pad(data, 1, 1, 1, 1)
    return [builder.conv2d(padded), padded]


def _readers_with_different_zero_points(builder: ModuleBuilder, data: Any) -> list[Any]:
    padded = builder.pad(data, 1, 1, 1, 1)
    return [builder.conv2d(padded), builder.conv2d(padded, input_zero_point=4)]


def _average(builder: ModuleBuilder, data: Any) -> list[Any]:
    """Its divisor counts the elements inside the image."""
    padded = builder.pad(data, 1, 1, 1, 1)
    pooled = builder.call(
        "avg_pool2d",
        padded,
        pool=(2, 2),
        strides=(1, 1),
        padding=(0, 0, 0, 0),
        clamp_min=-128,
        clamp_max=127,
    )
    return [pooled]


def _maximum_of_zero_points(builder: ModuleBuilder, data: Any) -> list[Any]:
    return [builder.max_pool2d(builder.pad(data, 1, 0, 0, 1))]


def _windows_of_nothing_but_padding(builder: ModuleBuilder, data: Any) -> list[Any]:
    return [builder.max_pool2d(builder.pad(data, 2, 0, 0, 0, value=-128))]


@pytest.mark.parametrize(
    "build",
    [
        _pad_of_another_value,
        _pad_of_channels,
        _pad_of_the_batch,
        _pad_with_another_reader,
        _pad_that_is_an_output,
        _readers_with_different_zero_points,
        _average,
        _maximum_of_zero_points,
        _windows_of_nothing_but_padding,
    ],
)
def test_what_only_looks_like_padding_stays(build: Any) -> None:
    builder = ModuleBuilder()
    assert_unchanged(builder.module(*build(builder, builder.parameter(1, 6, 5, 3))), FoldPad())


def test_a_pad_of_the_weights_stays() -> None:
    """The pad must be the image, not another operand."""
    builder = ModuleBuilder()
    weight = builder.pad(builder.parameter(4, 2, 2, 3), 1, 0, 1, 0)
    per_channel = [np.zeros(4, "int32"), np.full(4, 2**30, "int32"), np.full(4, -8, "int32")]
    convolved = builder.call(
        "conv2d",
        builder.parameter(1, 6, 5, 3),
        weight,
        *per_channel,
        strides=(1, 1),
        dilation=(1, 1),
        padding=(0, 0, 0, 0),
        input_zero_point=ZERO_POINT,
        rounding="double",
        clamp_min=-128,
        clamp_max=127,
    )
    assert_unchanged(builder.module(convolved), FoldPad())
