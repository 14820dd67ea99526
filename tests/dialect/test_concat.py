"""`concat` against NumPy, LiteRT and its own TensorIR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialect.geometry import DTYPES, filled, regions, shapes
from tests.dialect.te_execution import assert_consistent, assert_region_suffices, prim_func
from tests.support.oracle import run_reference
from tests.support.single_ops.case import Value, single_operator
from tests.support.tflite_writer import Options
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import Array, TensorSpec


@st.composite
def joins(draw: st.DrawFn) -> tuple[list[Array], int]:
    shape = draw(shapes(max_extent=4))
    axis = draw(st.integers(0, len(shape) - 1))
    extents = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    dtype = draw(st.sampled_from(DTYPES))
    arrays = [
        filled((*shape[:axis], extent, *shape[axis + 1 :]), dtype, seed)
        for seed, extent in enumerate(extents)
    ]
    return arrays, axis


@settings(max_examples=20, deadline=None)
@given(joins(), st.data())
def test_inputs_follow_each_other_along_the_axis(case: tuple[list[Array], int], data: st.DataObject) -> None:
    arrays, axis = case
    output = assert_consistent("concat", arrays, {"axis": axis})
    np.testing.assert_array_equal(output, np.concatenate(arrays, axis))
    assert_region_suffices("concat", arrays, {"axis": axis}, data.draw(regions(output.shape), label="region"))


def test_an_input_outside_the_region_is_not_read() -> None:
    specs = [TensorSpec((2, 3), "int8"), TensorSpec((2, 5), "int8")]
    first, second = operator("concat").bounds(specs, {"axis": 1})
    assert first.region(((0, 2), (4, 6)), (2, 3)) == ((0, 2), (0, 0))
    assert second.region(((0, 2), (4, 6)), (2, 5)) == ((0, 2), (1, 3))


def test_every_input_is_one_loop_nest_without_conditions() -> None:
    arrays = [filled((1, 4, 4, depth), "int8") for depth in (3, 1, 2)]
    text = prim_func("concat", arrays, {"axis": 3}).script()
    assert "if_then_else" not in text
    assert [f'T.sblock("copy_{index}")' in text for index in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("specs", "axis", "message"),
    [
        ([], 0, "at least one"),
        ([TensorSpec((2, 3), "int8")], 2, "axis 2"),
        ([TensorSpec((2, 3), "int8")], -1, "axis -1"),
        ([TensorSpec((2, 3), "int8"), TensorSpec((3, 3), "int8")], 1, "does not fit"),
        ([TensorSpec((2, 3), "int8"), TensorSpec((2, 3, 1), "int8")], 1, "does not fit"),
        ([TensorSpec((2, 3), "int8"), TensorSpec((2, 3), "int16")], 1, "int16"),
    ],
)
def test_inconsistent_inputs_are_refused(specs: list[TensorSpec], axis: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operator("concat").infer(specs, {"axis": axis})


def litert_model(
    shapes: list[tuple[int, ...]], axis: int, scales: list[float], zero_points: list[int]
) -> bytes:
    """CONCATENATION of inputs with the given quantisation; the output takes the first one's."""
    inputs = [
        Value(shape, "int8", scale, zero_point)
        for shape, scale, zero_point in zip(shapes, scales, zero_points, strict=True)
    ]
    joined = list(shapes[0])
    joined[axis] = sum(shape[axis] for shape in shapes)
    output = Value(tuple(joined), "int8", scales[0], zero_points[0])
    options = Options("ConcatenationOptions", {"axis": axis})
    return single_operator("concat", "CONCATENATION", inputs, [output], options).model_bytes


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_equals_litert(axis: int) -> None:
    sizes = [tuple(2 + index if dimension == axis else 3 for dimension in range(4)) for index in range(3)]
    arrays = [filled(shape, "int8", seed) for seed, shape in enumerate(sizes)]
    golden = run_reference(litert_model(sizes, axis, [0.5] * 3, [-3] * 3), arrays).outputs[0]
    np.testing.assert_array_equal(operator("concat").reference(arrays, {"axis": axis}), golden)


@pytest.mark.parametrize(("scale", "zero_point"), [(0.25, -3), (0.5, 4)])
def test_litert_refuses_int8_inputs_of_another_quantisation(scale: float, zero_point: int) -> None:
    """So the operator has no rescaling to imitate."""
    model = litert_model([(1, 4), (1, 4)], 1, [0.5, scale], [-3, zero_point])
    with pytest.raises((RuntimeError, ValueError), match="CONCATENATION"):
        run_reference(model, [filled((1, 4), "int8")] * 2)
