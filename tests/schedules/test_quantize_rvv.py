"""RVV quantize on the emulated core: equal to the dialect for every kind of number."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_rvv import TARGET
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import Array


def numbers(generator: np.random.Generator, scale: float, count: int) -> Array:
    """Numbers in and out of range, on and next to ties, and all special ones."""
    ties = ((generator.integers(-300, 300, count) + 0.5) * np.float32(scale)).astype(np.float32)
    patterns = generator.integers(-(2**31), 2**31, count, dtype=np.int64).astype(np.int32).view(np.float32)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e-45, 3e38, -3e38], np.float32)
    around = [ties, np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, np.float32(-np.inf))]
    spread = generator.normal(0, 100 * scale, count).astype(np.float32)
    return np.concatenate([*around, patterns, special, spread])


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_every_kind_of_number_is_exact(dtype: str) -> None:
    generator = np.random.default_rng(4)
    cases = []
    # The support module gives every layer the scale 1; zero points shift what is in range.
    for zero_point in (-128, -1, 0, 127) if dtype == "int8" else (0, 3, 255):
        attrs = {"zero_point": zero_point, "dtype": dtype}
        cases.append(LayerCase("quantize", (numbers(generator, 1.0, 97),), attrs | {"scale": 1.0}))
    module = assert_layers_exact(cases, TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"RVV quantize"}


@pytest.mark.parametrize("scale", [1.0, 0.0078125, 0.003921569, 17.3, 1e-30])
def test_thresholds_are_those_of_the_operator(scale: float) -> None:
    from tvm_tinyml.schedules.quantize_rvv import thresholds

    attrs = {"zero_point": -3, "dtype": "int8", "scale": scale}
    values = numbers(np.random.default_rng(5), scale, 500)
    values = np.where(np.isnan(values), np.float32(0), values)
    bits = values.view(np.int32)
    keys = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    counted = -128 + (thresholds(attrs)[None, :] <= keys[:, None]).sum(axis=1)
    np.testing.assert_array_equal(counted, operator("quantize").reference([values], attrs))


def test_instructions_per_element() -> None:
    data = np.zeros((80, 80, 3), np.float32)
    module = build_layers([LayerCase("quantize", (data,), {"dtype": "int8"})], TARGET)
    _, report = module.run([data], profile=True)
    assert report.layers[0].instructions <= 2.1 * data.size
