"""Micro-kernels at the ends of everything: all candidates of a core's rules, extreme values, one run per core."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import dense
from tests.schedules.layers_rvv import convolution, depthwise
from tests.support.candidates import assert_every_candidate_exact
from tests.support.extremes import extremes


@pytest.mark.parametrize(
    ("target", "rules"),
    [
        (
            "tinyml/cortex-m3",
            {
                "scalar convolution",
                "scalar dense",
                "scalar dense tiles",
                "scalar depthwise",
                "scalar depthwise rows",
                "scalar depthwise strips",
                "scalar im2col",
                "scalar pointwise",
            },
        ),
        (
            "tinyml/cortex-m0",
            {
                "depthwise pixel pairs",
                "pixel pairs",
                "scalar convolution",
                "scalar dense",
                "scalar depthwise",
            },
        ),
    ],
)
def test_sums_and_factors_at_their_ends_are_exact(target: str, rules: set[str]) -> None:
    generator = np.random.default_rng(1)
    layers = (
        convolution(generator, (3, 5, 8), 5, (1, 1)),
        convolution(generator, (4, 5, 3), 5, (3, 3)),
        depthwise(generator, (6, 7, 3), (3, 3)),
        dense(generator, 1, 20, 7, "double"),
    )
    module = assert_every_candidate_exact([case for layer in layers for case in extremes(layer)], target)
    assert {layer.schedule for layer in module.compiled.model.layers} == rules
