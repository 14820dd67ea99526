"""MobileNetV2 of width 0.35 for 144 x 144 pixels, residuals included, in a few kilobytes by plans that were found."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.patch.networks import network
from tests.patch.streamed import calls, cleaned
from tests.support.mobilenet import mobilenet_v2
from tests.support.oracle import random_inputs, require_oracle, run_reference
from tvm_tinyml import frontend, relay
from tvm_tinyml.patch import PatchPlan, Region, Segment
from tvm_tinyml.patch.footprint import footprint
from tvm_tinyml.pipeline import plan_settings
from tvm_tinyml.target import parse_target

TARGET = "tinyml -mcpu=host -input=rows"

# First and last call, strip; segments with first and last call, rows and rows of the first band.
TAIL = [(24, 26, 9), (28, 30, 9), (32, 34, 9), (36, 38, 9)]
END = [(50, 52, 5), (54, 56, 5), (58, 60, 5), (61, 62, 1)]
PLANS: dict[tuple[int, float], list[tuple[Any, ...]]] = {
    (13200, 1.1): [
        (0, 5, 4),
        (6, 9, 36, (6, 9, 4, 4)),
        (10, 12, 18, (10, 12, 2, 2)),
        *((13, 16, 18), (17, 20, 18), (21, 23, 9), *TAIL, (39, 41, 9), (43, 45, 9), (47, 48, 5), *END),
    ],
    (10400, 1.3): [
        (0, 12, 6, (1, 2, 1, 1), (3, 5, 1, 1), (6, 9, 3, 3), (10, 12, 1, 1)),
        (13, 16, 18, (13, 16, 3, 3)),
        (17, 20, 18, (17, 20, 6, 6)),
        *((21, 23, 3), *TAIL, (39, 42, 9), (43, 46, 9), (47, 49, 5), *END),
    ],
    (9600, 1.6): [
        (0, 12, 3, (1, 2, 1, 1), (3, 5, 2, 2), (6, 9, 3, 3), (10, 12, 2, 2)),
        (13, 16, 18, (13, 16, 3, 3)),
        (17, 20, 18, (17, 20, 3, 3)),
        (21, 23, 9, (21, 23, 3, 3)),
        *(*TAIL, (39, 41, 3), (43, 45, 3), (47, 49, 5), *END),
    ],
}


@cache
def model() -> bytes:
    return mobilenet_v2(0.35, 144)


def plan_of(order: tuple[str, ...], described: list[tuple[Any, ...]]) -> PatchPlan:
    regions = []
    for first, last, strip, *bands in described:
        segments = tuple(Segment(order[one : end + 1], rows, lead) for one, end, rows, lead in bands)
        inside = {name for segment in segments for name in segment.operators}
        names = order[first : last + 1]
        regions.append(Region(names, strip, {name: 1 for name in names if name not in inside}, segments))
    return PatchPlan(order, tuple(regions))


def test_plans_need_few_bytes_for_little_work() -> None:
    module = cleaned(frontend.from_tflite(model())[0], TARGET)
    net, order = network(module), tuple(calls(module))
    settings = plan_settings(net, parse_target(TARGET))
    for (nbytes, work), described in PLANS.items():
        found = footprint(net, plan_of(order, described), settings)
        assert found.arena_bytes <= nbytes
        assert found.factor <= work


@pytest.mark.slow
def test_the_smallest_plan_is_exact() -> None:
    require_oracle()
    module, _ = frontend.from_tflite(model())
    order = tuple(calls(cleaned(module, TARGET)))
    inputs = random_inputs(model(), 0)
    built = relay.build(module, target=TARGET, patch=plan_of(order, PLANS[9600, 1.6]))
    assert built.metadata["memory"]["without_scratch_bytes"] <= 9600
    expected = run_reference(model(), inputs).outputs
    for value, reference in zip(built.run(inputs).outputs, expected, strict=True):
        np.testing.assert_array_equal(value, reference)
