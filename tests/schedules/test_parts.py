"""What cost models tell apart adds up to their estimates, and follows the geometry of layers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import dense
from tests.schedules.layers_rvv import convolution, depthwise
from tests.support.layers import module_of
from tvm_tinyml.lower import Lowering
from tvm_tinyml.schedules import Candidate, Parts
from tvm_tinyml.target import parse_target

CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55", "rv32imc", "rv32imcv")


def offered(core: str) -> dict[str, list[Candidate]]:
    """The candidates of layers of every class with multiply-accumulates, by layer."""
    generator = np.random.default_rng(4)
    cases = {
        "window": convolution(generator, (9, 9, 16), 8, (3, 3)),
        "shallow": convolution(generator, (10, 10, 3), 8, (3, 3)),
        "pointwise": convolution(generator, (6, 6, 32), 32, (1, 1)),
        "depthwise": depthwise(generator, (8, 8, 16), (3, 3)),
        "strided": depthwise(generator, (8, 8, 16), (3, 3), strides=(2, 2)),
        "dense": dense(generator, 1, 64, 16, "double"),
    }
    lowering = Lowering(module_of(list(cases.values())), parse_target(f"tinyml -mcpu={core}"))
    names = {f"{case.name}_{index}": layer for index, (layer, case) in enumerate(cases.items())}
    found = zip(lowering.outline.layers, lowering.candidates, strict=True)
    return {names[layer.name]: list(candidates) for layer, candidates in found}


@pytest.mark.parametrize("core", CORES)
def test_parts_add_up_to_the_estimate(core: str) -> None:
    for layer, candidates in offered(core).items():
        known = [(one.parts, one) for one in candidates if one.parts is not None]
        for parts, candidate in known:
            assert parts.total == pytest.approx(candidate.instructions), (layer, candidate.rule)
            assert min(parts.products, parts.outputs, parts.copies, parts.calls) >= 0, (layer, candidate.rule)
            assert parts.products > 0, (layer, candidate.rule)
        if layer in ("depthwise", "strided"):
            # All of their cost models tell the parts apart.
            assert len(known) >= len(candidates) - 1, [one.rule for one in candidates]


def test_estimates_of_calls_scale_with_their_parts() -> None:
    one = Candidate("rule", 12.0, build=NotImplemented, parts=Parts(6.0, 3.0, 2.0, 1.0))
    assert one.called(3).parts == Parts(18.0, 9.0, 6.0, 3.0)
    assert one.called(3).instructions == 36.0
    assert Candidate("rule", 12.0, build=NotImplemented).called(2).parts is None
