"""Transposed convolutions in tiles of channels: exact for all geometries, and about half the cost of plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.schedules.layers_rvv import int8_values
from tests.support.candidates import assert_every_candidate_exact
from tests.support.layers import LayerCase, build_layers


def transposed(
    generator: np.random.Generator,
    shape: tuple[int, int, int],
    channels: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> LayerCase:
    """A layer whose output is what padding leaves of all pixels that its input reaches."""
    height, width, depth = shape
    spans = [(extent - 1) * s + k for extent, s, k in zip((height, width), strides, kernel, strict=True)]
    size = [span - padding[axis] - padding[axis + 2] for axis, span in enumerate(spans)]
    arrays = (
        int8_values(generator, (1, *shape)),
        int8_values(generator, (channels, *kernel, depth)),
        generator.integers(-5000, 5000, channels, dtype=np.int32),
        generator.integers(2**30, 2**31, channels, dtype=np.int32),
        generator.integers(-9, -5, channels, dtype=np.int32),
    )
    attrs: dict[str, Any] = {"strides": strides, "padding": padding, "output_shape": (1, *size, channels)}
    attrs |= {"input_zero_point": -7, "zero_point": 3, "clamp_min": -100, "clamp_max": 127}
    return LayerCase("transpose_conv2d", arrays, attrs | {"rounding": "double"})


def test_all_geometries_are_exact() -> None:
    generator = np.random.default_rng(1)
    cases = [
        transposed(generator, (3, 4, 5), 8, (2, 2), (2, 2)),
        transposed(generator, (4, 3, 7), 6, (3, 3), (2, 2), (0, 0, 1, 1)),
        transposed(generator, (4, 4, 3), 5, (4, 3), (2, 1), (1, 1, 1, 1)),
        transposed(generator, (3, 3, 2), 4, (2, 1), (3, 2)),
    ]
    module = assert_every_candidate_exact(cases, "tinyml -mcpu=cortex-m3")
    assert {layer.schedule for layer in module.compiled.model.layers} == {"scalar transposed convolution"}


def test_a_product_costs_few_instructions() -> None:
    case = transposed(np.random.default_rng(2), (4, 4, 64), 16, (3, 3), (2, 2), (0, 0, 1, 1))
    _, report = build_layers([case], "tinyml -mcpu=cortex-m3").run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= 3.2 * 16 * case.arrays[1].size
