"""Streamed regions whose output lies over their input: plans broken on purpose are caught, and those only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.memory.test_aliased_plans import is_correct
from tests.patch.streamed import plan_for
from tests.transform.building import ModuleBuilder
from tvm_tinyml import relay
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import MemoryPlan
from tvm_tinyml.module import AOTModule
from tvm_tinyml.patch import overwriting
from tvm_tinyml.patch.verifier import verify_region

TARGET = "tinyml -mcpu=host"
ROW = 32
HEIGHT = 12


def network() -> Any:
    """A convolution that needs a row above and one below; all rows have ROW bytes."""
    build = ModuleBuilder()
    return build.module(build.conv2d(build.parameter(1, HEIGHT, 8, 4), kernel=3, padding=(1, 1, 1, 1)))


@pytest.fixture(scope="module")
def built() -> AOTModule:
    """The convolution row by row."""
    module = network()
    return relay.build(module, target=TARGET, patch=plan_for(module, TARGET, (0, 0)))


def placed(built: AOTModule, distance: int) -> MemoryPlan:
    """The plan with the output of the region `distance` bytes below its input, and nothing else near them."""
    plan, (region,) = built.compiled.plan, built.compiled.model.regions
    (source,) = region.shape.inputs
    end = (HEIGHT + 4) * ROW
    offsets = {name: end for name in plan.offsets} | {
        source: 4 * ROW,
        region.shape.output: 4 * ROW - distance,
    }
    scratch = {name: end + HEIGHT * ROW for name in plan.scratch_offsets}
    return replace(
        plan, offsets=offsets, scratch_offsets=scratch, arena_bytes=4 * end, lower_bound=0, optimal=False
    )


def is_accepted(built: AOTModule, plan: MemoryPlan) -> bool:
    (region,) = built.compiled.model.regions
    try:
        verify_region(region.shape, region.buffers, plan)
    except PlanError:
        return False
    return True


def test_the_rows_that_windows_need_again_are_the_least_distance(built: AOTModule) -> None:
    accepted = [
        distance for distance in range(0, 4 * ROW + 1, 16) if is_accepted(built, placed(built, distance))
    ]
    assert accepted == list(range(2 * ROW, 4 * ROW + 1, 16))


def test_accepted_plans_compute_correctly_and_refused_ones_do_not(built: AOTModule) -> None:
    assert is_correct(built, placed(built, 2 * ROW))
    assert not is_correct(built, placed(built, ROW))


def test_a_distance_that_is_a_row_short_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tvm_tinyml.codegen.streaming.overwrite_distance",
        lambda *arguments: overwriting.overwrite_distance(*arguments) - ROW,
    )
    module = network()
    with pytest.raises(
        PlanError, match=r"conv2d_0.* reads 'x0', its rows .* after the region has written over it"
    ):
        relay.build(module, target=TARGET, patch=plan_for(module, TARGET, (0, 0)))


def test_a_workspace_on_an_input_is_caught(built: AOTModule) -> None:
    plan, (region,) = placed(built, 2 * ROW), built.compiled.model.regions
    (source,) = region.shape.inputs
    scratch = dict.fromkeys(plan.scratch_offsets, plan.offsets[source] + ROW)
    assert not is_accepted(built, replace(plan, scratch_offsets=scratch))
