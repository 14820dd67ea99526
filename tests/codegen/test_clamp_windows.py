"""ClampWindows: guards become loop bounds exactly when the padded iterations do nothing."""

from __future__ import annotations

from typing import Any

import pytest
import tvm
from tvm import s_tir, te, tirx

from tvm_tinyml.codegen.tensorir import lower_function, print_function
from tvm_tinyml.dialect import operator
from tvm_tinyml.schedules.convolution import schedule_convolution
from tvm_tinyml.schedules.kernel import Problem
from tvm_tinyml.schedules.plain import schedule_blocks


def convolution_attributes(**changes: Any) -> dict[str, Any]:
    return {
        "strides": (1, 1),
        "dilation": (1, 1),
        "padding": (1, 1, 1, 1),
        "input_zero_point": 5,
        "zero_point": 0,
        "clamp_min": -128,
        "clamp_max": 127,
        "rounding": "double",
    } | changes


def print_convolution(attrs: dict[str, Any], height: int = 9, width: int = 9, kernel: int = 3) -> str:
    shapes = {
        "data": ((1, height, width, 4), "int8"),
        "weight": ((8, kernel, kernel, 4), "int8"),
        "bias": ((8,), "int32"),
        "multiplier": ((8,), "int32"),
        "shift": ((8,), "int32"),
    }
    tensors = [te.placeholder(shape, dtype, name=name) for name, (shape, dtype) in shapes.items()]
    output = operator("conv2d").compute(tensors, attrs)
    problem = Problem(
        operator="conv2d",
        shapes={name: shape for name, (shape, _) in shapes.items()},
        constants={},
        attrs=attrs,
        output_shape=tuple(int(extent) for extent in output.shape),
        features=frozenset(),
        compute=lambda: te.create_prim_func([*tensors, output]),
    )
    answer = schedule_convolution(problem)
    assert answer is not None
    return print_layer(answer.build().function)


def print_layer(function: Any) -> str:
    return print_function(lower_function("layer", function, tvm.target.Target({"kind": "c"}))).body


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"strides": (2, 2)},
        {"strides": (2, 1), "padding": (0, 1, 2, 0)},
        {"dilation": (2, 2), "padding": (2, 2, 2, 2)},
        {"padding": (0, 0, 0, 0)},
    ],
)
def test_the_inner_loops_of_a_padded_convolution_hold_no_check(changes: dict[str, Any]) -> None:
    body = print_convolution(convolution_attributes(**changes))
    products = [line for line in body.splitlines() if "weight[" in line]
    assert products
    assert not any("?" in line for line in products)
    assert "if (" not in body


def test_padding_that_is_not_the_zero_point_keeps_its_guard() -> None:
    data = te.placeholder((8,), "int32", name="data")
    padded = te.compute((10,), lambda i: tirx.if_then_else(tirx.all(i >= 1, i < 9), data[i - 1], 7), "pad")
    k = te.reduce_axis((0, 3), "k")
    output = te.compute((8,), lambda i: te.sum(padded[i + k], axis=k), "accumulate")
    schedule = s_tir.Schedule(te.create_prim_func([data, output]))
    schedule_blocks(schedule)
    body = print_layer(schedule.mod["main"])
    assert "< 3;" in body, "the window loop must keep all its iterations"
    assert "= 7;" in body, "a padded iteration must still add the padding value"


def test_printing_is_deterministic() -> None:
    assert print_convolution(convolution_attributes()) == print_convolution(convolution_attributes())
