"""MaterializeOutputs: when outputs would share bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from tests.transform.building import (
    ModuleBuilder,
    assert_becomes,
    assert_same_meaning,
    assert_unchanged,
    calls_of,
    identity_table,
    operators_of,
    tensors_of,
)
from tvm_tinyml.dialect.relax_api import constant
from tvm_tinyml.transform import MaterializeOutputs


def roots_of_outputs(module: Any) -> list[Any]:
    """Variable whose bytes each output shows."""
    function = module["main"]
    sources = {
        binding.var: binding.value.args[0]
        for block in function.body.blocks
        for binding in block.bindings
        if binding.value.op.name == "tinyml.reshape"
    }
    result = function.body.body
    roots = list(result.fields) if isinstance(result, relax.Tuple) else [result]
    while any(root in sources for root in roots):
        roots = [sources.get(root, root) for root in roots]
    return roots


def test_outputs_with_buffers_of_their_own_stay() -> None:
    builder = ModuleBuilder()
    data = builder.parameter(2, 3)
    flipped = builder.lookup(data, ~identity_table())
    shaped = builder.call("reshape", builder.call("copy", data), shape=(6,))
    assert_unchanged(builder.module(flipped, shaped), MaterializeOutputs())


def test_a_view_of_an_input_is_copied_and_the_copy_has_its_name() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    source = before.module(before.call("reshape", before.parameter(2, 3), shape=(6,), tensor="flat"))
    flat = after.call("reshape", after.parameter(2, 3), shape=(6,), tensor="copy_output_0")
    target = after.module(after.call("copy", flat, name="copy_output_0", tensor="flat"))
    assert_becomes(source, MaterializeOutputs(), target)


def test_an_input_as_an_output_is_copied_with_its_quantisation() -> None:
    builder = ModuleBuilder()
    module = builder.module(builder.parameter(4, scale=0.5, zero_point=9))
    ((operator, attrs, _),) = calls_of(MaterializeOutputs()(module))
    assert (operator.name, attrs["scale"], attrs["zero_point"]) == ("copy", 0.5, 9)


def test_a_constant_output_is_copied() -> None:
    builder = ModuleBuilder()
    builder.parameter(1)
    module = builder.module(constant(np.arange(4, dtype="int8")))
    assert operators_of(MaterializeOutputs()(module)) == ["copy"]


def test_an_output_listed_twice_is_written_twice() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    flipped = before.lookup(before.parameter(4), ~identity_table())
    source = before.module(flipped, flipped)
    flipped = after.lookup(after.parameter(4), ~identity_table())
    copy = after.call("copy", flipped, name="copy_output_1", tensor="copy_output_1")
    assert_becomes(source, MaterializeOutputs(), after.module(flipped, copy))


def test_views_of_one_tensor_get_buffers_of_their_own() -> None:
    builder = ModuleBuilder()
    flipped = builder.lookup(builder.parameter(2, 3), ~identity_table())
    flat = builder.call("reshape", flipped, shape=(6,))
    module = builder.module(builder.call("reshape", flat, shape=(3, 2)), flat, flipped)
    written = MaterializeOutputs()(module)
    assert operators_of(written).count("copy") == 2
    assert len(set(roots_of_outputs(written))) == 3
    assert len(set(tensors_of(written))) == len(tensors_of(written))
    assert_same_meaning(module, written)


def test_new_names_avoid_those_of_the_model() -> None:
    builder = ModuleBuilder()
    flipped = builder.lookup(
        builder.parameter(4), ~identity_table(), name="copy_output_1", tensor="copy_output_1"
    )
    written = MaterializeOutputs()(builder.module(flipped, flipped))
    assert tensors_of(written) == ["copy_output_1", "copy_output_1_1"]
