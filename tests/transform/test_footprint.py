"""Footprint: work and memory of a graph before it is scheduled."""

from __future__ import annotations

from tests.cli.invocation import DIGITS
from tests.transform.building import ModuleBuilder, identity_table
from tvm_tinyml import relay
from tvm_tinyml.frontend.tflite import summarize
from tvm_tinyml.transform import Footprint, ShareBuffers

SHAPE = (1, 4, 8, 4)


def test_a_convolution_costs_what_its_shapes_say() -> None:
    build = ModuleBuilder()
    found = Footprint.of(build.module(build.conv2d(build.parameter(*SHAPE))), 16)
    output = 2 * 6 * 4
    assert found == Footprint(
        calls=1,
        macs=output * 9 * 4,
        # Weights, biases, and one scale that all channels share.
        weights=4 * 9 * 4 + 4 * 4 + 4,
        activations=128 + output,
        arena=128 + output,
    )


def test_equal_weights_count_once_and_tables_are_none() -> None:
    build = ModuleBuilder()
    x = build.parameter(*SHAPE)
    one = Footprint.of(build.module(build.conv2d(x)), 16)
    branches = [build.conv2d(build.lookup(x, ~identity_table())) for _ in range(2)]
    two = Footprint.of(build.module(build.add(*branches)), 16)
    assert two.calls == 6
    assert two.weights == one.weights + 8  # every layer has a scale of its own


def test_tensors_that_share_bytes_count_once() -> None:
    build = ModuleBuilder()
    x = build.parameter(*SHAPE)
    module = build.module(
        build.call("concat", *(build.lookup(x, ~identity_table()) for _ in range(2)), axis=1)
    )
    before, after = Footprint.of(module, 16), Footprint.of(ShareBuffers(16)(module), 16)
    assert (before.calls, before.activations, before.arena) == (3, 5 * 128, 4 * 128)
    assert (after.calls, after.activations, after.arena) == (2, 3 * 128, 3 * 128)


def test_buffers_of_the_caller_are_not_in_the_arena() -> None:
    build = ModuleBuilder()
    module = build.module(
        build.lookup(build.lookup(build.parameter(*SHAPE), ~identity_table()), identity_table())
    )
    assert Footprint.of(module, 16, io_in_arena=False).arena == 128


def test_weights_of_a_file_are_those_of_its_operators() -> None:
    module, _ = relay.frontend.from_tflite(DIGITS)
    found = Footprint.of(module, 4)
    summary = summarize(DIGITS)
    weights = [
        tensor for row in summary.operators if row.macs for tensor in row.constants if tensor.dtype == "int8"
    ]
    scales = 4 * sum(row.operator.outputs[0].shape[-1] for row in summary.operators if row.macs)
    constants = sum(row.constant_bytes for row in summary.operators if row.macs)
    assert len(weights) == sum(bool(row.macs) for row in summary.operators)
    assert found.macs == summary.macs
    assert constants < found.weights <= constants + scales
