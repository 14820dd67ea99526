"""Operators that move bytes: runs of words, of any length and at any address, and what a byte costs."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_rvv import int8_values
from tests.support.candidates import assert_every_candidate_exact
from tests.support.layers import LayerCase, build_layers

BACKWARDS = {"begin": (1, 3, 0), "strides": (1, -1, 1), "shape": (1, 3, 5)}


def layers(generator: np.random.Generator) -> list[LayerCase]:
    """Short and long runs, whole words and not, aligned and not, and borders of every axis."""

    def data(*shape: int) -> np.ndarray:
        return int8_values(generator, shape)

    nearest = {"align_corners": False, "half_pixel_centers": True}
    cases = [LayerCase("copy", (data(length),), {}) for length in (1, 3, 31, 33, 64, 67, 107)]
    cases += [
        LayerCase("concat", (data(3, 4), data(3, 8)), {"axis": 1}, 2),
        LayerCase("concat", (data(3, 5), data(3, 2), data(3, 37)), {"axis": 1}, 3),
        LayerCase("concat", (data(2, 2, 20), data(2, 1, 20)), {"axis": 1}, 2),
        LayerCase("pad", (data(3, 4, 8),), {"pad_width": (1, 0, 2, 1, 0, 0), "pad_value": -7}),
        LayerCase("pad", (data(3, 4, 3),), {"pad_width": (0, 1, 1, 1, 2, 1), "pad_value": 5}),
        LayerCase("pad", (data(2, 40),), {"pad_width": (1, 1, 33, 80), "pad_value": 127}),
        LayerCase("slice", (data(4, 6, 5),), {"begin": (1, 2, 0), "strides": (2, 1, 1), "shape": (2, 3, 5)}),
        LayerCase("slice", (data(4, 6, 5),), BACKWARDS),
        LayerCase("slice", (data(3, 50),), {"begin": (0, 3), "strides": (1, 1), "shape": (3, 45)}),
        LayerCase("transpose", (data(3, 5, 8),), {"axes": (1, 0, 2)}),
        LayerCase("transpose", (data(3, 2, 5, 7),), {"axes": (2, 1, 0, 3)}),
        LayerCase("resize_nearest", (data(1, 3, 4, 4),), {"size": (5, 9), **nearest}),
        LayerCase("resize_nearest", (data(1, 3, 4, 4),), {"size": (9, 8), **nearest}),
        LayerCase("resize_nearest", (data(1, 6, 4, 4),), {"size": (2, 4), **nearest}),
        LayerCase("resize_nearest", (data(1, 2, 5, 6),), {"size": (4, 3), **nearest}),
    ]
    return cases


@pytest.mark.parametrize("core", ["cortex-m0", "rv32imc", "rv32imcv"])
def test_bytes_arrive_where_they_belong(core: str) -> None:
    cases = layers(np.random.default_rng(1))
    module = assert_every_candidate_exact(cases, f"tinyml -mcpu={core}")
    rules = {layer.schedule for layer in module.compiled.model.layers}
    assert ("RVV copies" if core == "rv32imcv" else "copies by words") in rules


@pytest.mark.parametrize(("core", "bounds"), [("cortex-m0", (1.0, 0.95)), ("rv32imc", (0.8, 0.7))])
def test_a_byte_costs_about_one_instruction(core: str, bounds: tuple[float, float]) -> None:
    generator = np.random.default_rng(2)
    image = int8_values(generator, (1, 8, 8, 16))
    cases = [
        LayerCase("concat", (image, image), {"axis": 3}, 2),
        LayerCase("pad", (image,), {"pad_width": (0, 0, 1, 1, 1, 1, 0, 0), "pad_value": 3}),
    ]
    module = build_layers(cases, f"tinyml -mcpu={core}")
    result = module.run([image, image, image], profile=True)
    for layer, output, bound in zip(result.report.layers, result.outputs, bounds, strict=True):
        assert layer.instructions <= bound * output.size, layer.name
