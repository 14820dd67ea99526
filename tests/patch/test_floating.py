"""Line buffers that float on others: rows stay where they are needed, and what is computed with them is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.patch.networks import network
from tests.patch.streamed import named, unlowered
from tests.patch.test_facing import chain, settling
from tests.transform.building import random_inputs
from tvm_tinyml import relay
from tvm_tinyml.codegen import verify_block
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import PatchPlan, Region, Segment
from tvm_tinyml.patch.floating import stacked_bytes
from tvm_tinyml.patch.footprint import region_workspace
from tvm_tinyml.patch.network import Network

STRIDES = (1, 2, 1, 2, 1, 1)


def floating(net: Network, region: Region) -> Region:
    """The region with everything settling that can be, and a line buffer that floats where that helps."""
    return replace(settling(net, region), floating=True)


def region_of(net: Network, strip: int = 99, segments: tuple[Segment, ...] = ()) -> Region:
    names = tuple(node.name for node in net.nodes)
    inside = {name for segment in segments for name in segment.operators}
    return Region(names, strip, {name: 1 for name in names if name not in inside}, segments)


def test_a_line_buffer_floats_between_two_that_face_each_other() -> None:
    builder, output = chain(STRIDES, 24)
    net = network(builder.module(output))
    still = region_workspace(net, settling(net, region_of(net))).place(4)
    workspace = region_workspace(net, floating(net, region_of(net)))
    placed = workspace.place(4)
    assert placed.arena_bytes < still.arena_bytes
    ((tensor, lifts),) = placed.lifts.items()
    assert not still.lifts
    assert tensor in placed.settled
    assert len(set(lifts)) > 1
    streamed = unlowered(net, floating(net, region_of(net)), 4)
    verify_block(streamed)
    with pytest.raises(PlanError, match="something else has been stored"):
        verify_block(streamed, streamed.block._replace(lifts={}))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_rows_stay_where_buffers_float(data: st.DataObject) -> None:
    strides = tuple(data.draw(st.lists(st.sampled_from([1, 2]), min_size=3, max_size=5)))
    builder, output = chain(strides, data.draw(st.integers(12, 24)))
    net = network(builder.module(output))
    names = [node.name for node in net.nodes]
    first = data.draw(st.integers(0, len(names) - 1))
    last = data.draw(st.integers(first, min(first + 2, len(names))))
    segments = (Segment(tuple(names[first:last]), 2, data.draw(st.integers(1, 2))),) if first < last else ()
    region = region_of(net, data.draw(st.integers(1, 24)), segments)
    region = replace(region, rows={name: data.draw(st.integers(1, 2)) for name in region.rows})
    try:
        region = floating(net, region)
    except PlanError:
        assume(False)
    verify_block(unlowered(net, region, data.draw(st.sampled_from([1, 4, 16]))))


@pytest.mark.parametrize("target", ["tinyml -mcpu=host", "tinyml/cortex-m55", "tinyml/cortex-m4"])
@pytest.mark.parametrize("strip", [99, 5])
def test_regions_with_such_buffers_are_exact(target: str, strip: int) -> None:
    builder, output = chain(STRIDES, 24)
    module = named(builder, [output])
    net = network(module)
    region = floating(net, region_of(net, strip))
    built = relay.build(module, target=target, patch=PatchPlan(region.operators, (region,)))
    (streamed,) = built.compiled.model.regions
    assert streamed.block.lifts
    inputs = random_inputs(module, seed=1)
    plain = relay.build(module, target="tinyml -mcpu=host -without=PatchInference")
    np.testing.assert_array_equal(built.run(inputs).outputs[0], plain.run(inputs).outputs[0])


@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=5, max_size=5))
def test_stacks_take_what_is_needed_at_one_time(table: list[list[int]]) -> None:
    held = np.array(table)
    nbytes = held.max(axis=1).tolist()
    assert stacked_bytes(nbytes, held, 1) == sum(nbytes)
    assert stacked_bytes(nbytes, held, 5) == held.sum(axis=0).max()
    sizes = [stacked_bytes(nbytes, held, most) for most in range(1, 6)]
    assert sizes == sorted(sizes, reverse=True)
    # Five are a stack of three and a pair, or less.
    assert sizes[2] <= held[:3].sum(axis=0).max() + held[3:].sum(axis=0).max()
