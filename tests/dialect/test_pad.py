"""`pad` against NumPy, LiteRT and its own TensorIR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialect.geometry import DTYPES, filled, regions, shapes
from tests.dialect.te_execution import assert_consistent, assert_region_suffices, prim_func
from tests.support.oracle import run_reference
from tests.support.tflite_writer import Graph, Options, write_model
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import TensorSpec


@st.composite
def paddings(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = draw(shapes(max_extent=4))
    width = draw(st.lists(st.integers(0, 3), min_size=2 * len(shape), max_size=2 * len(shape)))
    return shape, tuple(width)


def padded_shape(shape: tuple[int, ...], width: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n + a + b for n, a, b in zip(shape, width[::2], width[1::2], strict=True))


@settings(max_examples=20, deadline=None)
@given(paddings(), st.sampled_from(DTYPES))
def test_the_border_holds_the_value_and_the_inside_the_input(
    case: tuple[tuple[int, ...], tuple[int, ...]], dtype: str
) -> None:
    shape, width = case
    data = filled(shape, dtype)
    output = assert_consistent("pad", [data], {"pad_width": width, "pad_value": 7})
    inside = tuple(slice(a, a + n) for n, a in zip(shape, width[::2], strict=True))
    np.testing.assert_array_equal(output[inside], data)
    outside = np.ones(output.shape, bool)
    outside[inside] = False
    assert (output[outside] == 7).all()


@settings(deadline=None)
@given(paddings(), st.data())
def test_bounds_name_every_element_a_region_reads(
    case: tuple[tuple[int, ...], tuple[int, ...]], data: st.DataObject
) -> None:
    shape, width = case
    region = data.draw(regions(padded_shape(shape, width)), label="region")
    assert_region_suffices("pad", [filled(shape, "int8")], {"pad_width": width, "pad_value": -3}, region)


def test_a_region_of_border_reads_nothing() -> None:
    attrs = {"pad_width": (0, 0, 2, 1), "pad_value": 0}
    (bounds,) = operator("pad").bounds([TensorSpec((3, 4), "int8")], attrs)
    assert bounds.region(((1, 2), (0, 2)), (3, 4)) == ((1, 2), (0, 0))


def test_no_element_is_tested_or_written_twice() -> None:
    text = prim_func(
        "pad", [filled((1, 4, 4, 3), "int8")], {"pad_width": (0, 0, 1, 2, 0, 1, 0, 0), "pad_value": 1}
    ).script()
    assert "if_then_else" not in text
    assert text.count("T.sblock(") == 6  # root and operator; top, bottom, right and inside


@pytest.mark.parametrize(
    ("width", "value", "message"),
    [((1, 1), 0, "entries"), ((0, 0, -1, 0), 0, "negative"), ((1, 1, 1, 1), 200, "does not fit")],
)
def test_inconsistent_attributes_are_refused(width: tuple[int, ...], value: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operator("pad").infer([TensorSpec((2, 2), "int8")], {"pad_width": width, "pad_value": value})


@pytest.mark.parametrize("value", [None, 42])
@pytest.mark.parametrize(
    ("shape", "width"),
    [((1, 3, 4, 2), (0, 0, 1, 2, 3, 0, 0, 0)), ((1, 2, 3, 2), (0, 0, 0, 0, 0, 0, 1, 2)), ((5,), (2, 1))],
)
def test_equals_litert(shape: tuple[int, ...], width: tuple[int, ...], value: int | None) -> None:
    """Without a value of its own the border is the zero point."""
    graph, zero_point = Graph(), -17
    source = graph.input("data", shape, "int8", scale=0.5, zero_point=zero_point)
    operands = [source, graph.constant("widths", np.reshape(width, (-1, 2)))]
    if value is not None:
        operands.append(
            graph.tensor("value", (1,), "int8", scale=0.5, zero_point=zero_point, data=np.array([value]))
        )
    target = graph.output("padded", padded_shape(shape, width), "int8", scale=0.5, zero_point=zero_point)
    name, options = ("PAD", "PadOptions") if value is None else ("PADV2", "PadV2Options")
    graph.operator(name, operands, [target], Options(options), version=2)
    data = filled(shape, "int8")
    golden = run_reference(write_model(graph), [data]).outputs[0]
    attrs = {"pad_width": width, "pad_value": zero_point if value is None else value}
    np.testing.assert_array_equal(operator("pad").reference([data], attrs), golden)
