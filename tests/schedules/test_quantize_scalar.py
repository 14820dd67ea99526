"""Integer quantize: equal to division in single precision on every kind of number, on cores without floating point."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.schedules.quantize import fit_quotient


def numbers() -> Array:
    """Random numbers, the neighbours of every half step, and everything special; the scale is 1."""
    generator = np.random.default_rng(1)
    half_steps = (np.arange(-300, 301) + 0.5).astype(np.float32)
    near = [np.nextafter(half_steps, np.float32(limit)) for limit in (-np.inf, np.inf)]
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-40, 3e38, -3e38], np.float32)
    wild = generator.integers(-(2**31), 2**31, 300).astype(np.int32).view(np.float32)
    return np.concatenate(
        [generator.normal(0, 100, 200).astype(np.float32), half_steps, *near, special, wild]
    )


def case(zero_point: int) -> LayerCase:
    return LayerCase("quantize", (numbers(),), {"scale": 1.0, "zero_point": zero_point, "dtype": "int8"})


def test_almost_every_scale_has_an_integer_form() -> None:
    scales = np.random.default_rng(3).uniform(1e-4, 2.0, 200)
    assert sum(fit_quotient(float(scale)) is not None for scale in scales) >= 180


@pytest.mark.parametrize("core", ["host", "rv32imc", "cortex-m3", "cortex-m4", "cortex-m0"])
def test_all_kinds_of_numbers_are_exact(core: str) -> None:
    # The board of Cortex-M0 has room for one.
    cases = [case(zero_point) for zero_point in ((3,) if core == "cortex-m0" else (-128, 3, 127))]
    module = assert_layers_exact(cases, f"tinyml -mcpu={core}")
    assert {layer.schedule for layer in module.compiled.model.layers} == {"integer quantize"}


@pytest.mark.parametrize(("core", "bound"), [("rv32imc", 30.0), ("cortex-m3", 34.0), ("cortex-m4", 28.0)])
def test_an_element_costs_few_instructions(core: str, bound: float) -> None:
    data = np.random.default_rng(4).normal(0, 64, 1024).astype(np.float32)
    module = build_layers(
        [LayerCase("quantize", (data,), {"scale": 1.0, "zero_point": 0, "dtype": "int8"})],
        f"tinyml -mcpu={core}",
    )
    _, report = module.run([data], profile=True)
    assert report.layers[0].instructions <= bound * 1024
