"""Streamed regions equal the plain model, on the host and on emulated cores, for hand-made plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.patch.networks import modules
from tests.patch.streamed import WHOLE, calls, cleaned, named, plan_for
from tests.transform.building import ModuleBuilder, random_inputs
from tvm_tinyml import relay
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.dialect.fixed_point import quantize_multiplier
from tvm_tinyml.dialect.reduce import mean_scaling
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import MemoryPlan, Program, plan
from tvm_tinyml.patch import PatchPlan, Region, Segment
from tvm_tinyml.pipeline import patch_front
from tvm_tinyml.target import parse_target
from tvm_tinyml.transform import PatchInference, plan_of

DIGITS = Path(__file__).resolve().parents[1] / "models" / "digits.tflite"
HOST = "tinyml -mcpu=host"


@pytest.fixture(scope="module")
def digits() -> Any:
    return relay.frontend.from_tflite(DIGITS)[0]


@pytest.fixture(scope="module")
def golden() -> tuple[Any, Any]:
    with np.load(DIGITS.parent / "digits_golden.npz") as archive:
        return archive["images"][3:4], archive["outputs"][3:4]


@pytest.mark.parametrize(("rows", "strip"), [(1, WHOLE), (3, WHOLE), (2, 3)])
def test_a_region_with_residuals_keeps_every_output(
    digits: Any, golden: tuple[Any, Any], rows: int, strip: int
) -> None:
    plan = plan_for(digits, HOST, (0, 8), (12, 16), (20, 23), rows=rows, strip=strip)
    built = relay.build(digits, target=HOST, patch=plan)
    np.testing.assert_array_equal(built.run(golden[0]).outputs[0], golden[1])
    # What is left in memory holds what it held before.
    ours, plain = built.tensors(golden[0]), relay.build(digits, target=HOST).tensors(golden[0])
    inside = {layer.output for region in built.compiled.model.regions for layer in region.layers[:-1]}
    sums = {layer.output for layer in built.compiled.model.layers if layer.operator == "sum_pixels"}
    assert ours.keys() == (plain.keys() - inside) | sums
    assert len(sums) == 1
    for name in plain.keys() - inside:
        np.testing.assert_array_equal(ours[name], plain[name], err_msg=name)


@pytest.mark.parametrize("target", ["tinyml/cortex-m4", "tinyml/cortex-m55", "tinyml/cortex-m0"])
def test_emulated_cores_agree_and_count_every_layer(
    digits: Any, golden: tuple[Any, Any], target: str
) -> None:
    strip = 4 if target == "tinyml/cortex-m4" else WHOLE
    plan = plan_for(digits, target, (0, 5), (20, 23), rows=2, strip=strip)
    outputs, report = relay.build(digits, target=target, patch=plan).run(golden[0])
    np.testing.assert_array_equal(outputs[0], golden[1])
    assert [layer.name for layer in report.layers] == list(plan.order)
    assert all(layer.instructions > 0 for layer in report.layers)
    assert sum(layer.instructions for layer in report.layers) + report.prologue_instructions == (
        report.instructions
    )


@pytest.mark.parametrize("target", ["tinyml/cortex-m4", "tinyml/rv32imc"])
def test_emulated_cores_make_bands_and_count_every_layer(
    digits: Any, golden: tuple[Any, Any], target: str
) -> None:
    order = plan_for(digits, target).order
    segments = (Segment(order[1:3], 2, 1), Segment(order[3:6], 4, 3, columns=3))
    region = Region(order[:6], 4 if target == "tinyml/cortex-m4" else WHOLE, {order[0]: 1}, segments)
    outputs, report = relay.build(digits, target=target, patch=PatchPlan(order, (region,))).run(golden[0])
    np.testing.assert_array_equal(outputs[0], golden[1])
    assert [layer.name for layer in report.layers] == list(order)
    assert all(layer.instructions > 0 for layer in report.layers)


@pytest.mark.parametrize("target", ["tinyml/cortex-m4", "tinyml/cortex-m55"])
def test_emulated_cores_move_pixels_of_any_size(target: str) -> None:
    builder, results = ModuleBuilder(), []
    depths = (1, 4, 2, 5, 3, 8, 12, 3, 16, 24, 32, 33)
    for depth in depths:
        value = builder.parameter(1, 7, 20, depth)
        for _ in range(4):
            value = builder.conv2d(value, depthwise=True, padding=(1, 1, 1, 1))
        results.append(value)
    module = named(builder, [builder.call("concat", *results, axis=3)])
    order = tuple(calls(cleaned(module, target)))
    regions = []
    for index in range(len(depths)):
        names = order[4 * index : 4 * index + 4]
        segments = (Segment(names[:2], 3, 2, 3 if index % 2 else 10), Segment(names[2:], 2, 2, columns=3))
        regions.append(Region(names, 4 if index % 2 else WHOLE, {}, segments))
    inputs = random_inputs(module, 3)
    (expected,) = evaluate(module, inputs).outputs
    built = relay.build(module, target=target, patch=PatchPlan(order, tuple(regions)))
    np.testing.assert_array_equal(built.run(inputs).outputs[0], expected)


@pytest.mark.parametrize("target", [HOST, "tinyml/cortex-m55"])
@pytest.mark.parametrize("strip", [WHOLE, 4])
def test_blocks_in_pieces_run_alike(
    digits: Any, golden: tuple[Any, Any], target: str, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_pieces(program: Program, **options: Any) -> tuple[Program, MemoryPlan]:
        return program.divided, plan(program.divided, **options)

    order = plan_for(digits, target).order
    segments = (Segment(order[1:3], 2, 1), Segment(order[3:6], 4, 3, columns=3))
    regions = (
        Region(order[:6], strip, {order[0]: 1}, segments),
        Region(order[6:9], strip, dict.fromkeys(order[6:9], 1)),
    )
    monkeypatch.setattr("tvm_tinyml.choose.plan_in_pieces", in_pieces)
    built = relay.build(digits, target=target, patch=PatchPlan(order, regions))
    assert all(len(region.pieces) > 1 for region in built.compiled.model.regions)
    np.testing.assert_array_equal(built.run(golden[0]).outputs[0], golden[1])


def test_neither_memory_nor_code_grows_with_the_rows() -> None:
    sizes = {}
    for height in (20, 80):
        builder = ModuleBuilder()
        value = builder.parameter(1, height, 12, 4)
        for _ in range(4):
            value = builder.conv2d(value, padding=(1, 1, 1, 1))
        module = named(builder, [value])
        # The default build streams these convolutions by itself.
        plain = relay.build(module, target="tinyml -mcpu=host -io=caller -without=PatchInference")
        plan = plan_for(module, HOST, (0, 3))
        ours = relay.build(module, target="tinyml -mcpu=host -io=caller", patch=plan)
        assert ours.compiled.plan.arena_bytes < 1000 < plain.compiled.plan.arena_bytes
        sizes[height] = len(ours.files["net.c"])
    assert abs(sizes[80] - sizes[20]) < 100


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_plans_of_the_search_run_in_the_memory_they_promise(
    digits: Any, golden: tuple[Any, Any], factor: float
) -> None:
    found = patch_front(digits, parse_target(HOST)).smallest(factor)
    built = relay.build(digits, target=HOST, patch=found.plan)
    np.testing.assert_array_equal(built.run(golden[0]).outputs[0], golden[1])
    assert built.metadata["memory"]["without_scratch_bytes"] == found.arena_bytes
    assert sum(region.shape.macs for region in built.compiled.model.regions) + sum(
        layer.macs for layer in built.compiled.model.layers if found.plan.region_of(layer.name) is None
    ) == round(found.factor * found.plain_macs)


def test_a_plan_reaches_the_build_as_a_pass_as_well(digits: Any, golden: tuple[Any, Any]) -> None:
    plan = plan_for(digits, HOST, (0, 2))
    module = PatchInference(plan)(cleaned(digits, HOST))
    built = relay.build(module, target=HOST)
    assert [layer.name for layer in built.compiled.model.regions[0].layers] == list(plan.order[:3])
    np.testing.assert_array_equal(built.run(golden[0]).outputs[0], golden[1])


def test_without_an_order_the_plan_takes_that_of_the_module(digits: Any, golden: tuple[Any, Any]) -> None:
    plan = plan_for(digits, HOST, (0, 2))
    built = relay.build(digits, target=HOST, patch=PatchPlan((), plan.regions))
    assert [layer.name for layer in built.compiled.model.regions[0].layers] == list(plan.order[:3])
    np.testing.assert_array_equal(built.run(golden[0]).outputs[0], golden[1])
    region = Region(("nowhere",), 1, {"nowhere": 1})
    with pytest.raises(PlanError, match="is not part of the order"):
        relay.build(digits, target=HOST, patch=PatchPlan((), (region,)))


def test_the_pass_searches_within_limits(digits: Any, golden: tuple[Any, Any]) -> None:
    module = cleaned(digits, HOST)
    front = patch_front(digits, parse_target(HOST))
    budget = front.plans[-1].arena_bytes + 100
    within, smallest = (
        tvm.transform.Sequential([PatchInference(settings=front.settings, **limits)])(module)
        for limits in ({"ram_budget": budget}, {"max_overhead": 0.0})
    )
    assert plan_of(within) == front.within(budget).plan
    assert plan_of(smallest) == front.smallest(1.0).plan
    built = relay.build(within, target=HOST)
    assert built.metadata["memory"]["without_scratch_bytes"] <= budget
    np.testing.assert_array_equal(built.run(golden[0]).outputs[0], golden[1])


def test_limits_of_the_pass_that_nothing_keeps_and_contradictions_are_refused(digits: Any) -> None:
    with pytest.raises(PlanError, match="no plan found needs at most 100 bytes"):
        PatchInference(ram_budget=100)(cleaned(digits, HOST))
    with pytest.raises(ValueError, match="pass a plan, or limits"):
        PatchInference()
    with pytest.raises(ValueError, match="pass a plan, or limits"):
        PatchInference(plan_for(digits, HOST, (0, 2)), ram_budget=4096)


def add(builder: ModuleBuilder, one: Any, other: Any) -> Any:
    """A sum of two tensors of the standard quantisation."""
    half, shift = quantize_multiplier(0.5)
    scales = {
        f"{side}_{key}": value for side in "ab" for key, value in (("multiplier", half), ("shift", shift))
    }
    zero_points = {"a_zero_point": -3, "b_zero_point": -3}
    multiplier, shift = quantize_multiplier(2.0 / (1 << 20))
    return builder.call(
        "add",
        one,
        other,
        **scales,
        **zero_points,
        left_shift=20,
        multiplier=multiplier,
        shift=shift,
        clamp_min=-128,
        clamp_max=127,
    )


def reduced(builder: ModuleBuilder, image: Any, name: str) -> Any:
    """The mean, the average or the maximum of all pixels."""
    _, height, width, _ = (int(extent) for extent in image.ty.shape)
    if name == "mean":
        multiplier, shift = mean_scaling(0.25, 0.05, height * width)
        scaling = {"multiplier": multiplier, "shift": shift, "input_zero_point": -3}
        return builder.call(name, image, axes=(1, 2), keepdims=False, **scaling)
    geometry = {"pool": (height, width), "strides": (1, 1), "padding": (0, 0, 0, 0)}
    return builder.call(name, image, **geometry, clamp_min=-100, clamp_max=90)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Any, PatchPlan]:
    """A chain of windows with residuals over an image of odd sizes, and a plan for a part of it."""
    builder = ModuleBuilder()
    values = [
        builder.parameter(1, draw(st.integers(7, 13)), draw(st.integers(7, 11)), draw(st.integers(1, 4)))
    ]
    for _ in range(draw(st.integers(2, 5))):
        source = values[-1]
        kernel = draw(st.integers(1, 3))
        strides = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 2)]))
        dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1)]))
        beside = st.integers(0, kernel - 1)
        padding = (draw(st.integers(0, 2)), draw(beside), draw(st.integers(0, 2)), draw(beside))
        kind = draw(st.sampled_from(["conv2d", "conv2d", "depthwise", "maximum", "add"]))
        try:
            if kind == "maximum":
                value = builder.max_pool2d(source, pool=(2, 2), strides=strides, padding=(1, 0, 1, 1))
            else:
                value = builder.conv2d(
                    source,
                    depthwise=kind == "depthwise",
                    kernel=kernel,
                    strides=strides,
                    dilation=dilation,
                    padding=padding,
                )
        except ValueError:
            # The window does not fit the image any more.
            continue
        equal = [other for other in values if other.ty.shape == value.ty.shape]
        if kind == "add" and equal:
            value = add(builder, equal[-1], value)
        values.append(value)
    if len(values) == 1:
        values.append(builder.max_pool2d(values[0]))
    reduction = draw(st.sampled_from(["none", "max_pool2d", "avg_pool2d", "mean"]))
    if reduction != "none":
        values.append(reduced(builder, values[-1], reduction))
    module = named(builder, [values[-1]])
    names = tuple(calls(cleaned(module, HOST)))
    first = draw(st.integers(0, len(names) - 1))
    # What finishes a sum comes after the region.
    inside = names[first:-1] if reduction in ("avg_pool2d", "mean") else names[first:]
    inside = inside or names[:1]
    # What takes in rows is no part of a segment.
    segments = draw(segments_of(inside if reduction == "none" else inside[:-1]))
    banded = {name for segment in segments for name in segment.operators}
    rows = {name: draw(st.sampled_from([1, 1, 2, 3])) for name in inside if name not in banded}
    settling = tuple(name for name in rows if draw(st.booleans()))
    region = Region(inside, draw(st.sampled_from([WHOLE, 1, 2, 3, 5])), rows, segments, settling)
    return module, PatchPlan(names, (region,))


@st.composite
def segments_of(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[Segment, ...]:
    """Some runs of the operators, as bands."""
    segments, begin = [], 0
    while begin < len(names):
        end = draw(st.integers(begin + 1, len(names)))
        if draw(st.booleans()):
            rows = draw(st.integers(1, 5))
            lead, columns = draw(st.integers(1, rows)), draw(st.sampled_from([1, 2, 3, 4]))
            segments.append(Segment(names[begin:end], rows, lead, columns))
        begin = end
    return tuple(segments)


@given(networks())
@settings(max_examples=16, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_networks_equal_the_plain_model(case: tuple[Any, PatchPlan]) -> None:
    module, plan = case
    try:
        built = relay.build(module, target=HOST, patch=plan)
    except PlanError:
        # Readers that pad with different values, or a part with two results.
        return
    inputs = random_inputs(module, 7)
    (expected,) = evaluate(module, inputs).outputs
    np.testing.assert_array_equal(built.run(inputs).outputs[0], expected)


@pytest.mark.parametrize(("padding", "rows"), [((0, 0, 1, 0), 2), ((2, 0, 0, 0), 1), ((3, 0, 2, 0), 2)])
def test_padding_that_windows_read_by_itself_is_exact(padding: tuple[int, ...], rows: int) -> None:
    builder = ModuleBuilder()
    first = builder.conv2d(builder.parameter(1, 7, 7, 1), kernel=1)
    module = named(builder, [builder.conv2d(first, kernel=1, padding=padding)])
    built = relay.build(module, target=HOST, patch=plan_for(module, HOST, (0, 1), rows=rows))
    inputs = random_inputs(module, 7)
    np.testing.assert_array_equal(built.run(inputs).outputs[0], evaluate(module, inputs).outputs[0])


def test_an_operator_may_read_the_same_rows_twice() -> None:
    builder = ModuleBuilder()
    value = builder.conv2d(builder.parameter(1, 8, 7, 3), padding=(1, 1, 1, 1))
    module = named(builder, [builder.conv2d(builder.call("maximum", value, value))])
    inputs = random_inputs(module, 7)
    for strip in (WHOLE, 2):
        built = relay.build(module, target=HOST, patch=plan_for(module, HOST, (0, 2), strip=strip))
        np.testing.assert_array_equal(built.run(inputs).outputs[0], evaluate(module, inputs).outputs[0])


def test_what_cannot_be_streamed_is_refused_in_words(digits: Any) -> None:
    order = plan_for(digits, HOST).order
    for operators, rows, message in (
        (order[2:5], 1, "is read by"),
        (order[-2:], 1, "makes no image"),
    ):
        plan = PatchPlan(order, (Region(operators, WHOLE, dict.fromkeys(operators, rows)),))
        with pytest.raises(PlanError, match=message):
            relay.build(digits, target=HOST, patch=plan)
    with pytest.raises(PlanError, match="made for another module"):
        relay.build(digits, target=HOST, patch=PatchPlan(order[1:]))


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(modules(most=4), st.sampled_from(["held", "rows", "tiles"]))
def test_plans_of_small_networks_take_no_more_memory_than_they_promise(module: Any, mode: str) -> None:
    """Rows of odd pitches among them, which kernels cannot read where they lie."""
    config = parse_target(f"tinyml -mcpu=host -input={mode}")
    try:
        front = patch_front(module, config)
    except PlanError:
        # Something reads the whole of an input that was to be fetched.
        return
    for found in front.plans[:: max(1, len(front.plans) // 4)]:
        built = relay.build(module, target=config, patch=found.plan)
        assert built.metadata["memory"]["without_scratch_bytes"] <= found.arena_bytes
