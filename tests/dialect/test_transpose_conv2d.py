"""`transpose_conv2d` against convolutions: it is the adjoint of conv2d, and conv2d itself at stride one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialect.geometry import filled
from tests.dialect.operator_calls import Call, calls
from tests.dialect.te_execution import specs_of
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.dialect.windows import pad_array, taps


def plain_attributes(attrs: dict[str, Any]) -> dict[str, Any]:
    """Quantisation that passes small accumulators through."""
    return attrs | {
        "input_zero_point": 0,
        "zero_point": 0,
        "clamp_min": -128,
        "clamp_max": 127,
        "rounding": "double",
    }


def unit_scaling(channels: int) -> list[Array]:
    """Bias 0 and a factor of one."""
    return [np.full(channels, value, np.int32) for value in (0, 2**30, 1)]


@settings(max_examples=60, deadline=None)
@given(calls("transpose_conv2d"))
def test_it_is_the_adjoint_of_convolution(call: Call) -> None:
    """<transpose_conv(x), y> = <x, conv(y)> for all x and y; small values keep the accumulators exact."""
    data, weight = (np.sign(array).astype(np.int8) for array in call.arrays[:2])
    attrs = plain_attributes({key: call.attrs[key] for key in ("strides", "padding", "output_shape")})
    channels = weight.shape[0]
    forward = operator("transpose_conv2d").reference([data, weight, *unit_scaling(channels)], attrs)
    other = filled(forward.shape, "int8", 3).astype(np.int64)
    windows = taps(pad_array(other, attrs["padding"], 0), weight.shape[1:3], attrs["strides"], (1, 1))
    convolved = np.einsum("nhwklo,oklc->nhwc", windows, weight)
    assert (forward * other).sum() == (data * convolved).sum()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**16))
def test_at_stride_one_it_is_a_convolution_with_the_flipped_kernel(
    kernel_h: int, kernel_w: int, seed: int
) -> None:
    data = filled((1, 5, 6, 3), "int8", seed)
    weight = filled((2, kernel_h, kernel_w, 3), "int8", seed + 1)
    per_channel = [np.zeros(2, np.int32), np.full(2, 2**30, np.int32), np.full(2, -6, np.int32)]
    common = plain_attributes({"strides": (1, 1), "dilation": (1, 1)})
    full = (kernel_h - 1, kernel_w - 1) * 2
    expected = operator("conv2d").reference(
        [data, weight[:, ::-1, ::-1], *per_channel], common | {"padding": full}
    )
    attrs = common | {"padding": (0, 0, 0, 0), "output_shape": expected.shape}
    output = operator("transpose_conv2d").reference([data, weight, *per_channel], attrs)
    np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize(
    ("output_shape", "message"),
    [
        ((1, 9, 6, 4), "belongs to an input extent of 4"),
        ((1, 6, 6, 5), "does not fit 1 images of 4 channels"),
        ((6, 6, 4), "does not fit"),
    ],
)
def test_an_output_that_does_not_lead_back_to_the_input_is_refused(
    output_shape: tuple[int, ...], message: str
) -> None:
    arrays = [filled((1, 3, 3, 2), "int8"), filled((4, 2, 2, 2), "int8"), *unit_scaling(4)]
    attrs = plain_attributes({"strides": (2, 2), "padding": (0, 0, 0, 0), "output_shape": output_shape})
    with pytest.raises(ValueError, match=message):
        operator("transpose_conv2d").infer(specs_of(arrays), attrs)


def test_multiply_accumulates_are_those_of_the_adjoint() -> None:
    arrays = [filled((1, 3, 3, 2), "int8"), filled((4, 2, 2, 2), "int8"), *unit_scaling(4)]
    assert operator("transpose_conv2d").macs(specs_of(arrays), {}) == 3 * 3 * 2 * 2 * 2 * 4
