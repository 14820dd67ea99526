"""ApplyRounding: the rounding a target asks for."""

from __future__ import annotations

from typing import Any

import pytest
import tvm

from tests.transform.building import ModuleBuilder, assert_unchanged, calls_of, identity_table
from tvm_tinyml.transform import ApplyRounding


def mixed_module() -> Any:
    builder = ModuleBuilder()
    data = builder.conv2d(builder.parameter(1, 5, 4, 3), rounding="single")
    data = builder.requantize(builder.lookup(data, ~identity_table()), 0.7)
    return builder.module(builder.requantize(data, 0.7, rounding="single"))


def test_litert_keeps_what_the_frontend_found() -> None:
    assert_unchanged(mixed_module(), ApplyRounding("litert"))


def test_tflm_rounds_twice_everywhere() -> None:
    doubled = ApplyRounding("tflm")(mixed_module())
    assert [attrs.get("rounding") for _, attrs, _ in calls_of(doubled)] == [
        "double",
        None,
        "double",
        "double",
    ]
    tvm.ir.assert_structural_equal(ApplyRounding("tflm")(doubled), doubled)


def test_another_rounding_is_refused() -> None:
    with pytest.raises(ValueError, match="litert, tflm"):
        ApplyRounding("stochastic")
