"""Dense layers on Cortex-M0: sums of up to eight outputs at a time, exact for all sizes, and what a product costs."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import dense
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tests.support.rules import ask_only

TARGET = "tinyml -mcpu=cortex-m0"
# Rows, depth and channels: less than a round, whole rounds and a rest; a tile, equal tiles, tiles with a rest, one row.
SIZES = [(1, 3, 2), (1, 4, 3), (2, 7, 8), (1, 9, 10), (1, 64, 11), (3, 33, 16), (1, 21, 17), (1, 130, 7)]


def layers(generator: np.random.Generator) -> list[LayerCase]:
    roundings = ("double", "single", "away")
    return [dense(generator, *size, roundings[number % 3]) for number, size in enumerate(SIZES)]


def test_all_sizes_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "dense_thumb1")
    module = assert_layers_exact(layers(np.random.default_rng(1)), TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"dense lanes"}


def test_a_product_costs_few_instructions() -> None:
    case = dense(np.random.default_rng(2), 1, 640, 8, "double")
    _, report = build_layers([case], TARGET).run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= 3.8 * 640 * 8
