"""Sums and maxima over pixels: equal to the dialect, as whole layers and as the end of a streamed region."""

from __future__ import annotations

import numpy as np
import pytest

from tests.patch.streamed import WHOLE, named, plan_for
from tests.support.layers import LayerCase, assert_layers_exact
from tests.transform.building import CLAMP, ModuleBuilder, random_inputs
from tvm_tinyml import relay
from tvm_tinyml.dialect.evaluate import evaluate

TARGETS = ("tinyml/cortex-m4", "tinyml/cortex-m55", "tinyml/cortex-m0")


def images() -> list[LayerCase]:
    """Channels that are multiples of nothing, more pixels than fit one run of a kernel, one column, extremes."""
    generator = np.random.default_rng(2)
    cases = []
    for shape in ((1, 5, 7, 19), (1, 1, 3, 4), (1, 9, 1, 3), (1, 20, 13, 4), (1, 2, 2, 33)):
        for extreme in (None, -128, 127) if shape[3] < 5 else (None,):
            data = generator.integers(-128, 128, shape).astype("int8")
            if extreme is not None:
                data[:] = extreme
            cases.append(LayerCase("sum_pixels", (data,), {"keepdims": True}))
            limits = {"clamp_min": -90, "clamp_max": 100} if shape[1] == 5 else CLAMP
            cases.append(LayerCase("max_pixels", (data,), {"keepdims": False, **limits}))
    return cases


@pytest.mark.parametrize("target", TARGETS)
def test_whole_images_are_exact(target: str) -> None:
    module = assert_layers_exact(images(), target)
    taken = {layer.schedule for layer in module.compiled.model.layers}
    own = {"tinyml/cortex-m4": {"dsp pixel sums"}, "tinyml/cortex-m55": {"mve pixel sums"}}
    assert own.get(target, set()) <= taken


def test_sums_of_sixteen_bits_hold_runs_of_pixels() -> None:
    cases = [
        LayerCase("sum_pixels", (np.full(shape, value, "int8"),), {"keepdims": True})
        for shape, value in (((1, 16, 16, 17), -128), ((1, 16, 16, 16), 127), ((1, 20, 14, 16), -128))
    ]
    assert_layers_exact(cases, "tinyml/cortex-m55")


@pytest.mark.parametrize("target", TARGETS)
def test_rows_and_strips_add_up(target: str) -> None:
    builder = ModuleBuilder()
    outputs, ends = [], []
    for channels in (18, 5):
        image = builder.parameter(1, 7, 9, channels)
        for name in ("sum_pixels", "max_pixels"):
            outputs.append(builder.call(name, image, keepdims=True, **CLAMP))
            ends.append(len(outputs) - 1)
    module = named(builder, outputs)
    inputs = random_inputs(module, 1)
    expected = evaluate(module, inputs).outputs
    # Three rows do not divide seven, nor four columns nine.
    plan = plan_for(module, target, *((end, end) for end in ends), rows=3, strip=WHOLE)
    strips = plan_for(module, target, *((end, end) for end in ends), rows=3, strip=4)
    mixed = type(plan)(plan.order, (*plan.regions[:2], *strips.regions[2:]))
    found = relay.build(module, target=target, patch=mixed).run(inputs).outputs
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
