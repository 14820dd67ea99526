"""Micro-kernels at the ends of everything: all candidates of a core's rules, extreme values, one run per core.

Every function of the product that makes micro-kernels belongs to one of the cores here, and must have made some of
those that ran, or to another test: a new one fails until a layer below meets it or that test is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from tests.schedules.layers_dsp import dense
from tests.schedules.layers_rvv import convolution, depthwise, int8_values
from tests.schedules.test_add_rvv import attributes
from tests.schedules.test_elementwise_mve import pooling
from tests.schedules.test_quantize_rvv import numbers
from tests.support.candidates import assert_every_candidate_exact, sample_of_rules, with_micro_kernels
from tests.support.extremes import extremes
from tests.support.layers import LayerCase
from tests.support.makers import makers, recorded_makers


@dataclass(frozen=True)
class Core:
    """A core, and where the makers of its micro-kernels are.

    makers: beginnings of the names of the makers.
    largest: bytes of the activations of a layer; all layers lie in the board's memory at once.
    sample: candidates of each rule that run.
    """

    name: str
    makers: tuple[str, ...]
    largest: int = 16384
    sample: int = 5


CORES = (
    Core("cortex-m0", ("thumb1", "scalar_memory", "long_copy"), largest=150),
    Core("cortex-m3", ("scalar",)),
)
# Makers whose micro-kernels have tests of their own with extreme values, and those.
ELSEWHERE = {
    "dsp/": "test_extremes_dsp.py",
    "mve/": "test_extremes_mve.py",
    "packed": "test_packed_rv32.py",
    "rvv/": "test_extremes_rvv.py",
}


def layers(generator: np.random.Generator) -> list[LayerCase]:
    """Every operator and geometry that has micro-kernels of its own."""
    a, b = int8_values(generator, (2, 3, 50))
    product = {
        "multiplier": 1300000000,
        "shift": -7,
        "rounding": "double",
        "clamp_min": -128,
        "clamp_max": 127,
    }
    product |= {"zero_point": 3, "a_zero_point": -5, "b_zero_point": 7}
    scaled = convolution(generator, (3, 4, 960), 6, (1, 1))
    scaled.arrays[1][...] //= 4
    return [
        convolution(generator, (3, 5, 8), 5, (1, 1)),
        convolution(generator, (4, 5, 3), 5, (3, 3)),
        depthwise(generator, (6, 7, 3), (3, 3)),
        dense(generator, 1, 20, 7, "double"),
        scaled,
        convolution(generator, (7, 9, 16), 6, (3, 3)),
        convolution(generator, (2, 4, 288), 6, (1, 1)),
        convolution(generator, (20, 5, 1), 12, (10, 4), strides=(2, 2)),
        convolution(generator, (12, 30, 16), 12, (3, 3)),
        convolution(generator, (5, 6, 7), 40, (3, 3)),
        depthwise(generator, (12, 12, 9), (3, 3), strides=(2, 2)),
        depthwise(generator, (30, 27, 8), (3, 3)),
        depthwise(generator, (5, 40, 6), (3, 3)),
        depthwise(generator, (7, 7, 5), (3, 3), multiplier=3),
        depthwise(generator, (15, 1, 9), (15, 1), same=False),
        depthwise(generator, (9, 5, 65), (3, 3)),
        dense(generator, 1, 130, 6, "away"),
        dense(generator, 3, 37, 5, "single"),
        LayerCase("add", (a, b), attributes(generator), 2),
        LayerCase("sub", (a, b), attributes(generator), 2),
        LayerCase("mul", (a, b), product, 2),
        LayerCase("maximum", (a, b), {}, 2),
        LayerCase("softmax", (a,), {"multiplier": 1300000000, "shift": 22, "diff_min": -496}),
        LayerCase("copy", (a.reshape(-1)[:49],), {}),
        LayerCase("quantize", (numbers(generator, 1.0, 97),), {"dtype": "int8", "scale": 1.0}),
        LayerCase("lookup", (a, int8_values(generator, (256,))), {"function": "any"}),
        pooling("avg_pool2d", int8_values(generator, (1, 6, 7, 19)), (2, 3), (2, 2)),
        pooling("max_pool2d", int8_values(generator, (1, 6, 7, 37)), (2, 3), (2, 2), clamp_min=-5),
    ]


def all_extremes(cases: list[LayerCase]) -> list[LayerCase]:
    """All cases at one extreme after the other, so that an even sample of them has layers and extremes of all kinds."""
    return [one for at_one in zip_longest(*map(extremes, cases)) for one in at_one if one is not None]


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_every_kind_of_micro_kernel_is_exact_at_the_extremes(core: Core) -> None:
    fitting = [one for one in layers(np.random.default_rng(1)) if one.arrays[0].nbytes <= core.largest]
    cases = all_extremes(fitting)
    with recorded_makers() as made:
        module = assert_every_candidate_exact(
            cases,
            f"tinyml -mcpu={core.name}",
            lambda offers: sample_of_rules(with_micro_kernels(offers), core.sample),
        )
    ran = {maker for name in module.compiled.model.micro_kernels for maker in made[name]}
    assert {maker for maker in makers().values() if maker.startswith(core.makers)} - ran == set()


def test_every_maker_belongs_to_a_test() -> None:
    known = (*(name for core in CORES for name in core.makers), *ELSEWHERE)
    assert [maker for maker in makers().values() if not maker.startswith(known)] == []
    assert all("extreme" in (Path(__file__).parent / file).read_text() for file in ELSEWHERE.values())
