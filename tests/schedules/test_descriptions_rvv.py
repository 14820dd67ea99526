"""The descriptions of RVV micro-kernels mean what the dialect means, too: layers run without any micro-kernel bound.

The other tests compare the bound micro-kernels with the same semantics, so a kernel and its description agree.
"""

from __future__ import annotations

import numpy as np
import pytest
from tvm.s_tir import Schedule

from tests.schedules.layers_rvv import TARGET, convolution, depthwise
from tests.schedules.test_add_rvv import all_pairs, attributes, without_lines
from tests.schedules.test_dense_rvv import dense
from tests.schedules.test_quantize_rvv import numbers
from tests.schedules.weightless_rvv import weightless
from tests.support.layers import LayerCase, assert_layers_exact
from tests.support.rules import ask_only


def test_layers_of_descriptions_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    without_lines(monkeypatch)
    ask_only(monkeypatch, "rvv")
    monkeypatch.setattr(Schedule, "tensorize", lambda *_arguments, **_options: None)
    generator = np.random.default_rng(8)
    a, b = all_pairs()
    cases = [
        convolution(generator, (5, 6, 7), 70, (3, 3)),
        convolution(generator, (5, 6, 7), 21, (3, 2), dilation=(2, 2)),
        convolution(generator, (9, 20, 3), 8, (3, 3), strides=(2, 2)),
        convolution(generator, (12, 30, 16), 12, (3, 3)),
        convolution(generator, (8, 8, 12), 9, (1, 1)),
        depthwise(generator, (9, 5, 65), (3, 3)),
        depthwise(generator, (9, 90, 33), (5, 3), strides=(2, 1)),
        depthwise(generator, (7, 7, 8), (3, 3)),
        depthwise(generator, (7, 9, 6), (3, 3), multiplier=3),
        dense(generator, 2, 50, 70, "away"),
        dense(generator, 1, 40, 12, "single"),
        LayerCase("quantize", (numbers(generator, 1.0, 20),), {"dtype": "int8", "scale": 1.0}),
        LayerCase("add", (a[:500], b[:500]), attributes(generator), 2),
        *weightless(generator, 8),
    ]
    assert_layers_exact(cases, TARGET)
