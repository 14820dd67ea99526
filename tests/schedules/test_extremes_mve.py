"""Arm MVE micro-kernels at the ends of everything: all candidates of their rules, extreme values, one run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.schedules.layers_dsp import dense, with_rounding
from tests.schedules.layers_rvv import convolution, depthwise, int8_values
from tests.schedules.test_add_rvv import attributes
from tests.schedules.test_elementwise_mve import pooling
from tests.schedules.test_pairs_scalar import product_attributes
from tests.schedules.weightless_rvv import softmaxes
from tests.support.candidates import assert_every_candidate_exact
from tests.support.extremes import extremes
from tests.support.layers import LayerCase
from tests.support.rules import ask_only

# Parts of the names of the functions that must have run, with each way to requantise.
FUNCTIONS = {"flat_strip_16", "flat_strip_23", "deep_strip", "column_strip", "dense_", "planes_", "depthwise"}
FUNCTIONS |= {"wide_tile_4x16", "wide_tile_3x23", "summed_depthwise"}


def ways_to_requantise(case: LayerCase) -> list[LayerCase]:
    """The layer with a ReLU, without, with limits, and rounded so that the factors are fitted."""
    attrs = [
        {"zero_point": -128, "clamp_min": -128, "clamp_max": 127},
        {"zero_point": 5, "clamp_min": -128, "clamp_max": 127},
        {"zero_point": 5, "clamp_min": -100, "clamp_max": 99},
    ]
    found = [replace(case, attrs={**case.attrs, **one}) for one in attrs]
    return [*found, with_rounding(found[1], "away")]


@pytest.mark.parametrize(("objective", "frame"), [("balanced", "framed"), ("size", "small")])
def test_sums_and_factors_at_their_ends_are_exact(
    objective: str, frame: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_only(monkeypatch, "mve")
    generator = np.random.default_rng(1)
    strips = [convolution(generator, (1, 7, depth), 2, (1, 1)) for depth in (16, 23)]
    others = [convolution(generator, (3, 5, 16), 2, (3, 3)), depthwise(generator, (5, 6, 2), (3, 3))]
    others += [dense(generator, 1, 20, 9, "double"), depthwise(generator, (3, 5, 9), (3, 3))]
    cases: list[LayerCase] = []
    first = 8 * (objective == "size")
    for number in range(4):
        # Every extreme by some way and objective.
        cases += [extremes(ways_to_requantise(layer)[number])[first + number] for layer in strips]
        cases += [extremes(ways_to_requantise(layer)[number])[first + 4 + number] for layer in strips]
        layer = others[number % len(others)]
        cases.append(extremes(ways_to_requantise(layer)[number])[first + number])
    module = assert_every_candidate_exact(cases, f"tinyml/cortex-m55 -opt={objective}")
    names = " ".join(module.compiled.model.micro_kernels)
    assert {part for part in FUNCTIONS if part not in names} == set()
    for form in ("relu", "sign", "fit", "sign_min100n_max99"):
        assert f"flat_strip_16_every16_{frame}_{form}" in names


def test_elements_and_windows_at_their_ends_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "mve")
    generator = np.random.default_rng(2)
    a, b = int8_values(generator, (2, 3, 21))
    row, one = b[0], b[0, :1]
    factors = [product_attributes(generator, rounding) | {"shift": -6} for rounding in ("double", "single")]
    scaling = {"input_zero_point": 3, "multiplier": 1500000000, "shift": 0, "rounding": "double"}
    layers = [
        *(LayerCase("add", (a, other), attributes(generator), 2) for other in (b, row, one)),
        LayerCase("sub", (one, a), attributes(generator), 2),
        *(LayerCase("mul", (a, other), how, 2) for other in (b, one) for how in factors),
        LayerCase("mul", (one, a), factors[0] | {"clamp_min": factors[0]["zero_point"]}, 2),
        LayerCase("maximum", (a, b), {}, 2),
        LayerCase("minimum", (one, a), {}, 2),
        LayerCase("sum_pixels", (int8_values(generator, (1, 3, 5, 21)),), {"keepdims": True}),
        LayerCase("lookup", (a, int8_values(generator, (256,))), {"function": "any"}),
        LayerCase("requantize", (a,), scaling | {"clamp_min": -128, "clamp_max": 127, "dtype": "int8"}),
        pooling("avg_pool2d", int8_values(generator, (1, 6, 7, 19)), (2, 3), (2, 2)),
        pooling("max_pool2d", int8_values(generator, (1, 6, 7, 37)), (2, 3), (2, 2), clamp_min=-5),
    ]
    cases = [extreme for layer in layers for extreme in extremes(layer)[::3]]
    cases += softmaxes(generator, 700)
    module = assert_every_candidate_exact(cases, "tinyml -mcpu=cortex-m55")
    names = " ".join(module.compiled.model.micro_kernels)
    parts = {"add_shift", "rounded_sum", "difference", "product_fit", "product_sign", "product_relu"}
    parts |= {
        "maximum",
        "minimum_one_a",
        "lookup",
        "window_average",
        "window_maximum",
        "softmax_scale",
        "softmax_sum",
        "sum_2x3",
        "sum_pixels",
    }
    assert {part for part in parts if part not in names} == set()
