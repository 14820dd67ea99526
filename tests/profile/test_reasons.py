"""Reasons for layers that are slow in their class come from their geometry, and say what it does not explain."""

from __future__ import annotations

from math import prod

import pytest

from tvm_tinyml.profile.reasons import reasons
from tvm_tinyml.profile.work import LayerWork, Work


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
    assert reasons([BEST, layer((1, 32, 32, 16), 576, 3.0)], "cortex-m4") == [
        None,
        "3.0x not explained by its geometry",
    ]
