"""The descriptions of MVE micro-kernels mean what the dialect means, too: layers run without any micro-kernel bound.

The other tests compare the bound micro-kernels with the same semantics, so a kernel and its description agree.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from tvm.s_tir import Schedule

from tests.schedules.layers_dsp import dense
from tests.schedules.layers_rvv import convolution, depthwise, int8_values
from tests.schedules.test_add_rvv import all_pairs, attributes
from tests.schedules.test_conv2d_mve import TARGET, ways
from tests.schedules.test_elementwise_mve import pooling
from tests.schedules.test_pairs_scalar import product_attributes
from tests.schedules.test_planes_mve import assert_pairs_exact, pair
from tests.support.layers import LayerCase, assert_layers_exact
from tests.support.rules import ask_only


@pytest.fixture
def unbound(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Schedules that bind nothing; what they remember is forgotten before and after."""
    forget()
    monkeypatch.setattr(Schedule, "tensorize", lambda *_arguments, **_options: None)
    yield
    forget()


def forget() -> None:
    """Empty the caches of all MVE schedules."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tvm_tinyml.schedules.") and name.endswith("_mve"):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def test_layers_of_descriptions_are_exact(unbound: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only(monkeypatch, "mve")
    generator = np.random.default_rng(8)
    a, b = all_pairs()
    cases = [case for case, _ in ways(generator)]
    cases += [
        convolution(generator, (9, 9, 5), 6, (3, 3), dilation=(2, 2)),
        depthwise(generator, (12, 12, 9), (3, 3), strides=(2, 2)),
        depthwise(generator, (30, 27, 8), (3, 3)),
        depthwise(generator, (7, 7, 5), (3, 3), multiplier=3),
        depthwise(generator, (15, 1, 9), (15, 1), same=False),
        dense(generator, 1, 50, 20, "away"),
        dense(generator, 5, 40, 12, "double"),
        LayerCase("add", (a[:500], b[:500]), attributes(generator), 2),
        LayerCase("sub", (a[:60].reshape(3, 4, 5), b[:15].reshape(3, 1, 5)), attributes(generator), 2),
        LayerCase("mul", (a[:60].reshape(3, 4, 5), b[:5]), product_attributes(generator, "double"), 2),
        LayerCase("minimum", (a[:60].reshape(3, 20), b[:3].reshape(3, 1)), {}, 2),
        LayerCase(
            "quantize", (np.linspace(-200, 200, 99, dtype=np.float32),), {"dtype": "int8", "scale": 1.0}
        ),
        pooling("avg_pool2d", int8_values(generator, (1, 6, 7, 19)), (2, 3), (2, 2)),
        pooling("max_pool2d", int8_values(generator, (1, 6, 7, 37)), (2, 3), (2, 2)),
    ]
    module = assert_layers_exact(cases, TARGET)
    assert all(layer.schedule.startswith("mve") for layer in module.compiled.model.layers)


def test_planes_of_descriptions_are_exact(unbound: None) -> None:
    generator = np.random.default_rng(9)
    module = assert_pairs_exact(
        [
            pair(generator, (6, 9, 16), 11, (3, 3)),
            pair(generator, (9, 9, 3), 8, (5, 5), strides=(2, 2), window=(3, 3), rows=(2, 2)),
        ]
    )
    assert all(region.planes for region in module.compiled.model.regions)
