"""`reshape` and `copy`."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialect.geometry import DTYPES, filled, regions, shapes
from tests.dialect.te_execution import assert_consistent, assert_region_suffices
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.bounds import Whole, Window
from tvm_tinyml.dialect.relax_api import TensorSpec


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes of equally many elements, made of the same factors in the same order."""
    factors = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))

    def grouped() -> tuple[int, ...]:
        cuts = sorted(draw(st.sets(st.integers(1, len(factors)), max_size=4)))
        edges = [0, *cuts, len(factors)]
        return tuple(math.prod(factors[a:b]) for a, b in pairwise(edges))

    return grouped(), grouped()


@settings(max_examples=15, deadline=None)
@given(reshapes(), st.sampled_from(DTYPES))
def test_reshape_keeps_the_elements_in_order(
    pair: tuple[tuple[int, ...], tuple[int, ...]], dtype: str
) -> None:
    source, target = pair
    data = filled(source, dtype)
    output = assert_consistent("reshape", [data], {"shape": target})
    np.testing.assert_array_equal(output.ravel(), data.ravel())


@settings(deadline=None)
@given(reshapes(), st.data())
def test_reshape_bounds_name_every_element_a_region_reads(
    pair: tuple[tuple[int, ...], tuple[int, ...]], data: st.DataObject
) -> None:
    source, target = pair
    assert_region_suffices(
        "reshape", [filled(source, "int16")], {"shape": target}, data.draw(regions(target), label="region")
    )


def test_reshape_bounds_keep_the_axes_that_survive() -> None:
    (bounds,) = operator("reshape").bounds([TensorSpec((2, 3, 4, 5), "int8")], {"shape": (2, 3, 20)})
    assert bounds.axes == (Window(0), Window(1), Whole(), Whole())


@pytest.mark.parametrize("shape", [(5,), (2, 4), (0, 6), (-2, -3)])
def test_reshape_refuses_a_shape_that_does_not_hold_the_elements(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"elements|positive"):
        operator("reshape").infer([TensorSpec((2, 3), "int8")], {"shape": shape})


def test_only_reshape_is_a_view() -> None:
    assert operator("reshape").is_view
    assert not operator("copy").is_view


@settings(max_examples=10, deadline=None)
@given(shapes(), st.sampled_from(DTYPES), st.data())
def test_copy_is_the_identity_in_another_buffer(
    shape: tuple[int, ...], dtype: str, data: st.DataObject
) -> None:
    source = filled(shape, dtype)
    output = assert_consistent("copy", [source], {})
    np.testing.assert_array_equal(output, source)
    assert not np.shares_memory(output, source)
    assert_region_suffices("copy", [source], {}, data.draw(regions(shape), label="region"))
