"""Dense layers on Cortex-M4: equal to the dialect for any size, by descriptions and by micro-kernels, and cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import ROUNDINGS, TARGET, dense, describe_only, schedules_of
from tests.schedules.layers_rvv import convolution
from tests.support.layers import LayerCase, assert_layers_exact, build_layers


def vectors(generator: np.random.Generator, rounding: str) -> list[LayerCase]:
    """Scaled and plain, whole and broken groups of four, up to four rows and more; several vectors."""
    cases = [
        dense(generator, 1, 64, 10, rounding),
        dense(generator, 1, 33, 3, rounding),
        dense(generator, 1, 70, 1, rounding),
        dense(generator, 1, 130, 6, rounding),
        dense(generator, 3, 37, 5, rounding),
    ]
    cases[3].arrays[1][0, 0] = -128
    return cases


@pytest.mark.parametrize("seed", range(2))
def test_random_dense_layers_are_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cases = [
        dense(
            generator,
            int(generator.choice([1, 1, 1, 2, 5])),
            int(generator.integers(1, 200)),
            int(generator.integers(1, 20)),
            ROUNDINGS[index % 3],
            widest=int(generator.choice([20, 127])),
        )
        for index in range(15)
    ]
    assert_layers_exact(cases, TARGET)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_form_and_rounding_is_exact(compiler: str) -> None:
    generator = np.random.default_rng(5)
    cases = [case for rounding in ROUNDINGS for case in vectors(generator, rounding)]
    module = assert_layers_exact(cases, f"{TARGET} -compiler={compiler}")
    forms = ["dsp scaled dense", "dsp scaled dense", "dsp scaled dense", "dsp dense"]
    rules = schedules_of(module)
    for first in range(0, len(rules), 5):
        assert rules[first : first + 4] == forms
        # Several vectors are a convolution; where their weights lie, the selection decides.
        assert rules[first + 4].endswith(("strips", "panel"))


def test_a_convolution_of_one_pixel_is_a_dense_layer() -> None:
    generator = np.random.default_rng(9)
    cases = [
        convolution(generator, (1, 1, 128), 32, (1, 1)),
        convolution(generator, (3, 4, 7), 6, (3, 4), same=False),
    ]
    module = assert_layers_exact(cases, TARGET)
    assert all("dense" in layer.schedule for layer in module.compiled.model.layers)


def test_little_code_is_exact() -> None:
    generator = np.random.default_rng(12)
    assert_layers_exact(
        [case for rounding in ROUNDINGS for case in vectors(generator, rounding)], f"{TARGET} -opt=size"
    )


def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    describe_only(monkeypatch)
    generator = np.random.default_rng(7)
    assert_layers_exact(vectors(generator, "away"), TARGET)


@pytest.mark.parametrize(
    ("depth", "channels", "per_product"), [(640, 128, 1.0), (128, 128, 1.1), (256, 2, 2.0)]
)
def test_instructions_per_product(depth: int, channels: int, per_product: float) -> None:
    case = dense(np.random.default_rng(0), 1, depth, channels, "away", widest=60)
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    assert report.layers[0].instructions <= per_product * module.compiled.model.layers[0].macs
