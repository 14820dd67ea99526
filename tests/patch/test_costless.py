"""Streaming without need: what an estimate charges, which plan is taken or left, and what comes of it when it runs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import inf
from typing import Any

import numpy as np
import pytest

from tests.patch.networks import bottlenecks, network
from tests.patch.streamed import named
from tests.transform.building import ModuleBuilder, random_inputs
from tvm_tinyml import relay
from tvm_tinyml.choose import Estimate, LayerEstimate
from tvm_tinyml.costless import MOST_EXTRA, PRICE, SCALAR_PRICE, costless_plan, extra_instructions
from tvm_tinyml.memory.program import Program, Step, Tensor
from tvm_tinyml.patch import PatchPlan
from tvm_tinyml.patch.choice import PatchFront
from tvm_tinyml.patch.footprint import Settings
from tvm_tinyml.patch.search import pareto_front

PLAIN_BYTES = 40_000
CONV = LayerEstimate("conv2d", 10_000, 100, 900, streamed=False)
SOFT = LayerEstimate("softmax", inf, 10, 0, streamed=False)


def estimate(
    conv: LayerEstimate, soft: LayerEstimate, arena: int = PLAIN_BYTES, moving: float = 0
) -> Estimate:
    """A model of two layers in an arena of `arena` bytes."""
    tensors = (Tensor("x", arena, 4),)
    return Estimate(
        {"conv": conv, "soft": soft}, 0, moving, Program(tensors, (Step("s", ("x",), ()),), ("x",), ())
    )


PLAIN = estimate(CONV, SOFT)


def streamed(instructions: float, arena: int = 1000, moving: float = 0) -> Estimate:
    """The same with the convolution in a region."""
    return estimate(LayerEstimate("conv2d", instructions, 100, 900, streamed=True), SOFT, arena, moving)


def test_only_what_changes_is_charged() -> None:
    assert extra_instructions(PLAIN, PLAIN) == 0
    assert extra_instructions(PLAIN, streamed(10_200)) == pytest.approx(0.02)
    assert extra_instructions(PLAIN, streamed(10_000, moving=300)) == pytest.approx(0.03)


def test_what_has_no_estimate_is_charged_to_the_plan_alone() -> None:
    assert extra_instructions(PLAIN, streamed(inf)) > 0
    in_region = LayerEstimate("softmax", inf, 10, 0, streamed=True)
    assert extra_instructions(PLAIN, estimate(CONV, in_region)) > 0
    # A layer outside of regions that gets a worse schedule, because it may use less scratch.
    worse = LayerEstimate("conv2d", 11_000, 100, 900, streamed=False)
    assert extra_instructions(PLAIN, estimate(worse, SOFT)) == pytest.approx(0.1)
    # What is left of a layer that a region takes in another form, like a mean of which the sum is streamed.
    rest = LayerEstimate("scale_sum", 100, 10, 0, streamed=False)
    assert extra_instructions(PLAIN, estimate(rest, SOFT)) == pytest.approx(-0.99)


def test_layers_that_a_plan_computes_as_several_others_are_not_charged_twice() -> None:
    halves = {f"conv_{half}": LayerEstimate("conv2d", 5_100, 50, 450, streamed=False) for half in "ab"}
    split = replace(PLAIN, layers=halves | {"soft": SOFT})
    assert extra_instructions(PLAIN, split) == pytest.approx(0.02)


def test_the_plan_that_saves_the_most_for_what_it_costs_is_taken() -> None:
    net = network(bottlenecks(2))
    plans = pareto_front(net, Settings(), max_factor=1.0, bands=False)
    front = PatchFront(net, Settings(), tuple(plans), 1.0)
    tried: list[PatchPlan] = []

    def chosen(*costs: tuple[float, int], price: float = PRICE) -> int | None:
        """Number of the plan that is taken when plans add so much and need so many bytes, the last one and others."""
        tried.clear()

        def of_plan(plan: PatchPlan) -> Estimate:
            tried.append(plan)
            extra, arena = costs[min(len(tried), len(costs)) - 1]
            return streamed(10_000 * (1 + extra), arena)

        found = costless_plan(front, PLAIN, of_plan, price)
        return None if found is None else tried.index(found)

    nothing = (0.0, PLAIN_BYTES)
    assert chosen((0.01, 20_000), nothing) == 0
    assert chosen(nothing, (MOST_EXTRA * 0.9, 20_000), nothing) == 1
    assert chosen((MOST_EXTRA * 1.1, 20_000)) is None
    # Three percent of the instructions for one of the arena are too many, for half of it they are not.
    assert chosen((0.03, 20_000), (0.0, 20_200), nothing) == 1
    assert chosen((0.03, 10_000), (0.0, 20_000), nothing) == 0
    # What saves next to nothing is not worth its code.
    assert chosen((0.0, int(0.95 * PLAIN_BYTES))) is None
    # An eighth of the arena for one percent of the instructions; where those are dear they are worth more.
    assert chosen((0.01, int(0.875 * PLAIN_BYTES)), nothing, price=PRICE) == 0
    assert chosen((0.01, int(0.875 * PLAIN_BYTES)), nothing, price=SCALAR_PRICE) is None


def test_regions_that_save_nothing_are_left_out_again() -> None:
    net = network(bottlenecks(2))
    plans = pareto_front(net, Settings(), max_factor=1.0, bands=False)
    front = PatchFront(net, Settings(), tuple(plans), 1.0)
    kept = plans[-1].plan.regions[-1].operators[-1]

    def of_plan(plan: PatchPlan) -> Estimate:
        """Every operator of a region costs as much; only one of them is worth it."""
        saves = plan.region_of(kept) is not None
        count = sum(len(region.operators) for region in plan.regions)
        return streamed(10_000 * (1 + 0.001 * count), 20_000 if saves else PLAIN_BYTES)

    found = costless_plan(front, PLAIN, of_plan)
    assert found is not None
    assert [region.operators for region in found.regions] == [(kept,)]


@cache
def images() -> Any:
    """Two convolutions of an image and a maximum over parts of it."""
    builder = ModuleBuilder()
    value = builder.parameter(1, 64, 40, 1)
    for _ in range(2):
        value = builder.conv2d(value, padding=(1, 1, 1, 1))
    return named(builder, [builder.max_pool2d(value, pool=(8, 8), strides=(8, 8))])


@pytest.mark.parametrize("core", ["rv32imc", "cortex-m4"])
def test_the_default_build_streams_where_that_is_nearly_free(core: str) -> None:
    built = relay.build(images(), target=f"tinyml -mcpu={core}")
    plain = relay.build(images(), target=f"tinyml -mcpu={core} -without=PatchInference")
    assert built.compiled.model.regions
    assert not plain.compiled.model.regions
    assert built.compiled.plan.arena_bytes <= 0.9 * plain.compiled.plan.arena_bytes
    (image,) = random_inputs(images(), 3)
    found, report = built.run(image)
    expected, before = plain.run(image)
    np.testing.assert_array_equal(found[0], expected[0])
    assert report.instructions is not None
    assert before.instructions is not None
    assert report.instructions <= 1.05 * before.instructions


@pytest.mark.parametrize("option", ["-opt=size", "-ram=64K", "-flash=1M"])
def test_where_code_counts_or_a_budget_is_set_nothing_streams_without_need(option: str) -> None:
    assert not relay.build(images(), target=f"tinyml -mcpu=rv32imc {option}").compiled.model.regions
