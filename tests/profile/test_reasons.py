"""Reasons for slow layers come from cost models or geometry, and say what neither explains."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest

from tvm_tinyml.profile.reasons import reasons
from tvm_tinyml.profile.work import LayerWork, Other, Work


def layer(shape: tuple[int, ...], depth: int, per_mac: float, layer_class: str = "conv2d") -> LayerWork:
    """A layer of so many products per output and instructions per product."""
    macs = prod(shape) * depth
    return LayerWork("layer", layer_class, "rule", Work(macs, round(per_mac * macs)), shape)


BEST = layer((1, 32, 32, 16), 576, 1.0)


def test_the_best_of_a_class_and_layers_near_it_need_no_reason() -> None:
    other = layer((1, 4, 4, 3), 9, 5.0, "depthwise")
    nothing = LayerWork("view", "other", "plain", Work(0, 10), (1, 4))
    assert reasons([BEST, layer((1, 8, 8, 16), 64, 1.5), other, nothing], "cortex-m4") == [None] * 4


@pytest.mark.parametrize(
    ("slow", "core", "expected"),
    [
        (layer((1, 32, 32, 16), 9, 2.2), "cortex-m4", "9 products per output (best: 576): 2.4x"),
        (layer((1, 2, 2, 16), 576, 2.5), "cortex-m4", "4 outputs per channel (best: 1,024): 3.0x"),
        (layer((1, 3, 3, 9), 576, 2.9), "cortex-m55", "56% of 8 lanes used (best: 100%): 1.8x"),
    ],
)
def test_what_differs_from_the_best_layer_is_the_reason(slow: LayerWork, core: str, expected: str) -> None:
    best, reason = reasons([BEST, slow], core)
    assert best is None
    assert reason is not None
    assert expected in reason
    assert "not explained" not in reason


def test_a_slow_layer_of_the_best_ones_geometry_is_not_excused() -> None:
    assert reasons([BEST, layer((1, 32, 32, 16), 576, 3.0)], "cortex-m4") == [None, "3.0x not explained"]


def spending(one: LayerWork, at_once: float = 1.0, **per_mac: float) -> LayerWork:
    """The layer with a cost model that spends so much per multiply-accumulate; at_once: MACs per multiplication."""
    names = ("products", "outputs", "copies", "calls")
    parts = {name: round(per_mac.get(name, 0.0) * one.work.macs) for name in names}
    return replace(one, parts=parts | {"multiplications": round(one.work.macs / at_once)})


FAST = spending(BEST, products=0.9, outputs=0.1)


def test_a_cost_model_says_where_the_slow_layer_spends_more() -> None:
    slow = spending(layer((1, 32, 32, 16), 9, 3.0), products=0.9, outputs=1.6, copies=0.5)
    (_, reason) = reasons([FAST, slow], "cortex-m4")
    assert reason == (
        "outputs 1.60 instructions per MAC (best: 0.10), 9 MACs per output (best: 576); "
        "copies 0.50 instructions per MAC (best: 0.00)"
    )


def test_a_cost_model_that_predicts_too_little_leaves_the_rest_unexplained() -> None:
    slow = spending(layer((1, 32, 32, 16), 576, 4.0), products=1.9, outputs=0.1)
    assert reasons([FAST, slow], "cortex-m4") == [
        None,
        "products 1.90 instructions per MAC (best: 0.90), 1.9 instructions per multiplication (best: 0.9);"
        " 2.0x not explained",
    ]


def test_vectors_that_hold_less_are_counted_as_multiplications() -> None:
    slow = spending(layer((1, 32, 32, 16), 576, 2.0), at_once=4.0, products=2.0)
    (_, reason) = reasons([spending(BEST, at_once=8.0, products=1.0), slow], "cortex-m55")
    assert reason == "products 2.00 instructions per MAC (best: 1.00), 4 MACs per multiplication (best: 8)"


def test_requantisation_among_the_products_is_explained_with_them() -> None:
    slow = replace(spending(layer((1, 32, 32, 16), 9, 2.0), products=2.0), inputs_per_output=4.0)
    (_, reason) = reasons([spending(BEST, products=1.0), slow], "cortex-m55")
    assert reason is not None
    assert reason.endswith("9 MACs per output (best: 576)")


def test_products_with_padding_cost_the_best_layer_nothing() -> None:
    best = replace(FAST, share_inside=0.25)
    slow = replace(spending(layer((1, 32, 32, 16), 576, 3.0), products=2.9, outputs=0.1), share_inside=1.0)
    (_, reason) = reasons([best, slow], "cortex-m4")
    assert reason is not None
    assert "100 % of the MACs inside the image (best: 25)" in reason
    assert "not explained" not in reason


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        (
            {"best rule": Other("1,000 instructions more", 5)},
            "best rule, which the best has: 1,000 instructions more",
        ),
        ({}, "best rule, which the best has: does not apply"),
    ],
)
def test_the_schedule_of_the_best_layer_is_named(others: dict[str, Other], expected: str) -> None:
    slow = spending(layer((1, 32, 32, 16), 576, 2.0), products=2.0)
    (_, reason) = reasons([replace(FAST, schedule="best rule"), replace(slow, others=others)], "cortex-m4")
    assert reason is not None
    assert reason.endswith(expected)


def test_without_a_cost_model_of_the_best_a_faster_schedule_and_copies_are_factors() -> None:
    slow = spending(layer((1, 32, 32, 16), 576, 4.0), products=2.0, copies=2.0)
    macs = slow.work.macs
    slow = replace(
        slow,
        estimated_instructions=4 * macs,
        others={"tiles": Other("saves 9 instructions for 99 bytes of code", 2 * macs)},
    )
    (_, reason) = reasons([BEST, slow], "cortex-m4")
    assert reason == (
        "tiles not taken (saves 9 instructions for 99 bytes of code): 2.0x; 50% of the instructions copy: 2.0x"
    )
