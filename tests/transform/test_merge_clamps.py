"""MergeClamps: which activations become the clamp of their producer."""

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
    assert_becomes,
    assert_same_meaning,
    assert_unchanged,
    calls_of,
    identity_table,
    operators_of,
)
from tvm_tinyml.transform import MergeClamps

SHAPE = (1, 5, 4, 3)


def clamp_table(low: int, high: int) -> Any:
    return np.clip(identity_table(), low, high)


CLAMPS: dict[str, Callable[[ModuleBuilder, Any], Any]] = {
    "requantize": lambda b, x: b.requantize(x, clamp_min=ZERO_POINT, clamp_max=40),
    "lookup": lambda b, x: b.lookup(x, clamp_table(ZERO_POINT, 40)),
}


@pytest.mark.parametrize("clamp", CLAMPS)
def test_a_clamp_becomes_that_of_its_producer(clamp: str) -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    source = before.module(CLAMPS[clamp](before, before.conv2d(before.parameter(*SHAPE))))
    convolved = after.conv2d(after.parameter(*SHAPE), clamp_min=ZERO_POINT, clamp_max=40, tensor="t1")
    assert_becomes(source, MergeClamps(), after.module(convolved))


def test_a_chain_of_clamps_merges_into_one_producer() -> None:
    builder = ModuleBuilder()
    convolved = builder.conv2d(builder.parameter(*SHAPE), clamp_min=-100)
    module = builder.module(builder.lookup(builder.requantize(convolved, clamp_max=50), clamp_table(-7, 90)))
    merged = MergeClamps()(module)
    ((_, attrs, _),) = calls_of(merged)
    assert (attrs["clamp_min"], attrs["clamp_max"], attrs["tensor"]) == (-7, 50, "t2")
    assert_same_meaning(module, merged)


def test_a_table_counts_only_where_its_producer_reaches() -> None:
    builder = ModuleBuilder()
    convolved = builder.conv2d(builder.parameter(*SHAPE), clamp_min=-50, clamp_max=60)
    table = np.where(identity_table() < -50, 9, clamp_table(-128, 30))
    module = builder.module(builder.lookup(convolved, table))
    assert operators_of(MergeClamps()(module)) == ["conv2d"]
    assert_same_meaning(module, MergeClamps()(module))


@settings(max_examples=40, deadline=None)
@given(*(st.integers(-128, 127) for _ in range(4)))
def test_any_two_clamps_merge_exactly(a: int, b: int, c: int, d: int) -> None:
    """Disjoint ones included: all that is left is a constant."""
    builder = ModuleBuilder()
    convolved = builder.conv2d(builder.parameter(*SHAPE), clamp_min=min(a, b), clamp_max=max(a, b))
    module = builder.module(builder.lookup(convolved, clamp_table(min(c, d), max(c, d))))
    merged = MergeClamps()(module)
    assert operators_of(merged) == ["conv2d"]
    assert_same_meaning(module, merged)


def test_movements_may_lie_between_a_clamp_and_its_producer() -> None:
    builder = ModuleBuilder()
    convolved = builder.conv2d(builder.parameter(*SHAPE))
    turned = builder.call("transpose", convolved, axes=(0, 3, 1, 2))
    flat = builder.call("reshape", turned, shape=(1, 24))
    module = builder.module(builder.requantize(flat, clamp_min=0, zero_point=ZERO_POINT + 5))
    merged = MergeClamps()(module)
    calls = calls_of(merged)
    assert [operator.name for operator, _, _ in calls] == ["conv2d", "transpose", "reshape"]
    assert [attrs["zero_point"] for _, attrs, _ in calls] == [ZERO_POINT + 5] * 3
    # The last tensor is the model's; the others hold what no tensor of the model does.
    assert [attrs["tensor"] for _, attrs, _ in calls] == ["conv2d_0", "transpose_1", "t3"]
    assert_same_meaning(module, merged)


@settings(max_examples=40, deadline=None)
@given(*(st.integers(-128, 127) for _ in range(5)))
def test_a_moved_zero_point_merges_into_who_adds_it(a: int, b: int, c: int, d: int, zero_point: int) -> None:
    builder = ModuleBuilder()
    convolved = builder.conv2d(builder.parameter(*SHAPE), clamp_min=min(a, b), clamp_max=max(a, b))
    moved = builder.requantize(convolved, clamp_min=min(c, d), clamp_max=max(c, d), zero_point=zero_point)
    module = builder.module(moved)
    merged = MergeClamps()(module)
    ((_, attrs, _),) = calls_of(merged)
    assert (attrs["zero_point"], attrs["tensor"]) == (zero_point, "t1")
    assert_same_meaning(module, merged)


def _another_scale(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    return [builder.requantize(convolved, clamp_min=0, scale=SCALE / 2)]


def _another_zero_point(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    pooled = builder.max_pool2d(convolved)
    return [builder.requantize(pooled, clamp_min=0, zero_point=ZERO_POINT + 1)]


def _a_scaling(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    return [builder.requantize(convolved, 0.99)]


def _no_clamp(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    return [builder.lookup(convolved, np.where(identity_table() < 0, 0, -identity_table()))]


def _leaky(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    return [
        builder.lookup(convolved, np.where(identity_table() < 0, identity_table() // 4, identity_table()))
    ]


def _another_reader(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    return [CLAMPS["lookup"](builder, convolved), builder.lookup(convolved, ~identity_table())]


def _an_output(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    return [convolved, CLAMPS["lookup"](builder, convolved)]


def _another_type(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    return [builder.requantize(convolved, dtype="int16")]


def _a_producer_without_a_clamp(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    return [CLAMPS["lookup"](builder, builder.pad(convolved, 1, 0, 0, 1))]


def _a_movement_that_is_read_elsewhere(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    moved = builder.call("transpose", convolved, axes=(0, 2, 1, 3))
    return [CLAMPS["lookup"](builder, moved), moved]


def _a_movement_under_another_quantization(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    moved = builder.call("reshape", convolved, shape=(24,), scale=SCALE / 2)
    return [CLAMPS["lookup"](builder, moved)]


def _a_computed_table(builder: ModuleBuilder, convolved: Any) -> list[Any]:
    return [builder.call("lookup", convolved, builder.parameter(256), function="table")]


@pytest.mark.parametrize(
    "build",
    [
        _another_scale,
        _another_zero_point,
        _a_scaling,
        _no_clamp,
        _leaky,
        _another_reader,
        _an_output,
        _another_type,
        _a_producer_without_a_clamp,
        _a_movement_that_is_read_elsewhere,
        _a_movement_under_another_quantization,
        _a_computed_table,
    ],
)
def test_what_only_looks_like_a_clamp_stays(build: Any) -> None:
    builder = ModuleBuilder()
    convolved = builder.conv2d(builder.parameter(*SHAPE))
    assert_unchanged(builder.module(*build(builder, convolved)), MergeClamps())


def test_a_clamp_of_a_parameter_stays() -> None:
    builder = ModuleBuilder()
    assert_unchanged(builder.module(CLAMPS["requantize"](builder, builder.parameter(*SHAPE))), MergeClamps())
