"""Functions on Cortex-M55 that layers of all sizes share, taken wherever a layer offers them: exact on every shape."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import dense, extreme, with_rounding
from tests.schedules.layers_rvv import convolution
from tests.schedules.test_depthwise_mve import TARGET, tiles
from tests.support.layers import LayerCase, assert_layers_exact
from tvm_tinyml.schedules import Candidate, Problem, candidates


def own_code(offer: Candidate) -> int:
    """Size of the sources that only layers of the same shape could use."""
    sources = [kernel.source for kernel in offer.micro_kernels()]
    return sum(len(source) for source in sources if not source.startswith("TINYML_SHARED"))


def most_shared(problem: Problem) -> list[Candidate]:
    """The offer with the least code of its own."""
    offers = [offer for offer in candidates(problem) if offer.rule.startswith("mve")]
    return [min(offers, key=own_code)]


def layers(generator: np.random.Generator) -> list[LayerCase]:
    """Depths with and without whole vectors and rests, groups with and without rests, every depthwise tile."""
    shapes = [(8, 5), (12, 2), (16, 4), (53, 5), (64, 7), (127, 2), (269, 3)]
    strips = [convolution(generator, (3, 3, depth), channels, (1, 1)) for depth, channels in shapes]
    strips.append(convolution(generator, (6, 6, 3), 6, (3, 3)))
    rows = [
        dense(generator, 1, depth, channels, "double") for depth, channels in ((7, 8), (50, 20), (64, 11))
    ]
    return [*strips, *rows, *tiles(generator)]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_shared_functions_are_exact(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvm_tinyml.lower.candidates", most_shared)
    generator = np.random.default_rng(11)
    roundings = ("double", "away") if compiler == "gcc" else ("away", "double")
    cases = [with_rounding(case, roundings[index % 2]) for index, case in enumerate(layers(generator))]
    for case in cases[::3]:
        case.attrs.update(zero_point=-100, clamp_min=-100, clamp_max=77)  # type: ignore[attr-defined]
    cases[1] = extreme(cases[1], -128, -127, -22)
    cases[-1] = extreme(cases[-1], 127, 127, -5)
    module = assert_layers_exact(cases, f"{TARGET} -compiler={compiler}")
    kernels = module.compiled.model.micro_kernels.items()
    # ADR counts from words; a function that is linked by itself would be aligned to two bytes only.
    assert all(".balign 4" in source for _, source in kernels if "adr" in source)
    shared = [name for name, source in kernels if source.startswith("TINYML_SHARED")]
    for form in ("deep_strip", "planes", "planes_few", "depthwise_by1", "depthwise_by2", "depthwise_5x5"):
        assert any(name.startswith(f"tinyml_mve_{form}") for name in shared), form
