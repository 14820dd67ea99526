"""Packed pairs of activations on emulated RV32: equal to the dialect for all weights, zero points, shifts and shapes.

A multiplication makes two products of sixteen bits each, of which four are added where the weights allow it, so large
weights and the sums at the edge of sixteen bits are what could go wrong.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tvm.s_tir import Schedule

from tests.schedules.layers_dsp import extreme, random_rounding
from tests.schedules.layers_rvv import convolution
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml import schedules
from tvm_tinyml.schedules import pointwise_packed
from tvm_tinyml.schedules.intrinsics.packed import LARGEST_SUM, fits, runs_of

TARGET = "tinyml -mcpu=rv32imc -opt=speed"
RULE = "scalar packed pointwise"


@pytest.fixture
def packed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are packed whatever it costs, however many bytes tell their groups apart."""
    monkeypatch.setattr(pointwise_packed, "LARGEST_SHARE", 1.0)
    monkeypatch.setattr(schedules, "RULES", (pointwise_packed.schedule_pointwise_packed,))


def pixels(generator: np.random.Generator, rows: int, depth: int, channels: int, widest: int) -> LayerCase:
    """A 1x1 convolution with weights up to `widest`, a few of them at the ends of the range."""
    case = convolution(generator, (1, rows, depth), channels, (1, 1))
    weight = generator.integers(-widest, widest, case.arrays[1].shape, dtype=np.int8, endpoint=True)
    weight[generator.random(weight.shape) < 0.05] = generator.choice([-127, 127])
    points = {"input_zero_point": int(generator.choice([-128, 0, 127]))}
    case = replace(case, arrays=(case.arrays[0], weight, *case.arrays[2:]), attrs={**case.attrs, **points})
    return random_rounding(generator, case)


def random_pixels(generator: np.random.Generator) -> LayerCase:
    """Any number of pixels, products and channels left over, small and large weights."""
    rows = int(generator.integers(32, 48))
    depth, channels = int(generator.integers(1, 42)), int(generator.integers(4, 14))
    return pixels(generator, rows, depth, channels, int(generator.choice([0, 30, 64, 127])))


def assert_packed(cases: list[LayerCase], target: str) -> None:
    """All cases are packed, and exact."""
    module = assert_layers_exact(cases, target)
    assert {layer.schedule for layer in module.compiled.model.layers} == {RULE}


@pytest.mark.usefixtures("packed_only")
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_random_layers_are_exact(compiler: str) -> None:
    generator = np.random.default_rng(len(compiler))
    cases = [random_pixels(generator) for _ in range(10)]
    # More groups than a run counts, of both kinds.
    cases += [pixels(generator, 33, 600, 4, widest) for widest in (1, 127)]
    assert_packed(cases, f"{TARGET} -compiler={compiler}")


@pytest.mark.usefixtures("packed_only")
def test_extreme_sums_and_shifts_are_exact() -> None:
    generator = np.random.default_rng(4)
    cases = []
    for weight in (-127, 127, 63, -64):
        for data, shift in ((-128, -1), (127, -21)):
            cases.append(extreme(convolution(generator, (1, 32, 12), 4, (1, 1)), data, weight, shift))
    # Four products at the very edge of sixteen bits and one beyond: weights of 255 and 256 in sum, of one sign or two.
    held = [[127, 126, 1, 1], [-127, -126, -1, -1], [127, -126, 1, -1], [0, -127, -128, 0]]
    beyond = [[-64, -64, -64, -64], [64, 64, 64, 64], [127, 127, 1, 1], [-127, -127, -1, -1]]
    edges = np.array(held + beyond, np.int8)
    for data in (-128, 127):
        case = convolution(generator, (1, 32, 4), 8, (1, 1))
        arrays = (np.full_like(case.arrays[0], data), edges.reshape(case.arrays[1].shape), *case.arrays[2:])
        cases.append(replace(case, arrays=arrays))
    assert_packed(cases, TARGET)


@pytest.mark.usefixtures("packed_only")
def test_descriptions_say_what_the_dialect_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Schedule, "tensorize", lambda *_arguments, **_options: None)
    generator = np.random.default_rng(7)
    assert_packed([random_pixels(generator) for _ in range(4)], TARGET)


def test_runs_tell_every_group_in_order() -> None:
    generator = np.random.default_rng(1)
    for depth in (4, 40, 1000):
        for widest in (40, 64, 90, 127):
            weight = generator.integers(-widest, widest, (6, depth), dtype=np.int8, endpoint=True)
            sums = np.abs(weight.astype(int)).reshape(3, 2, -1, 4).sum(axis=3)
            together = (sums <= LARGEST_SUM).all(axis=1)
            told = [
                kind
                for run in runs_of(weight).tolist()
                for kind, count in ((True, run & 31), (False, run >> 5))
                for _ in range(count)
            ]
            assert told == together.ravel().tolist()


def test_pairs_that_sixteen_bits_do_not_hold_are_not_packed() -> None:
    generator = np.random.default_rng(6)
    case = convolution(generator, (1, 32, 8), 4, (1, 1))
    weight = np.full_like(case.arrays[1], -128)
    assert not fits(weight.reshape(4, 8))
    data = np.full_like(case.arrays[0], -128)
    module = assert_layers_exact([replace(case, arrays=(data, weight, *case.arrays[2:]))], TARGET)
    (layer,) = module.compiled.model.layers
    assert layer.schedule != RULE


def test_layers_are_packed_where_runs_are_few_and_pixels_many() -> None:
    generator = np.random.default_rng(8)
    small, large = (pixels(generator, 40, 64, 8, widest) for widest in (20, 127))
    few = pixels(generator, 16, 64, 8, 20)
    layers = build_layers([small, large, few], TARGET).compiled.model.layers
    by_name = {layer.name: layer.schedule == RULE for layer in layers}
    assert by_name == {"conv2d_0": True, "conv2d_1": False, "conv2d_2": False}


def test_instructions_are_fewer_than_those_of_products_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    case = pixels(np.random.default_rng(3), 48, 128, 32, 20)
    counts = []
    for least_rows in (32, 1000):
        monkeypatch.setattr(pointwise_packed, "LEAST_ROWS", least_rows)
        module = build_layers([case], TARGET)
        _, report = module.run([case.arrays[0]])
        counts.append(report.instructions)
    assert counts[0] < 0.87 * counts[1]
