"""`mean` against LiteRT, and refused axes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.support.oracle import run_reference
from tests.support.single_ops.case import Value, int32_constant, single_operator
from tests.support.tflite_writer import Options
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.reduce import mean_scaling
from tvm_tinyml.dialect.relax_api import TensorSpec


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((1, 7, 5, 6), (1, 2)), ((3, 40), (-1,)), ((4, 3), (0, 1)), ((2, 3, 2, 3), (0, -1)), ((9,), (0,))],
)
@pytest.mark.parametrize(
    ("input_scale", "output_scale"), [(0.5, 0.5), (0.031, 0.0177), (3.0, 0.2), (0.001, 4.0)]
)
def test_a_mean_is_that_of_litert(
    shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool, input_scale: float, output_scale: float
) -> None:
    input_scale, output_scale = float(np.float32(input_scale)), float(np.float32(output_scale))
    count = math.prod(shape[axis] for axis in axes)
    multiplier, shift = mean_scaling(input_scale, output_scale, count)
    attrs = {
        "axes": axes,
        "keepdims": keepdims,
        "input_zero_point": -11,
        "zero_point": 5,
        "multiplier": multiplier,
        "shift": shift,
    }
    data = np.random.default_rng(count).integers(-128, 127, shape, dtype=np.int8, endpoint=True)
    output = operator("mean").reference([data], attrs)
    case = single_operator(
        "mean",
        "MEAN",
        [Value(shape, scale=input_scale, zero_point=-11), int32_constant(axes)],
        [Value(output.shape, scale=output_scale, zero_point=5)],
        Options("ReducerOptions", {"keep_dims": keepdims}),
    )
    np.testing.assert_array_equal(run_reference(case.model_bytes, [data]).outputs[0], output)


def test_a_count_of_one_keeps_the_ratio_of_the_scales() -> None:
    assert mean_scaling(0.75, 1.0, 1) == (3 * 2**29, 0)


def test_axes_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="do not exist"):
        operator("mean").infer([TensorSpec((2, 3), "int8")], {"axes": (2,), "keepdims": True})
