"""JoinUnary: which functions of one element become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transform.building import (
    SCALE,
    ZERO_POINT,
    ModuleBuilder,
    assert_same_meaning,
    assert_unchanged,
    calls_of,
    identity_table,
    operators_of,
    random_inputs,
)
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.transform import JoinUnary

# Every value of int8 is there.
SHAPE = (1, 16, 16, 1)


def every_value(module: Any) -> np.ndarray[Any, Any]:
    """Output for all 256 inputs."""
    data = np.arange(-128, 128).astype("int8").reshape(SHAPE)
    return evaluate(module, [data]).outputs[0]


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(0.01, 3.0), st.floats(0.01, 3.0)),
    st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    st.sampled_from(["double", "single"]),
)
def test_two_requantisations_become_one_call_exactly(
    ratios: tuple[float, float], zero_points: tuple[int, int], rounding: str
) -> None:
    build = ModuleBuilder()
    first = build.requantize(build.parameter(*SHAPE), ratios[0], zero_point=zero_points[0], rounding=rounding)
    module = build.module(
        build.requantize(
            first, ratios[1], input_zero_point=zero_points[0], zero_point=zero_points[1], rounding=rounding
        )
    )
    joined = JoinUnary()(module)
    assert len(operators_of(joined)) == 1
    np.testing.assert_array_equal(every_value(joined), every_value(module))


def test_a_factor_of_one_leaves_a_requantisation() -> None:
    build = ModuleBuilder()
    first = build.requantize(build.parameter(*SHAPE), 0.3, zero_point=5)
    joined = JoinUnary()(build.module(build.requantize(first, input_zero_point=5, zero_point=-7)))
    ((operator, attrs, _),) = calls_of(joined)
    assert (operator.name, attrs["input_zero_point"], attrs["zero_point"]) == ("requantize", ZERO_POINT, -7)


def test_a_chain_of_tables_becomes_one_table() -> None:
    build = ModuleBuilder()
    value = build.parameter(*SHAPE)
    for shift in (3, 5, 7):
        value = build.lookup(value, np.roll(~identity_table(), shift))
    module = build.module(build.requantize(value, 0.7, scale=SCALE / 2))
    joined = JoinUnary()(module)
    ((operator, attrs, _),) = calls_of(joined)
    assert (operator.name, attrs["tensor"], attrs["scale"]) == ("lookup", "t3", SCALE / 2)
    np.testing.assert_array_equal(every_value(joined), every_value(module))


def test_what_comes_in_as_another_type_is_joined_where_one_requantisation_does_it() -> None:
    build = ModuleBuilder()
    x = build.parameter(*SHAPE, dtype="uint8", zero_point=128)
    signed = build.requantize(x, input_zero_point=128, zero_point=0)
    module = build.module(build.requantize(signed, input_zero_point=0, zero_point=0, clamp_max=20))
    joined = JoinUnary()(module)
    assert operators_of(joined) == ["requantize"]
    assert_same_meaning(module, joined)


def _another_reader(build: ModuleBuilder, first: Any) -> list[Any]:
    return [build.lookup(first, ~identity_table()), build.conv2d(first)]


def _an_output(build: ModuleBuilder, first: Any) -> list[Any]:
    return [first, build.lookup(first, ~identity_table())]


def _no_table(build: ModuleBuilder, first: Any) -> list[Any]:
    return [build.max_pool2d(first)]


def _a_computed_table(build: ModuleBuilder, first: Any) -> list[Any]:
    return [build.call("lookup", first, build.parameter(256), function="table")]


@pytest.mark.parametrize("make", [_another_reader, _an_output, _no_table, _a_computed_table])
def test_what_is_needed_in_between_stays(make: Callable[[ModuleBuilder, Any], list[Any]]) -> None:
    build = ModuleBuilder()
    first = build.lookup(build.parameter(*SHAPE), np.roll(identity_table(), 1))
    assert_unchanged(build.module(*make(build, first)), JoinUnary())


def test_a_pair_of_types_that_no_table_takes_stays() -> None:
    build = ModuleBuilder()
    x = build.parameter(*SHAPE, dtype="uint8")
    # Two roundings that one cannot give: 0.3 of a unit is lost in the first.
    first = build.requantize(x, 0.3, zero_point=1)
    module = build.module(build.requantize(first, 1.7, input_zero_point=1))
    joined = JoinUnary()(module)
    assert operators_of(joined) == ["requantize", "requantize"]
    inputs = random_inputs(module, 0)
    np.testing.assert_array_equal(evaluate(joined, inputs).outputs[0], evaluate(module, inputs).outputs[0])
