"""DropIdentity: which calls change nothing, which chains are one call, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import tvm

from tests.transform.building import (
    SCALE,
    ZERO_POINT,
    ModuleBuilder,
    assert_becomes,
    assert_same_meaning,
    assert_unchanged,
    calls_of,
    identity_table,
    operators_of,
    tensors_of,
)
from tvm_tinyml.transform import DropIdentity

SHAPE = (1, 4, 3, 2)
Build: TypeAlias = Callable[[ModuleBuilder, Any], Any]

IDENTITIES: dict[str, Build] = {
    "reshape": lambda b, x: b.call("reshape", x, shape=SHAPE),
    "transpose": lambda b, x: b.call("transpose", x, axes=(0, 1, 2, 3)),
    "slice": lambda b, x: b.call("slice", x, begin=(0, 0, 0, 0), strides=(1, 1, 1, 1), shape=SHAPE),
    "pad": lambda b, x: b.call("pad", x, pad_width=(0,) * 8, pad_value=5),
    "concat": lambda b, x: b.call("concat", x, axis=1),
    "resize_nearest": lambda b, x: b.call(
        "resize_nearest", x, size=(4, 3), align_corners=False, half_pixel_centers=True
    ),
    "requantize": lambda b, x: b.requantize(x),
    "lookup": lambda b, x: b.lookup(x, identity_table()),
    "quantize": lambda b, x: b.call(
        "quantize", b.call("dequantize", x, input_scale=SCALE, input_zero_point=ZERO_POINT), dtype="int8"
    ),
    "transposes": lambda b, x: b.call(
        "transpose", b.call("transpose", x, axes=(0, 3, 1, 2)), axes=(0, 2, 3, 1)
    ),
    "reshapes": lambda b, x: b.call("reshape", b.call("reshape", x, shape=(24,)), shape=SHAPE),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_what_repeats_its_input_goes(name: str) -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    first = before.lookup(before.parameter(*SHAPE), ~identity_table())
    repeated = IDENTITIES[name](before, first)
    source = before.module(before.lookup(repeated, ~identity_table(), name="last", tensor="last"))
    first = after.lookup(after.parameter(*SHAPE), ~identity_table())
    target = after.module(after.lookup(first, ~identity_table(), name="last", tensor="last"))
    assert_becomes(source, DropIdentity(), target)


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_repetition_of_a_parameter_goes_when_it_is_no_output(name: str) -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    repeated = IDENTITIES[name](before, before.parameter(*SHAPE))
    source = before.module(before.lookup(repeated, ~identity_table(), name="last", tensor="last"))
    last = after.lookup(after.parameter(*SHAPE), ~identity_table(), name="last", tensor="last")
    assert_becomes(source, DropIdentity(), after.module(last))


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_repetition_that_is_an_output_leaves_its_name(name: str) -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    first = before.lookup(before.parameter(*SHAPE), ~identity_table())
    source = before.module(IDENTITIES[name](before, first))
    name_of_output = tensors_of(source)[-1]
    first = after.lookup(after.parameter(*SHAPE), ~identity_table(), tensor=name_of_output)
    assert_becomes(source, DropIdentity(), after.module(first))


@pytest.mark.parametrize("name", ["reshape", "requantize", "lookup", "slice"])
def test_an_output_that_repeats_a_parameter_or_an_output_stays(name: str) -> None:
    builder = ModuleBuilder()
    data = builder.parameter(*SHAPE)
    assert_unchanged(builder.module(IDENTITIES[name](builder, data)), DropIdentity())
    builder = ModuleBuilder()
    first = builder.lookup(builder.parameter(*SHAPE), ~identity_table())
    assert_unchanged(builder.module(first, IDENTITIES[name](builder, first)), DropIdentity())


@pytest.mark.parametrize(
    "name", sorted(IDENTITIES.keys() - {"transposes", "reshapes", "transpose", "quantize"})
)
@pytest.mark.parametrize("changed", [{"scale": SCALE / 2}, {"zero_point": ZERO_POINT + 1}])
def test_another_quantisation_stays(name: str, changed: dict[str, Any]) -> None:
    """The numbers are the same, what they mean is not."""
    builder = ModuleBuilder()
    first = builder.lookup(builder.parameter(*SHAPE), ~identity_table(), **changed)
    last = builder.lookup(IDENTITIES[name](builder, first), ~identity_table())
    assert_unchanged(builder.module(last), DropIdentity())


ALMOST: dict[str, Build] = {
    "reshape": lambda b, x: b.call("reshape", x, shape=(1, 3, 4, 2)),
    "transpose": lambda b, x: b.call("transpose", x, axes=(0, 2, 1, 3)),
    "slice backwards": lambda b, x: b.call(
        "slice", x, begin=(0, 3, 0, 0), strides=(1, -1, 1, 1), shape=SHAPE
    ),
    "slice": lambda b, x: b.call("slice", x, begin=(0, 1, 0, 0), strides=(1, 1, 1, 1), shape=(1, 3, 3, 2)),
    "concat": lambda b, x: b.call("concat", x, x, axis=1),
    "resize": lambda b, x: b.call(
        "resize_nearest", x, size=(4, 3), align_corners=True, half_pixel_centers=True
    ),
    "requantize with a clamp": lambda b, x: b.requantize(x, clamp_max=126),
    "requantize": lambda b, x: b.requantize(x, 1.01),
    "requantize to uint8": lambda b, x: b.requantize(x, dtype="uint8", clamp_min=0),
    "lookup": lambda b, x: b.lookup(x, np.maximum(identity_table(), -127)),
    "copy": lambda b, x: b.call("copy", x),
    "quantize by another scale": lambda b, x: b.call(
        "quantize",
        b.call("dequantize", x, input_scale=SCALE * 1.5, input_zero_point=ZERO_POINT),
        dtype="int8",
    ),
    "quantize to int16": lambda b, x: b.call(
        "quantize", b.call("dequantize", x, input_scale=SCALE, input_zero_point=ZERO_POINT), dtype="int16"
    ),
    "transposes": lambda b, x: b.call(
        "transpose", b.lookup(b.call("transpose", x, axes=(0, 3, 1, 2)), ~identity_table()), axes=(0, 2, 3, 1)
    ),
}


@pytest.mark.parametrize("name", ALMOST)
def test_what_only_looks_like_an_identity_stays(name: str) -> None:
    builder = ModuleBuilder()
    first = builder.lookup(builder.parameter(*SHAPE), ~identity_table())
    assert_unchanged(builder.module(ALMOST[name](builder, first)), DropIdentity())


def test_dequantising_a_quantised_float_loses_digits_and_stays() -> None:
    builder = ModuleBuilder()
    quantised = builder.call("quantize", builder.parameter(4, dtype="float32"), dtype="int8")
    real = builder.call(
        "dequantize", quantised, input_scale=SCALE, input_zero_point=ZERO_POINT, scale=0.0, zero_point=0
    )
    assert_unchanged(builder.module(real), DropIdentity())


def test_reshapes_become_one_that_reads_the_source() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    first = before.call("reshape", before.parameter(4, 6), shape=(24,))
    second = before.call("reshape", first, shape=(2, 12))
    source = before.module(before.call("reshape", second, shape=(3, 8)))
    last = after.call("reshape", after.parameter(4, 6), shape=(3, 8), name="reshape_2", tensor="t2")
    assert_becomes(source, DropIdentity(), after.module(last))


def test_a_reshape_with_other_readers_stays_for_them() -> None:
    builder = ModuleBuilder()
    flat = builder.call("reshape", builder.parameter(4, 6), shape=(24,))
    module = builder.module(
        builder.call("reshape", flat, shape=(2, 12)), builder.lookup(flat, ~identity_table())
    )
    dropped = DropIdentity()(module)
    assert operators_of(dropped) == ["reshape", "reshape", "lookup"]
    assert all(args[0].name == "x0" for operator, _, args in calls_of(dropped) if operator.is_view)
    assert_same_meaning(module, dropped)


def test_transposes_become_one() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    first = before.call("transpose", before.parameter(2, 3, 4), axes=(1, 2, 0))
    source = before.module(before.call("transpose", first, axes=(0, 2, 1)))
    last = after.call("transpose", after.parameter(2, 3, 4), axes=(1, 0, 2), name="transpose_1", tensor="t1")
    assert_becomes(source, DropIdentity(), after.module(last))


def test_transposes_stay_two_when_the_first_has_another_reader() -> None:
    """One transpose from the source would keep the source alive and save nothing."""
    builder = ModuleBuilder()
    first = builder.call("transpose", builder.parameter(2, 3, 4), axes=(1, 2, 0))
    second = builder.call("transpose", first, axes=(0, 2, 1))
    assert_unchanged(builder.module(first, second), DropIdentity())


def test_a_transpose_that_moves_axes_of_one_element_becomes_a_reshape() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    source = before.module(before.call("transpose", before.parameter(1, 4, 3, 1), axes=(0, 3, 1, 2)))
    moved = after.call("reshape", after.parameter(1, 4, 3, 1), shape=(1, 1, 4, 3), name="transpose_0")
    assert_becomes(source, DropIdentity(), after.module(moved))


def test_copies_of_copies_become_one() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    first = before.call("copy", before.parameter(4))
    source = before.module(before.call("copy", before.call("copy", first)))
    last = after.call("copy", after.parameter(4), name="copy_2", tensor="t2")
    assert_becomes(source, DropIdentity(), after.module(last))


def test_a_function_without_calls_is_left_alone() -> None:
    builder = ModuleBuilder()
    module = builder.module(builder.parameter(4))
    tvm.ir.assert_structural_equal(DropIdentity()(DropIdentity()(module)), DropIdentity()(module))
