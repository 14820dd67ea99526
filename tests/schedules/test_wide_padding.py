"""Windows that lie wholly in the padding: only zero points, on every core and with any schedule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.schedules.layers_rvv import convolution, depthwise
from tests.support.layers import LayerCase, assert_layers_exact

GEOMETRIES = [
    ((1, 1), (0, 2, 0, 2)),
    ((1, 1), (2, 0, 2, 0)),
    ((3, 3), (4, 4, 4, 4)),
    ((1, 3), (1, 3, 0, 0)),
    ((3, 1), (3, 1, 0, 1)),
    ((2, 2), (0, 1, 0, 0)),
]


def with_padding(case: LayerCase, padding: tuple[int, int, int, int]) -> LayerCase:
    """The layer with this padding (top, left, bottom, right) and a zero point that padding shows."""
    return replace(case, attrs=dict(case.attrs) | {"padding": padding, "input_zero_point": 5})


@pytest.mark.parametrize(
    "core", ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55", "rv32imc", "rv32imcv", "host"]
)
def test_windows_without_a_pixel_of_the_image_are_exact(core: str) -> None:
    generator = np.random.default_rng(0)
    cases = []
    for kernel, padding in GEOMETRIES:
        cases.append(with_padding(depthwise(generator, (6, 9, 8), kernel), padding))
        cases.append(with_padding(convolution(generator, (6, 9, 8), 8, kernel), padding))
        # Of one output's window, all columns but the last lie in the padding.
        narrow = depthwise(generator, (4, 2, 8), kernel, strides=(1, 2))
        cases.append(with_padding(narrow, (0, kernel[1] - 1, 0, 0)))
    assert_layers_exact(cases, f"tinyml -mcpu={core}")


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55", "rv32imc", "rv32imcv"])
def test_padding_that_strides_leave_out_is_exact(core: str) -> None:
    generator = np.random.default_rng(1)
    cases = [
        with_padding(convolution(generator, (6, 8, 8), 8, (2, 2), strides=(2, 2)), (0, 0, 1, 1)),
        with_padding(convolution(generator, (5, 7, 16), 4, (1, 1), strides=(2, 2)), (0, 0, 1, 1)),
        with_padding(depthwise(generator, (6, 8, 16), (2, 2), strides=(2, 2)), (0, 0, 1, 1)),
    ]
    assert_layers_exact(cases, f"tinyml -mcpu={core}")
