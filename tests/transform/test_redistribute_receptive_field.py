"""RedistributeReceptiveField: what is exact is done, what is not is proposed, and nothing that does not help."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.patch.streamed import named
from tests.transform.building import ModuleBuilder, assert_same_meaning, calls_of
from tvm_tinyml.dialect.relax_api import constant_value
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch.choice import PatchFront
from tvm_tinyml.patch.footprint import Settings
from tvm_tinyml.patch.patches import patched_stages
from tvm_tinyml.patch.receptive import receptive_field
from tvm_tinyml.transform import RedistributeReceptiveField
from tvm_tinyml.transform.dataflow import Graph
from tvm_tinyml.transform.kernels import Axis, Resize, axes, convolutions, growing, shrinking
from tvm_tinyml.transform.patch_network import network_of
from tvm_tinyml.transform.redistribute_receptive_field import proposal_for, proposed
from tvm_tinyml.transform.redistribution import resized
from tvm_tinyml.transform.strides import moves

SAME = (1, 1, 1, 1)


def staged() -> Any:
    """Two stages on an image of 16 x 16: patches pay in the first, kernels are cheap in the second."""
    build = ModuleBuilder()
    data = build.conv2d(build.parameter(1, 16, 16, 1), padding=SAME)
    for _ in range(2):
        data = build.conv2d(data, depthwise=True, padding=SAME)
        data = build.conv2d(data, strides=(2, 2), padding=SAME)
    return named(build, [build.conv2d(data, depthwise=True, padding=SAME)])


def deep() -> Any:
    """Three kernels, a stride behind them, and nothing that could grow."""
    build = ModuleBuilder()
    data = build.conv2d(build.parameter(1, 16, 16, 1), padding=SAME)
    for _ in range(2):
        data = build.conv2d(data, depthwise=True, padding=SAME)
    return named(build, [build.conv2d(data, kernel=1, strides=(2, 2))])


def budget(module: Any) -> int:
    """Bytes of the first plan that repeats work."""
    front = patched_stages(network(module), Settings())
    return next(one.arena_bytes for one in front.plans if one.factor > 1)


def network(module: Any) -> Any:
    return network_of(Graph.read(module["main"]))


def weights(module: Any) -> dict[str, Any]:
    return {attrs["name"]: constant_value(args[1]) for _, attrs, args in calls_of(module)}


def layers(module: Any) -> dict[str, Any]:
    return {call.attrs["name"]: call for call in convolutions(Graph.read(module["main"]))}


@settings(max_examples=20, deadline=None)
@given(
    st.booleans(),
    st.integers(1, 3),
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 3)] * 4),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_a_kernel_that_grows_computes_the_same(
    depthwise: bool, kernel: int, strides: Any, dilation: Any, padding: Any, more: Any
) -> None:
    build = ModuleBuilder()
    data = build.parameter(1, 9, 11, 4)
    attrs = {"strides": strides, "dilation": dilation, "padding": padding}
    before = named(build, [build.conv2d(data, depthwise=depthwise, kernel=kernel, **attrs)])
    (layer,) = layers(before)
    after = RedistributeReceptiveField([Resize(layer, (*more, *more))])(before)
    assert weights(after)[layer].shape[1:3] == tuple(kernel + 2 * one for one in more)
    assert proposed(after) == []
    assert_same_meaning(before, after)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(4, 20),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 2),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.integers(-2, 2), st.integers(-2, 2)),
)
def test_a_resized_axis_keeps_its_positions(
    extent: int, kernel: int, stride: int, dilation: int, padding: Any, taps: Any
) -> None:
    axis = Axis(extent, kernel, stride, dilation, *padding)
    if (kernel - 1) * dilation + 1 > extent + sum(padding):
        return
    found = axis.resized(*taps)
    if found is not None:
        assert found.output == axis.output
        # Tap `t` of the new kernel lies where tap `t - begin` of the old one lay.
        assert found.before - taps[0] * dilation == axis.before
        assert found.kernel == kernel + sum(taps) >= 1
        assert (found.before == found.after) or padding[0] != padding[1]


def test_taps_without_weight_are_cut_and_others_left_to_training() -> None:
    plain = staged()
    wanted = [Resize("depthwise_conv2d_1", (-1, -1, -1, -1)), Resize("conv2d_0", (-1, 0, -1, 0))]
    with pytest.raises(PlanError, match="another size"):
        RedistributeReceptiveField([Resize("conv2d_0", (-3, 0, 0, 0))])(plain)
    assert proposed(RedistributeReceptiveField(wanted[:1])(plain)) == wanted[:1]
    # A kernel that was grown can lose again what it got.
    larger = RedistributeReceptiveField([Resize("depthwise_conv2d_1", SAME)])(plain)
    smaller = RedistributeReceptiveField(wanted[:1])(larger)
    assert proposed(smaller) == []
    for name, found in weights(smaller).items():
        np.testing.assert_array_equal(found, weights(plain)[name])
    assert_same_meaning(plain, smaller)


def test_the_proposal_lowers_the_repeated_work_in_the_same_memory_and_keeps_the_receptive_field() -> None:
    module = staged()
    proposal = proposal_for(module, budget(module))
    before, after = proposal.before, proposal.after
    assert before.arena_bytes == budget(module)
    assert after.arena_bytes <= before.arena_bytes
    assert after.factor - 1 <= 0.4 * (before.factor - 1)
    assert after.macs < before.macs
    assert all(one <= other for one, other in zip(before.receptive_field, after.receptive_field, strict=True))
    assert after.halo < before.halo
    assert any(not change.grows for change in proposal.changes)
    rewritten = RedistributeReceptiveField(ram_budget=budget(module))(module)
    assert proposed(rewritten) == [change for change in proposal.changes if not change.grows]
    assert receptive_field(network(rewritten)) > receptive_field(network(module))
    assert_same_meaning(module, rewritten)


def test_strides_move_where_kernels_do_not_suffice_and_the_map_at_the_end_stays() -> None:
    module = deep()
    asked = budget(module)
    with pytest.raises(PlanError, match="later kernels cannot grow"):
        proposal_for(module, asked, strides="never")
    for found in (proposal_for(module, asked, strides=strides) for strides in ("last", "alike")):
        moved = {change.layer: change.strides for change in found.changes if change.strides}
        assert moved["conv2d_3"] == (1, 1)
        assert list(moved.values()) == [(1, 1), (2, 2)]
        assert found.after.factor == 1.0
        before, after = found.before, found.after
        assert after.arena_bytes <= before.arena_bytes
        assert all(
            one <= other for one, other in zip(before.receptive_field, after.receptive_field, strict=True)
        )
        graph, inexact = resized(module["main"], found.changes)
        assert graph.outputs[0].spec == Graph.read(module["main"]).outputs[0].spec
        assert {change.layer for change in inexact} >= set(moved)
    # A stride that moves changes what is computed: the pass leaves it to training and keeps the outputs.
    rewritten = RedistributeReceptiveField(ram_budget=asked, strides="alike")(module)
    assert proposed(rewritten) == [change for change in found.changes if not change.grows]
    assert_same_meaning(module, rewritten)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1),
    st.tuples(st.integers(27, 40), st.integers(27, 40)),
    st.tuples(*[st.sampled_from([(1, 1), (2, 2), (2, 1), (3, 3)])] * 3),
    st.sampled_from([SAME, (0, 0, 1, 1), (1, 0, 1, 0)]),
)
def test_a_moved_stride_keeps_the_size_of_the_output_or_is_refused(
    pooled: int, extent: tuple[int, int], strides: Any, padding: Any
) -> None:
    build = ModuleBuilder()
    data = build.parameter(1, *extent, 4)
    for index, one in enumerate(strides):
        data = build.conv2d(data, depthwise=True, padding=SAME if one == (1, 1) else padding, strides=one)
        if pooled and index == 1:
            data = build.max_pool2d(data, pool=(3, 3), padding=SAME)
    module = named(build, [data])
    end = Graph.read(module["main"]).outputs[0].spec
    for pair in moves(list(layers(module).values())):
        less, more = (change.strides for change in pair)
        assert less is not None
        assert more is not None
        assert np.prod(less) * np.prod(more) == np.prod(
            [layers(module)[change.layer].attrs["strides"] for change in pair]
        )
        try:
            graph, _ = resized(module["main"], pair)
        except PlanError:
            continue
        assert graph.outputs[0].spec == end
        # What was written back is a module that computes.
        graph.write(module["main"])


def test_a_stride_does_not_pass_what_reads_whole_images_or_joins_two_paths() -> None:
    build = ModuleBuilder()
    first = build.conv2d(build.parameter(1, 8, 8, 4), depthwise=True, padding=SAME)
    joined = build.add(first, build.conv2d(first, depthwise=True, padding=SAME))
    module = named(build, [build.conv2d(joined, depthwise=True, padding=SAME, strides=(2, 2))])
    one, two, last = layers(module)
    resized(module["main"], [Resize(last, strides=(1, 1)), Resize(one, strides=(2, 2))])
    with pytest.raises(PlanError, match="redistribution: "):
        resized(module["main"], [Resize(last, strides=(1, 1)), Resize(two, strides=(2, 2))])
    with pytest.raises(PlanError, match="the output of the network would have another size"):
        resized(module["main"], [Resize(last, strides=(1, 1))])


def test_streamed_plans_repeat_less_afterwards_as_well() -> None:
    module = staged()
    front = PatchFront.search(network(module), Settings())
    smallest = front.plans[-1]
    assert smallest.factor > 1
    proposal = proposal_for(module, smallest.arena_bytes, search=PatchFront.search)
    assert proposal.after.factor < proposal.before.factor == smallest.factor
    assert proposal.after.arena_bytes <= smallest.arena_bytes


def test_a_plan_that_repeats_nothing_is_left_alone() -> None:
    module = staged()
    plain = patched_stages(network(module), Settings()).plans[0].arena_bytes
    with pytest.raises(PlanError, match=r"repeats no work.*smaller budget"):
        RedistributeReceptiveField(ram_budget=plain)(module)


def test_a_budget_that_no_plan_keeps_is_refused() -> None:
    with pytest.raises(PlanError, match="no plan found needs at most 100 bytes"):
        RedistributeReceptiveField(ram_budget=100)(staged())


def test_a_stage_without_kernels_to_cut_is_refused() -> None:
    build = ModuleBuilder()
    data = build.conv2d(build.parameter(1, 16, 16, 1), kernel=1)
    # Patches of a pooling overlap, but its window is no kernel that training could make up for.
    data = build.max_pool2d(data, pool=(3, 3), strides=(2, 2), padding=SAME)
    module = named(build, [build.conv2d(data, kernel=1)])
    with pytest.raises(PlanError, match="no convolution of the patched stage has a kernel that is longer"):
        RedistributeReceptiveField(ram_budget=budget(module))(module)


def test_layers_that_are_not_there_are_refused() -> None:
    with pytest.raises(PlanError, match="'dense_9' is no convolution"):
        RedistributeReceptiveField([Resize("dense_9", SAME)])(staged())


def test_changes_and_a_budget_together_make_no_sense() -> None:
    with pytest.raises(ValueError, match="either"):
        RedistributeReceptiveField([], ram_budget=5)
    with pytest.raises(ValueError, match="either"):
        RedistributeReceptiveField()


def test_kernels_are_cut_down_to_their_stride_and_grown_as_far_as_the_map() -> None:
    found = layers(staged())
    assert shrinking(found["conv2d_0"]) == Resize("conv2d_0", (-1, -1, -1, -1))
    assert shrinking(found["conv2d_2"]) == Resize("conv2d_2", (-1, -1, 0, 0))
    assert shrinking(found["depthwise_conv2d_1"]) == Resize("depthwise_conv2d_1", (-1, -1, -1, -1))
    last = found["depthwise_conv2d_5"]
    assert growing(last, rows=True, columns=False) == Resize("depthwise_conv2d_5", (1, 0, 1, 0))
    assert [axis.kernel for axis in axes(last)] == [3, 3]
    small = layers(named(build := ModuleBuilder(), [build.conv2d(build.parameter(1, 2, 2, 4), padding=SAME)]))
    assert growing(small["conv2d_0"], rows=True, columns=True) is None
