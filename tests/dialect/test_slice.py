"""`slice` against NumPy, LiteRT and its own TensorIR."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialect.geometry import DTYPES, filled, regions, shapes
from tests.dialect.te_execution import assert_consistent, assert_region_suffices
from tests.support.oracle import run_reference
from tests.support.single_ops.case import Value, int32_constant, single_operator
from tests.support.tflite_writer import Options
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import TensorSpec


@st.composite
def slicings(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, Any]]:
    shape = draw(shapes(max_extent=7))
    begin, strides, counts = [], [], []
    for extent in shape:
        start = draw(st.integers(0, extent - 1))
        stride = draw(st.sampled_from([-3, -2, -1, 1, 2, 3]))
        room = (extent - 1 - start) // stride if stride > 0 else start // -stride
        begin.append(start)
        strides.append(stride)
        counts.append(draw(st.integers(1, room + 1)))
    return shape, {"begin": tuple(begin), "strides": tuple(strides), "shape": tuple(counts)}


@settings(max_examples=25, deadline=None)
@given(slicings(), st.sampled_from(DTYPES), st.data())
def test_elements_are_picked_from_begin_in_steps_of_stride(
    case: tuple[tuple[int, ...], dict[str, Any]], dtype: str, data: st.DataObject
) -> None:
    shape, attrs = case
    source = filled(shape, dtype)
    output = assert_consistent("slice", [source], attrs)
    picked = np.ix_(
        *(
            [start + index * stride for index in range(count)]
            for start, stride, count in zip(attrs["begin"], attrs["strides"], attrs["shape"], strict=True)
        )
    )
    np.testing.assert_array_equal(output, source[picked])
    assert_region_suffices("slice", [source], attrs, data.draw(regions(output.shape), label="region"))


def test_a_region_reads_only_its_own_part() -> None:
    attrs = {"begin": (1, 0), "strides": (2, 1), "shape": (3, 4)}
    (bounds,) = operator("slice").bounds([TensorSpec((8, 4), "int8")], attrs)
    assert bounds.region(((1, 3), (0, 2)), (8, 4)) == ((3, 6), (0, 2))


@pytest.mark.parametrize(
    "attrs",
    [
        {"begin": (0,), "strides": (1, 1), "shape": (1, 1)},
        {"begin": (0, 0), "strides": (0, 1), "shape": (2, 2)},
        {"begin": (0, 3), "strides": (1, 1), "shape": (1, 1)},
        {"begin": (0, 1), "strides": (1, 1), "shape": (1, 3)},
        {"begin": (0, 1), "strides": (1, -1), "shape": (1, 3)},
        {"begin": (-1, 0), "strides": (1, 1), "shape": (1, 1)},
        {"begin": (0, 0), "strides": (1, 1), "shape": (0, 1)},
    ],
)
def test_a_box_outside_the_input_is_refused(attrs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="slice"):
        operator("slice").infer([TensorSpec((2, 3), "int8")], attrs)


@pytest.mark.parametrize(
    ("begin", "end", "strides", "attrs"),
    [
        ((0, 1, 0), (2, 4, 5), (1, 1, 1), {"begin": (0, 1, 0), "strides": (1, 1, 1), "shape": (2, 3, 5)}),
        ((0, 0, 1), (2, 4, 5), (1, 3, 2), {"begin": (0, 0, 1), "strides": (1, 3, 2), "shape": (2, 2, 2)}),
        (
            (1, 3, 4),
            (0, 0, 0),
            (-1, -2, -3),
            {"begin": (1, 3, 4), "strides": (-1, -2, -3), "shape": (1, 2, 2)},
        ),
    ],
)
def test_equals_litert_strided_slice(
    begin: tuple[int, ...], end: tuple[int, ...], strides: tuple[int, ...], attrs: dict[str, Any]
) -> None:
    data = filled((2, 4, 5), "int8")
    operands = [Value(data.shape), *(int32_constant(values) for values in (begin, end, strides))]
    case = single_operator(
        "slice",
        "STRIDED_SLICE",
        operands,
        [Value(attrs["shape"])],
        Options("StridedSliceOptions"),
    )
    golden = run_reference(case.model_bytes, [data]).outputs[0]
    np.testing.assert_array_equal(operator("slice").reference([data], attrs), golden)


def test_equals_litert_slice() -> None:
    data = filled((3, 4, 5, 2), "int8")
    operands = [Value(data.shape), int32_constant((1, 0, 2, 0)), int32_constant((2, 3, -1, 1))]
    case = single_operator("slice", "SLICE", operands, [Value((2, 3, 3, 1))], Options("SliceOptions"))
    golden = run_reference(case.model_bytes, [data]).outputs[0]
    attrs = {"begin": (1, 0, 2, 0), "strides": (1, 1, 1, 1), "shape": (2, 3, 3, 1)}
    np.testing.assert_array_equal(operator("slice").reference([data], attrs), golden)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_split_into_slices_equals_litert(axis: int) -> None:
    data = filled((4, 6, 2), "int8")
    part = tuple(extent // 2 if dimension == axis else extent for dimension, extent in enumerate(data.shape))
    case = single_operator(
        "split",
        "SPLIT",
        [int32_constant(np.int32(axis)), Value(data.shape)],
        [Value(part), Value(part)],
        Options("SplitOptions", {"num_splits": 2}),
    )
    golden = run_reference(case.model_bytes, [data]).outputs
    for index, expected in enumerate(golden):
        begin = tuple(index * part[axis] if dimension == axis else 0 for dimension in range(3))
        attrs = {"begin": begin, "strides": (1, 1, 1), "shape": part}
        np.testing.assert_array_equal(operator("slice").reference([data], attrs), expected)
