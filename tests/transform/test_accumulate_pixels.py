"""AccumulatePixels: which reductions over an image can take in its rows one by one, and what stays."""

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
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.fixed_point import MAX_DIVISOR, division_multiplier, requantize
from tvm_tinyml.dialect.reduce import mean_scaling
from tvm_tinyml.transform import AccumulatePixels


def averaged(builder: ModuleBuilder, image: Any, **attrs: Any) -> Any:
    """The mean of every channel."""
    multiplier, shift = mean_scaling(0.25, 0.125, 15)
    common = {"axes": (1, 2), "keepdims": True, "input_zero_point": ZERO_POINT}
    return builder.call("mean", image, multiplier=multiplier, shift=shift, **(common | attrs))


def pooled(builder: ModuleBuilder, name: str, image: Any, **attrs: Any) -> Any:
    """One window over the whole of an image of 3 by 5 pixels."""
    geometry = {"pool": (3, 5), "strides": (1, 1), "padding": (0, 0, 0, 0), **CLAMP}
    return builder.call(name, image, **(geometry | attrs))


@pytest.mark.parametrize("axes", [(1, 2), (-2, 1)])
@pytest.mark.parametrize("keepdims", [True, False])
def test_a_mean_is_a_sum_and_one_requantisation(axes: tuple[int, int], keepdims: bool) -> None:
    builder = ModuleBuilder()
    module = builder.module(
        averaged(builder, builder.parameter(2, 3, 5, 4), axes=axes, keepdims=keepdims, zero_point=7)
    )
    split = AccumulatePixels()(module)
    assert operators_of(split) == ["sum_pixels", "scale_sum"]
    assert tensors_of(split)[-1] == tensors_of(module)[-1]
    assert_same_meaning(module, split)
    assert_unchanged(split, AccumulatePixels())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("avg_pool2d", ["sum_pixels", "scale_sum"]), ("max_pool2d", ["max_pixels"])],
)
def test_a_pooling_of_the_whole_image_keeps_its_limits(name: str, expected: list[str]) -> None:
    builder = ModuleBuilder()
    image = builder.parameter(1, 3, 5, 40)
    module = builder.module(pooled(builder, name, image, clamp_min=-4, clamp_max=5))
    split = AccumulatePixels()(module)
    assert operators_of(split) == expected
    assert_same_meaning(module, split)


def test_other_axes_windows_and_padding_stay() -> None:
    builder = ModuleBuilder()
    image = builder.parameter(1, 3, 5, 4)
    outputs = [averaged(builder, image, axes=axes) for axes in ((1,), (1, 2, 3), (2, 3))]
    outputs.append(pooled(builder, "avg_pool2d", image, pool=(3, 4)))
    outputs.append(pooled(builder, "max_pool2d", image, pool=(3, 5), padding=(1, 0, 1, 0)))
    outputs.append(averaged(builder, builder.parameter(1, 1, 1, 4)))
    assert_unchanged(builder.module(*outputs), AccumulatePixels())


def test_a_product_divides_sums_of_bytes_as_an_average_does() -> None:
    for divisor in (*range(1, 300), 1024, 3137, 50176, MAX_DIVISOR - 1, MAX_DIVISOR):
        # Those around every step of the result.
        steps = np.arange(-128, 128, dtype=np.int64) * divisor
        sums = (steps[:, None] + divisor // 2 + np.arange(-2, 3)).ravel()
        expected = np.sign(sums) * ((np.abs(sums) + divisor // 2) // divisor)
        found = requantize(sums, *division_multiplier(divisor), "away")
        np.testing.assert_array_equal(found, expected, err_msg=str(divisor))


def test_divisors_without_a_proof_are_refused() -> None:
    for divisor in (0, MAX_DIVISOR + 1):
        with pytest.raises(ValueError, match="proven"):
            division_multiplier(divisor)


def test_images_and_sums_of_other_ranks_and_types_are_refused() -> None:
    builder = ModuleBuilder()
    with pytest.raises(ValueError, match="4-D"):
        builder.call("sum_pixels", builder.parameter(3, 5, 4), keepdims=True)
    assert operator("scale_sum").accumulates({}) is None
    with pytest.raises(ValueError, match="expected int32"):
        builder.call("scale_sum", builder.parameter(1, 4))
