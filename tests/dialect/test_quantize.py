"""`quantize`, `dequantize`, `requantize`: rounding, saturation and refused types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import TensorSpec


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("int8", -128, 127), ("uint8", 0, 255), ("int16", -32768, 32767)]
)
def test_quantising_rounds_half_away_and_saturates(dtype: str, low: int, high: int) -> None:
    values = np.array([0.25, -0.25, 0.75, 0.2499, np.inf, -np.inf, np.nan, 3e38, -3e38], np.float32)
    attrs = {"scale": 0.5, "zero_point": 7, "dtype": dtype}
    output = operator("quantize").reference([values], attrs)
    assert output.dtype == dtype
    assert output.tolist() == [8, 6, 9, 7, high, low, 7, high, low]


def test_every_int8_survives_the_way_to_float_and_back() -> None:
    values = np.arange(-128, 128, dtype=np.int8)
    scale = float(np.float32(0.0173))
    real = operator("dequantize").reference([values], {"input_scale": scale, "input_zero_point": -5})
    assert real.dtype == np.float32
    back = operator("quantize").reference([real], {"scale": scale, "zero_point": -5, "dtype": "int8"})
    np.testing.assert_array_equal(back, values)


def test_equal_scales_only_move_the_zero_point() -> None:
    values = np.arange(-128, 128, dtype=np.int8)
    attrs = {
        "input_zero_point": -128,
        "zero_point": 0,
        "multiplier": 2**30,
        "shift": 1,
        "clamp_min": 0,
        "clamp_max": 255,
        "rounding": "double",
        "dtype": "uint8",
    }
    np.testing.assert_array_equal(operator("requantize").reference([values], attrs), np.arange(256))


@pytest.mark.parametrize(
    ("name", "dtype", "attrs", "message"),
    [
        ("quantize", "int8", {"dtype": "int8"}, "input is int8, expected one of float32"),
        ("quantize", "float32", {"dtype": "int32"}, "output is int32"),
        ("dequantize", "float32", {}, "input is float32"),
        ("requantize", "float32", {"dtype": "int8"}, "input is float32"),
        ("requantize", "int8", {"dtype": "int4"}, "output is int4"),
    ],
)
def test_other_types_are_refused(name: str, dtype: str, attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operator(name).infer([TensorSpec((3,), dtype)], attrs)
