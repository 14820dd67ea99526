"""Plans of one patched stage: their work is the arithmetic of overlapping patches, and what they compute is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.patch.streamed import cleaned, named
from tests.transform.building import ModuleBuilder
from tvm_tinyml import relay
from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch.footprint import Settings
from tvm_tinyml.patch.patches import patched_stages
from tvm_tinyml.transform.dataflow import Graph
from tvm_tinyml.transform.patch_network import network_of

TARGET = "tinyml -mcpu=host"


def residual() -> Any:
    """Two convolutions, a sum with what went in, and one with stride 2."""
    build = ModuleBuilder()
    first = build.conv2d(build.parameter(1, 16, 16, 2), padding=(1, 1, 1, 1))
    second = build.conv2d(first, depthwise=True, padding=(1, 1, 1, 1))
    last = build.conv2d(build.add(first, second), strides=(2, 2), padding=(1, 1, 1, 1))
    return named(build, [last])


def test_the_work_is_that_of_patches_which_compute_their_overlap_themselves() -> None:
    module = cleaned(residual(), TARGET)
    front = patched_stages(network_of(Graph.read(module["main"])), Settings())
    patched = [one for one in front.plans if one.plan.regions]
    assert patched
    for one in patched:
        (region,) = one.plan.regions
        if len(region.operators) < 4:
            continue
        patches = -(-8 // region.strip)
        # Rows of the last map, of the sum and of what its convolutions read: 2 n + 1 and two more.
        last, middle = region.strip, 2 * region.strip + 1
        work = 36 * 4 * last**2 + 9 * 4 * middle**2 + 18 * 4 * (middle + 2) ** 2
        assert one.macs == patches**2 * work


def test_patched_stages_compute_the_same() -> None:
    module = residual()
    plain = relay.build(module, target=TARGET)
    front = patched_stages(network_of(Graph.read(cleaned(module, TARGET)["main"])), Settings())
    found = front.plans[-1]
    built = relay.build(module, target=TARGET, patch=found.plan)
    image = np.random.default_rng(3).integers(-128, 128, (1, 16, 16, 2)).astype("int8")
    np.testing.assert_array_equal(built.run(image).outputs[0], plain.run(image).outputs[0])
    assert built.compiled.model.regions[0].shape.macs == found.macs


def test_no_plan_is_beaten_in_memory_and_work() -> None:
    front = patched_stages(network_of(Graph.read(cleaned(residual(), TARGET)["main"])), Settings())
    arenas, works = zip(*((one.arena_bytes, one.macs) for one in front.plans), strict=True)
    assert list(arenas) == sorted(set(arenas), reverse=True)
    assert list(works) == sorted(works)


def test_an_input_that_is_fetched_needs_a_first_stage() -> None:
    build = ModuleBuilder()
    flat = build.call("reshape", build.parameter(1, 4, 4, 2), shape=(1, 32))
    network = network_of(Graph.read(named(build, [flat])["main"]))
    with pytest.raises(PlanError, match="no first operators"):
        patched_stages(network, Settings(pulled=frozenset(network.inputs)))
