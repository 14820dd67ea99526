"""`dense`: type inference, LiteRT's rounding, and what its bounds map says of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.oracle import run_reference
from tests.support.single_ops.case import Value, single_operator
from tests.support.tflite_writer import Options
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.bounds import Whole, Window
from tvm_tinyml.dialect.fixed_point import exact_multiplier
from tvm_tinyml.dialect.relax_api import Array, TensorSpec


def specs(data: tuple[int, ...], weight: tuple[int, ...]) -> list[TensorSpec]:
    """Types of all five inputs."""
    return [
        TensorSpec(data, "int8"),
        TensorSpec(weight, "int8"),
        *[TensorSpec((weight[0],), "int32")] * 3,
    ]


def attributes(shape: tuple[int, ...], zero_point: int = 0) -> dict[str, Any]:
    return {
        "shape": shape,
        "input_zero_point": zero_point,
        "zero_point": 0,
        "clamp_min": -128,
        "clamp_max": 127,
        "rounding": "away",
    }


@pytest.mark.parametrize("scale", [2.0, 3.0, 6.0, 16.0])
def test_ties_round_away_from_zero_as_in_litert(scale: float) -> None:
    """With unit weights and these output scales, every other accumulator lies on or next to a tie."""
    weight = np.array([[1], [-1], [3]], np.int8)
    case = single_operator(
        "fully_connected-ties",
        "FULLY_CONNECTED",
        [Value((256, 1), scale=1.0), Value((3, 1), scale=1.0, data=weight), None],
        [Value((256, 3), scale=scale)],
        Options("FullyConnectedOptions"),
    )
    data = np.arange(-128, 128, dtype=np.int8).reshape(256, 1)
    (expected,) = run_reference(case.model_bytes, [data]).outputs
    scaling = exact_multiplier(1 / scale, 3 * 128)
    assert scaling is not None
    per_channel: list[Array] = [np.full(3, value, np.int32) for value in (0, *scaling)]
    output = operator("dense").reference([data, weight, *per_channel], attributes((256, 3)))
    np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize(
    ("data", "weight", "shape", "message"),
    [
        ((2, 6), (3, 4), (3, 3), None),
        ((2, 6), (3, 5), (2, 3), "rows of 5"),
        ((2, 6), (3, 6), (2, 4), "do not have the shape"),
        ((2, 6), (3, 6), (3, 3), "do not have the shape"),
        ((2, 6), (3, 6, 1), (2, 3), "2-D weight"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    data: tuple[int, ...], weight: tuple[int, ...], shape: tuple[int, ...], message: str | None
) -> None:
    infer = operator("dense").infer
    if message is None:
        assert infer(specs(data, weight), attributes(shape)) == TensorSpec(shape, "int8")
        return
    with pytest.raises(ValueError, match=message):
        infer(specs(data, weight), attributes(shape))


def test_a_bias_of_another_length_is_refused() -> None:
    inputs = specs((1, 4), (3, 4))
    inputs[2] = TensorSpec((4,), "int32")
    with pytest.raises(ValueError, match="bias has shape"):
        operator("dense").infer(inputs, attributes((1, 3)))


def test_rows_are_followed_through_the_bounds_map() -> None:
    kept, *_ = operator("dense").bounds(specs((2, 5, 4), (3, 4)), attributes((2, 5, 3)))
    assert kept.axes == (Window(0), Window(1), Whole())
    flattened, *_ = operator("dense").bounds(specs((2, 5, 4), (3, 4)), attributes((10, 3)))
    assert flattened.axes == (Whole(),) * 3


def test_multiply_accumulates_are_counted() -> None:
    assert operator("dense").macs(specs((2, 6), (3, 4)), attributes((3, 3))) == 3 * 3 * 4
