"""Arm DSP micro-kernels at the ends of everything: all candidates of their rules, extreme values, one run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.schedules.layers_dsp import ROUNDINGS, dense, with_rounding
from tests.schedules.layers_rvv import convolution, depthwise, int8_values
from tests.schedules.test_add_dsp import unclamped
from tests.schedules.test_elementwise_dsp import factors
from tests.support.candidates import assert_every_candidate_exact
from tests.support.extremes import extremes
from tests.support.layers import LayerCase
from tests.support.rules import ask_only

# Parts of the names of the functions that must have run: each product, and each way to requantise.
FUNCTIONS = {
    f"{product}_{form}"
    for product in ("dsp_strip", "dsp_scaled_strip", "dsp_plain_strip", "scaled_dense_4")
    for form in ("divided", "double", "single", "away")
} | {"plane_", "plain_dense_", "dsp_sum_", "dsp_maximum", "dsp_minimum", "dsp_product_divided"}


def shifted(case: LayerCase, generator: np.random.Generator) -> list[LayerCase]:
    """Sums near the 24 bits of the scaled form; shifts on both sides of the ends of the division, and mixed."""
    found = []
    for zero_point, shifts in ((-128, (-2, -11, -7)), (127, (-11, -2)), (-128, (-1,)), (127, (-12,))):
        arrays = list(case.arrays)
        arrays[0] = generator.choice(np.array([-128, 127], np.int8), arrays[0].shape)
        arrays[2] = np.full_like(arrays[2], 2**21)
        arrays[3] = np.full_like(arrays[3], 2**31 - 1)
        arrays[4] = np.resize(np.array(shifts, np.int32), arrays[4].shape)
        attrs = {**case.attrs, "input_zero_point": zero_point, "zero_point": -1 - zero_point}
        attrs |= {"clamp_min": -128, "clamp_max": 127}
        found.append(replace(case, arrays=tuple(arrays), attrs=attrs))
    return found


def pairs_at_their_ends(generator: np.random.Generator) -> list[LayerCase]:
    """Vectors of two operands, and rows of which one repeats, with lengths that leave a rest and without."""
    shapes = {"flat": ((3, 21), (3, 21)), "rows": ((2, 16), (16,))}
    cases: list[LayerCase] = []
    for name, kind in (
        ("add", "flat"),
        ("sub", "rows"),
        ("mul", "rows"),
        ("maximum", "flat"),
        ("minimum", "rows"),
    ):
        attrs = {"mul": factors(-7)}.get(name, unclamped(generator) if name in ("add", "sub") else {})
        a, b = (int8_values(generator, shape) for shape in shapes[kind])
        cases += extremes(LayerCase(name, (a, b), attrs, 2))[::2]
    return cases


def test_sums_and_factors_at_their_ends_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "dsp")
    generator = np.random.default_rng(1)
    layers = (
        convolution(generator, (1, 3, 60), 4, (1, 1)),
        convolution(generator, (1, 4, 64), 10, (1, 1)),
        dense(generator, 1, 20, 5, "double"),
        dense(generator, 1, 9, 4, "double"),
    )
    layers[-1].arrays[1][0, 0] = -128
    cases = extremes(depthwise(generator, (5, 6, 1), (3, 3)))
    cases += extremes(convolution(generator, (4, 5, 3), 3, (3, 3)))[::2]
    for layer in layers:
        cases += shifted(layer, generator)
        cases += [with_rounding(shifted(layer, generator)[0], rounding) for rounding in ROUNDINGS[1:]]
    cases += pairs_at_their_ends(generator)
    module = assert_every_candidate_exact(cases, "tinyml/cortex-m4")
    names = " ".join(module.compiled.model.micro_kernels)
    assert {function for function in FUNCTIONS if function not in names} == set()
