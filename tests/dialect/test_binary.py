"""`add`, `sub`, `mul`, `maximum`, `minimum`: broadcasting and refused operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.bounds import Whole, Window
from tvm_tinyml.dialect.fixed_point import quantize_multiplier
from tvm_tinyml.dialect.relax_api import TensorSpec

ARITHMETIC = ("add", "sub", "mul")
SELECTION = ("maximum", "minimum")


def sum_attributes() -> dict[str, Any]:
    """Equal unit scales and zero points of 0."""
    half, back = quantize_multiplier(0.5), quantize_multiplier(2.0 / 2**20)
    return {
        **{f"{name}_zero_point": 0 for name in "ab"},
        **{f"{name}_multiplier": half[0] for name in "ab"},
        **{f"{name}_shift": half[1] for name in "ab"},
        "left_shift": 20,
        "multiplier": back[0],
        "shift": back[1],
        "zero_point": 0,
        "clamp_min": -128,
        "clamp_max": 127,
    }


@pytest.mark.parametrize(("name", "expected"), [("add", (127, -128, 3)), ("sub", (-1, -56, -1))])
def test_sums_of_equal_scales_are_plain_and_saturate(name: str, expected: tuple[int, ...]) -> None:
    a, b = np.array([100, -100, 1], np.int8), np.array([101, -44, 2], np.int8)
    assert operator(name).reference([a, b], sum_attributes()).tolist() == list(expected)


@pytest.mark.parametrize("name", [*ARITHMETIC, *SELECTION])
def test_operands_broadcast_as_in_numpy(name: str) -> None:
    inputs = [TensorSpec((4, 1, 3), "int8"), TensorSpec((2, 1, 5, 1), "int8")]
    assert operator(name).infer(inputs, {}) == TensorSpec((2, 4, 5, 3), "int8")
    a, b = operator(name).bounds(inputs, {})
    assert a.axes == (Window(1), Whole(), Window(3))
    assert b.axes == (Window(0), Whole(), Window(2), Whole())


@pytest.mark.parametrize("name", [*ARITHMETIC, *SELECTION])
def test_shapes_that_do_not_broadcast_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="do not broadcast"):
        operator(name).infer([TensorSpec((2, 3), "int8"), TensorSpec((2, 4), "int8")], {})


@pytest.mark.parametrize("name", ARITHMETIC)
def test_only_int8_is_added_and_multiplied(name: str) -> None:
    with pytest.raises(ValueError, match="operand b is int16"):
        operator(name).infer([TensorSpec((2,), "int8"), TensorSpec((2,), "int16")], {})


@pytest.mark.parametrize("name", SELECTION)
def test_operands_of_different_types_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="different types"):
        operator(name).infer([TensorSpec((2,), "int8"), TensorSpec((2,), "int16")], {})
