"""Receptive fields: what the arithmetic says is what a pixel of the input can change."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.patch.streamed import named
from tests.transform.building import ModuleBuilder
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.dialect.fixed_point import quantize_multiplier
from tvm_tinyml.patch import PatchPlan, Region
from tvm_tinyml.patch.geometry import Sliding, read_columns, strip_columns
from tvm_tinyml.patch.network import Network
from tvm_tinyml.patch.receptive import Field, fields, halo, receptive_field
from tvm_tinyml.patch.region import region_operations
from tvm_tinyml.transform.dataflow import Graph
from tvm_tinyml.transform.patch_network import network_of

SIZE = 29
LAYERS = st.lists(
    st.tuples(
        st.sampled_from(["conv2d", "max_pool2d", "residual"]),
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
        st.tuples(st.integers(1, 2), st.integers(1, 2)),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=4,
)


def spreading(build: ModuleBuilder, data: Any, kernel: tuple[int, int], **attrs: Any) -> Any:
    """A convolution of one channel that keeps zeros and lets everything above zero reach every output that reads it."""
    multiplier, shift = quantize_multiplier(1.0)
    factors = [np.full(1, value, "int32") for value in (0, multiplier, shift)]
    common = {
        "zero_point": 0,
        "input_zero_point": 0,
        "rounding": "double",
        "clamp_min": -128,
        "clamp_max": 127,
    }
    return build.call("conv2d", data, np.full((1, *kernel, 1), 8, "int8"), *factors, **common, **attrs)


def network_from(layers: Any) -> tuple[Any, Network]:
    """A module that does nothing but spread what is above zero, and its network."""
    build = ModuleBuilder()
    data = build.parameter(1, SIZE, SIZE, 1, zero_point=0)
    for kind, kernel, strides, dilation in layers:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[0] - 1, kernel[1] - 1)
        if kind == "max_pool2d":
            data = build.max_pool2d(data, pool=kernel, strides=strides, padding=padding)
        elif kind == "conv2d":
            attrs = {"strides": strides, "dilation": (dilation, 1), "padding": padding}
            data = spreading(build, data, kernel, **attrs)
        else:
            inner = {"strides": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1)}
            zero = {"a_zero_point": 0, "b_zero_point": 0, "zero_point": 0}
            data = build.add(data, spreading(build, data, (3, 3), **inner), **zero)
    module = named(build, [data])
    return module, network_of(Graph.read(module["main"]))


def reached(module: Any, pixel: tuple[int, int], axis: int) -> list[int]:
    """Rows (axis 1) or columns (axis 2) of the input that can change a pixel of the output."""
    images = np.zeros((SIZE, SIZE, SIZE, 1), "int8")
    for index in range(SIZE):
        images[index].swapaxes(0, axis - 1)[index] = 127
    (made,) = evaluate(module, [images]).outputs
    return [index for index in range(SIZE) if made[index, pixel[0], pixel[1], 0] != 0]


@settings(max_examples=25, deadline=None)
@given(LAYERS)
def test_windows_end_where_pixels_of_the_input_stop_to_matter(layers: Any) -> None:
    module, network = network_from(layers)
    last = network.nodes[-1]
    field = fields(network.nodes, network.inputs)[last.tensor]
    height, width = last.output.shape[1:3]
    pixel = (height // 2, width // 2)
    for axis, window in enumerate(field, 1):
        begin = window.begin(pixel[axis - 1])
        # Behind the edge an inner tensor is padding and depends on nothing.
        assume(begin >= 0 and begin + window.extent <= SIZE)
        found = reached(module, pixel, axis)
        assert (found[0], found[-1] + 1) == (begin, begin + window.extent)
    assert receptive_field(network) == field.extent


@settings(max_examples=25, deadline=None)
@given(LAYERS)
def test_the_halo_is_what_neighbouring_patches_share(layers: Any) -> None:
    _, network = network_from(layers)
    names = tuple(node.name for node in network.nodes)
    region = Region(names, 1, dict.fromkeys(names, 1))
    operations = region_operations(network.nodes, region)
    columns = strip_columns(operations, 1)
    field = fields(network.nodes, network.inputs)[network.nodes[-1].tensor]
    needed = [
        read_columns(one, columns[operation.output])
        for operation in operations
        for one in operation.reads
        if one.tensor in network.inputs
    ]
    width = max(one.first + one.width for one in needed) - min(one.first for one in needed)
    assert field.halo[1] == max(0, width - needed[0].step)


def test_a_plan_has_the_halo_of_its_repeating_region_and_none_without() -> None:
    _, network = network_from([("conv2d", (3, 3), (2, 2), 1), ("conv2d", (3, 3), (1, 1), 1)])
    names = tuple(node.name for node in network.nodes)
    region = Region(names, 4, dict.fromkeys(names, 1))
    # Windows of 7 pixels move by 2.
    assert halo(network, PatchPlan(names, (region,))) == (5, 5)
    assert halo(network, PatchPlan(names)) == (0, 0)


def test_a_tensor_that_depends_on_the_whole_image_has_no_window() -> None:
    build = ModuleBuilder()
    data = build.parameter(1, 8, 8, 1, zero_point=0)
    conv = spreading(build, data, (3, 3), strides=(1, 1), dilation=(1, 1), padding=(1, 1, 1, 1))
    flat = build.call("reshape", conv, shape=(1, 64))
    network = network_of(Graph.read(named(build, [flat])["main"]))
    window = Sliding(1, -1, 3)
    assert fields(network.nodes, network.inputs) == {
        **dict.fromkeys(network.inputs, Field(Sliding(1, 0, 1), Sliding(1, 0, 1))),
        network.nodes[0].tensor: Field(window, window),
    }
    assert receptive_field(network) == (3, 3)
