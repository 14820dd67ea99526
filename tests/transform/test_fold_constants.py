"""FoldConstants: what is computed at compile time."""

from __future__ import annotations

import numpy as np

from tests.transform.building import (
    ModuleBuilder,
    assert_becomes,
    assert_unchanged,
    identity_table,
)
from tvm_tinyml.transform import FoldConstants

DATA = np.arange(-3, 3).astype("int8")


def test_calls_on_constants_become_constants() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    flipped = before.lookup(DATA, ~identity_table())
    shaped = before.call("reshape", flipped, shape=(2, 3))
    joined = before.call("concat", before.parameter(2, 3), shaped, axis=0, name="joined", tensor="joined")
    source = before.module(joined)
    folded = after.call(
        "concat", after.parameter(2, 3), (~DATA).reshape(2, 3), axis=0, name="joined", tensor="joined"
    )
    assert_becomes(source, FoldConstants(), after.module(folded))


def test_a_constant_output_becomes_a_copy_of_its_value() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    before.parameter(1), after.parameter(1)
    flipped = before.lookup(DATA, ~identity_table(), name="flipped", tensor="flipped")
    source = before.module(before.call("transpose", flipped, axes=(0,)), flipped)
    second = after.call("copy", ~DATA, name="flipped", tensor="flipped")
    first = after.call("copy", ~DATA, name="transpose_1", tensor="t1")
    assert_becomes(source, FoldConstants(), after.module(first, second))


def test_one_input_that_is_not_constant_is_enough_to_stay() -> None:
    builder = ModuleBuilder()
    joined = builder.call("concat", DATA, builder.parameter(6), DATA, axis=0)
    assert_unchanged(builder.module(builder.conv2d(builder.parameter(1, 4, 4, 2)), joined), FoldConstants())
