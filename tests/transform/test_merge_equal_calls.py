"""MergeEqualCalls: what counts as computed twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.transform.building import (
    SCALE,
    ModuleBuilder,
    assert_same_meaning,
    assert_unchanged,
    calls_of,
    identity_table,
    operators_of,
    tensors_of,
)
from tvm_tinyml.transform import MaterializeOutputs, MergeEqualCalls

SHAPE = (1, 5, 4, 3)


def test_equal_chains_are_computed_once() -> None:
    build = ModuleBuilder()
    x = build.parameter(*SHAPE)
    branches = [build.lookup(build.conv2d(x), ~identity_table()) for _ in range(2)]
    module = build.module(build.add(*branches))
    merged = MergeEqualCalls()(module)
    assert operators_of(merged) == ["conv2d", "lookup", "add"]
    assert_same_meaning(module, merged)


@pytest.mark.parametrize("output", [0, 1])
def test_an_output_keeps_its_name(output: int) -> None:
    build = ModuleBuilder()
    x = build.parameter(*SHAPE)
    twins = [build.conv2d(x), build.conv2d(x)]
    module = build.module(build.add(*twins), twins[output])
    merged = MergeEqualCalls()(module)
    assert tensors_of(merged) == [f"t{output}", "t2"]
    assert_same_meaning(module, merged)


def test_two_equal_outputs_become_one_and_a_copy() -> None:
    build = ModuleBuilder()
    x = build.parameter(*SHAPE)
    module = build.module(build.conv2d(x), build.conv2d(x))
    merged = MaterializeOutputs()(MergeEqualCalls()(module))
    assert operators_of(merged) == ["conv2d", "copy"]
    assert_same_meaning(module, merged)


def _copies(build: ModuleBuilder, x: Any) -> list[Any]:
    return [build.call("copy", x), build.call("copy", x)]


def _other_attributes(build: ModuleBuilder, x: Any) -> list[Any]:
    return [build.requantize(x, 0.5), build.requantize(x, 0.25)]


def _other_quantization(build: ModuleBuilder, x: Any) -> list[Any]:
    return [build.requantize(x, 0.5), build.requantize(x, 0.5, scale=SCALE / 2)]


def _other_constants(build: ModuleBuilder, x: Any) -> list[Any]:
    return [build.lookup(x, ~identity_table()), build.lookup(x, np.roll(identity_table(), 1))]


def _other_inputs(build: ModuleBuilder, x: Any) -> list[Any]:
    first = build.conv2d(x)
    return [first, build.conv2d(build.parameter(*SHAPE))]


def _other_order(build: ModuleBuilder, x: Any) -> list[Any]:
    y = build.parameter(*SHAPE)
    return [build.call("concat", x, y, axis=1), build.call("concat", y, x, axis=1)]


@pytest.mark.parametrize(
    "make", [_copies, _other_attributes, _other_quantization, _other_constants, _other_inputs, _other_order]
)
def test_what_differs_stays(make: Callable[[ModuleBuilder, Any], list[Any]]) -> None:
    build = ModuleBuilder()
    assert_unchanged(build.module(*make(build, build.parameter(*SHAPE))), MergeEqualCalls())


def test_the_first_of_three_stays() -> None:
    build = ModuleBuilder()
    x = build.parameter(*SHAPE)
    first, second, third = (build.conv2d(x) for _ in range(3))
    merged = MergeEqualCalls()(build.module(build.add(first, build.add(second, third))))
    assert [operator.name for operator, _, _ in calls_of(merged)] == ["conv2d", "add", "add"]
