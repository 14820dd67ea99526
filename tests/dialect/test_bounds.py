"""Bounds maps of all operators: a region of the output depends on nothing outside the regions they name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialect.geometry import regions
from tests.dialect.operator_calls import STRATEGIES, calls
from tests.dialect.te_execution import assert_region_suffices, specs_of
from tvm_tinyml.dialect import operator, operators
from tvm_tinyml.dialect.bounds import InputBounds, Whole, Window, elementwise


def test_every_operator_has_random_calls() -> None:
    # What Vela compiles has no arithmetic of its own here: tests/offload and tests/ethosu run it.
    assert set(STRATEGIES) | {"ethosu"} == set(operators())


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_the_map_leaves_out_has_no_influence(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name), label="call")
    output = operator(name).infer(specs_of(call.arrays), call.attrs)
    region = data.draw(regions(output.shape), label="region")
    assert_region_suffices(name, call.arrays, call.attrs, region)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_type_inference_gives_the_type_of_the_reference(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name), label="call")
    inferred = operator(name).infer(specs_of(call.arrays), call.attrs)
    result = operator(name).reference(call.arrays, call.attrs)
    assert (result.shape, str(result.dtype)) == (inferred.shape, inferred.dtype)


def test_a_window_is_clipped_to_the_axis() -> None:
    bounds = InputBounds((Window(0, numerator=2, first=-1, last=1),))
    assert bounds.region(((0, 1),), (9,)) == ((0, 2),)
    assert bounds.region(((1, 3),), (9,)) == ((1, 6),)
    assert bounds.region(((4, 5),), (9,)) == ((7, 9),)


def test_a_window_outside_the_axis_reads_nothing() -> None:
    assert InputBounds((Window(0, first=5, last=6),)).region(((0, 2),), (4,)) == ((0, 0),)
    assert InputBounds((Window(0),)).region(((3, 3),), (4,)) == ((0, 0),)


def test_an_upsampling_window_divides() -> None:
    bounds = InputBounds((Window(0, denominator=2, last=1),))
    assert bounds.region(((3, 6),), (9,)) == ((1, 4),)


def test_a_whole_axis_is_read_from_any_region() -> None:
    assert InputBounds((Whole(),)).region(((0, 1),), (7,)) == ((0, 7),)


def test_broadcast_axes_are_read_whole_and_align_at_the_end() -> None:
    assert elementwise((1, 5), 3).region(((0, 2), (3, 4), (2, 4)), (1, 5)) == ((0, 1), (2, 4))
