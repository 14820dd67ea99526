"""The last rows of an output lie over buffers that are done with, and over those only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.patch.networks import network
from tests.patch.streamed import named, unlowered
from tests.patch.test_facing import chain
from tests.transform.building import random_inputs
from tvm_tinyml import relay
from tvm_tinyml.codegen import verify_block
from tvm_tinyml.codegen.streaming import StreamedRegion
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import MemoryPlan, verify
from tvm_tinyml.patch import PatchPlan, Region
from tvm_tinyml.patch.footprint import Settings, footprint, region_workspace
from tvm_tinyml.patch.rows import rows_after

STRIDES = (1, 2, 2)
SIZE = 24


def built(target: str, strip: int = 99) -> tuple[Any, Any]:
    """Depthwise convolutions in one region, and their module."""
    builder, output = chain(STRIDES, SIZE)
    module = named(builder, [output])
    names = tuple(node.name for node in network(module).nodes)
    plan = PatchPlan(names, (Region(names, strip, dict.fromkeys(names, 1)),))
    return relay.build(module, target=target, patch=plan), module


def test_what_is_far_in_front_is_done_with_before_the_last_rows() -> None:
    builder, output = chain(STRIDES, SIZE)
    net = network(builder.module(output))
    names = tuple(node.name for node in net.nodes)
    workspace = region_workspace(net, Region(names, 99, dict.fromkeys(names, 1)))
    # There are six rows. Who makes what the last one needs is done before it, not before those in front of it.
    assert rows_after(workspace.operations, workspace.stream) == [5, 5, 6]


def test_an_output_lies_over_line_buffers_as_far_as_it_may() -> None:
    builder, output = chain(STRIDES, SIZE)
    net = network(builder.module(output))
    names = tuple(node.name for node in net.nodes)
    plan = PatchPlan(names, (Region(names, 99, dict.fromkeys(names, 1)),))
    pulled = frozenset(net.inputs)
    block = region_workspace(net, plan.regions[0], pulled).place(16)
    assert block.distance is not None
    assert 0 < block.distance < net.nodes[-1].output.nbytes
    found = footprint(net, plan, Settings(pulled=pulled))
    verify(found.program, found.memory)
    assert found.arena_bytes == block.arena_bytes + block.distance
    # Where the input is in memory, the output lies over that.
    assert region_workspace(net, plan.regions[0]).place(16).distance is None


def test_strips_write_all_rows_again() -> None:
    builder, output = chain(STRIDES, SIZE)
    net = network(builder.module(output))
    names = tuple(node.name for node in net.nodes)
    workspace = region_workspace(net, Region(names, 2, dict.fromkeys(names, 1)), frozenset(net.inputs))
    assert workspace.strips > 1
    assert workspace.place(16).distance is None


def placed(region: StreamedRegion, closer: int) -> MemoryPlan:
    """A plan with the output as far over the block of a region as it may lie, and `closer` bytes more."""
    (block,), distance = region.buffers, region.block.distance
    assert distance is not None
    start = SIZE**3
    offsets = {region.shape.output: start - distance + closer}
    return MemoryPlan(
        offsets, {block.name: start}, 3 * start, 0, "greedy", optimal=False, alignment=1, keep_all=False
    )


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_rows_stay_under_an_output_at_its_distance(data: st.DataObject) -> None:
    strides = tuple(data.draw(st.lists(st.sampled_from([1, 2]), min_size=2, max_size=5)))
    builder, output = chain(strides, SIZE)
    net = network(builder.module(output))
    names = tuple(node.name for node in net.nodes)
    region = Region(names, 99, dict.fromkeys(names, 1), floating=data.draw(st.booleans()))
    streamed = unlowered(net, region, data.draw(st.sampled_from([1, 16])), frozenset(net.inputs))
    verify_block(streamed, plan=placed(streamed, 0))
    distance = streamed.block.distance
    if distance is not None and 0 < distance < net.nodes[-1].output.nbytes:
        with pytest.raises(PlanError, match="something else has been stored"):
            verify_block(streamed, plan=placed(streamed, distance))


@pytest.mark.parametrize("target", ["tinyml -mcpu=host", "tinyml/cortex-m55", "tinyml/cortex-m4"])
def test_regions_under_their_output_are_exact(target: str) -> None:
    found, module = built(f"{target} -input=rows")
    plan, (region,) = found.compiled.plan, found.compiled.model.regions
    blocks = [(plan.scratch_offsets[one.name], one.nbytes) for one in region.buffers]
    start = plan.offsets[region.shape.output]
    end = start + region.shape.specs[region.shape.output].nbytes
    assert any(start < begin + size and begin < end for begin, size in blocks)
    inputs = random_inputs(module, seed=1)
    plain = relay.build(module, target="tinyml -mcpu=host -without=PatchInference")
    np.testing.assert_array_equal(found.run(inputs).outputs[0], plain.run(inputs).outputs[0])
