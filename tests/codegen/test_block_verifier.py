"""Blocks of streamed regions: those that are broken on purpose are refused, and they do lose rows when they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.patch.streamed import named
from tests.transform.building import ModuleBuilder, random_inputs
from tvm_tinyml import pipeline, relay
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import PatchPlan, Region, Segment
from tvm_tinyml.patch.block import Placed
from tvm_tinyml.patch.workspace import Workspace

pytestmark = pytest.mark.usefixtures("compiles_anew")

TARGET = "tinyml -mcpu=host"
NAMES = tuple(f"depthwise_conv2d_{number}" for number in range(7))
SIZE, CHANNELS = 24, 8
ROW = SIZE * CHANNELS
Change = Callable[[Placed], Placed]


@pytest.fixture(scope="module")
def module() -> Any:
    builder = ModuleBuilder()
    below = builder.parameter(1, SIZE, SIZE, CHANNELS)
    for _ in NAMES:
        below = builder.conv2d(below, depthwise=True, padding=(1, 1, 1, 1))
    return named(builder, [below])


@pytest.fixture
def plan() -> PatchPlan:
    """One region with a segment; of its line buffers some settle and some rise."""
    alone = (*NAMES[:2], *NAMES[4:])
    settling = (NAMES[0], *NAMES[4:6])
    region = Region(NAMES, SIZE, dict.fromkeys(alone, 1), (Segment(NAMES[2:4], 2, 1),), settling)
    return PatchPlan(NAMES, (region,))


def unchanged(placed: Placed) -> Placed:
    return placed


def nothing_settles(placed: Placed) -> Placed:
    return placed._replace(settled=frozenset())


def nothing_rises(placed: Placed) -> Placed:
    return placed._replace(raised=frozenset())


def a_row_down(ending: str) -> Change:
    """The buffer whose name ends like that lies a row lower."""

    def change(placed: Placed) -> Placed:
        (name,) = (one for one in placed.offsets if one.rpartition("region_0")[2] == ending)
        return placed._replace(offsets={**placed.offsets, name: placed.offsets[name] - ROW})

    return change


def build(monkeypatch: pytest.MonkeyPatch, module: Any, plan: PatchPlan, change: Change) -> relay.AOTModule:
    place = Workspace.place
    monkeypatch.setattr(Workspace, "place", lambda self, alignment: change(place(self, alignment)))
    return relay.build(module, target=TARGET, patch=plan)


BROKEN = [
    nothing_settles,
    nothing_rises,
    a_row_down("t1"),
    a_row_down("t3"),
    a_row_down("t5"),
    a_row_down(".0.x0"),
    a_row_down("_segment_0.0.t1"),
]


@pytest.mark.parametrize("change", BROKEN)
def test_rows_that_would_be_lost_are_reported(
    monkeypatch: pytest.MonkeyPatch, module: Any, plan: PatchPlan, change: Change
) -> None:
    with pytest.raises(PlanError, match=r"region to 'depthwise_conv2d_6'.* (stored|outside of its block)$"):
        build(monkeypatch, module, plan, change)


@pytest.mark.parametrize("change", [unchanged, *BROKEN])
def test_refused_blocks_compute_something_else(
    monkeypatch: pytest.MonkeyPatch, module: Any, plan: PatchPlan, change: Change
) -> None:
    inputs = random_inputs(module, seed=1)
    plain = relay.build(module, target=f"{TARGET} -without=PatchInference").run(inputs).outputs[0]
    monkeypatch.setattr(pipeline, "verify_block", lambda region, plan: None)
    built = build(monkeypatch, module, plan, change)
    is_exact = np.array_equal(built.run(inputs).outputs[0], plain)
    assert is_exact == (change is unchanged)
