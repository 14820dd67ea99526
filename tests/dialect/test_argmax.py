"""`argmax` against NumPy, LiteRT and its own TensorIR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialect.geometry import filled, regions, shapes
from tests.dialect.te_execution import assert_consistent, assert_region_suffices
from tests.support.oracle import run_reference
from tests.support.single_ops.case import Value, int32_constant, single_operator
from tests.support.tflite_writer import Options
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import Array, TensorSpec

# TensorType of the schema.
TENSOR_TYPE = {"int32": 2, "int64": 4}


@st.composite
def searches(draw: st.DrawFn) -> tuple[Array, int]:
    """Arrays with many ties and both ends of the range."""
    shape = draw(shapes(max_extent=9))
    axis = draw(st.integers(0, len(shape) - 1))
    dtype = draw(st.sampled_from(["int8", "uint8", "int16"]))
    limits = np.iinfo(dtype)
    pool = np.array([limits.min, limits.min + 1, 0, limits.max - 1, limits.max], dtype)
    seed = draw(st.integers(0, 2**16))
    return np.random.default_rng(seed).choice(pool, shape), axis


@settings(max_examples=25, deadline=None)
@given(searches(), st.sampled_from(["int32", "int64"]), st.data())
def test_the_first_of_equal_maxima_wins(case: tuple[Array, int], dtype: str, data: st.DataObject) -> None:
    array, axis = case
    attrs = {"axis": axis, "dtype": dtype}
    output = assert_consistent("argmax", [array], attrs)
    np.testing.assert_array_equal(output, np.argmax(array, axis))
    assert_region_suffices("argmax", [array], attrs, data.draw(regions(output.shape), label="region"))


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_the_key_holds_the_longest_axis(dtype: str) -> None:
    """The largest index beside the smallest and the largest value."""
    limit = 2**15
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    array = np.full((3, limit), low, dtype)
    array[1, -1], array[2, [0, -1]] = high, high
    output = assert_consistent("argmax", [array], {"axis": 1, "dtype": "int32"})
    np.testing.assert_array_equal(output, [0, limit - 1, 0])


@pytest.mark.parametrize(
    ("spec", "attrs", "message"),
    [
        (TensorSpec((4,), "float32"), {"axis": 0, "dtype": "int32"}, "float32"),
        (TensorSpec((4,), "int8"), {"axis": 1, "dtype": "int32"}, "axis 1"),
        (TensorSpec((4,), "int8"), {"axis": 0, "dtype": "int16"}, "int16"),
        (TensorSpec((2**15 + 1,), "int16"), {"axis": 0, "dtype": "int32"}, "limit"),
        (TensorSpec((2**23 + 1,), "int8"), {"axis": 0, "dtype": "int32"}, "limit"),
    ],
)
def test_what_the_key_cannot_hold_is_refused(
    spec: TensorSpec, attrs: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        operator("argmax").infer([spec], attrs)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_equals_litert(axis: int, dtype: str) -> None:
    data = filled((2, 5, 4, 6), "int8") // np.int8(32)
    output = tuple(extent for dimension, extent in enumerate(data.shape) if dimension != axis)
    case = single_operator(
        "argmax",
        "ARG_MAX",
        [Value(data.shape), int32_constant(np.int32(axis))],
        [Value(output, dtype, None)],
        Options("ArgMaxOptions", {"output_type": TENSOR_TYPE[dtype]}),
    )
    golden = run_reference(case.model_bytes, [data]).outputs[0]
    result = operator("argmax").reference([data], {"axis": axis, "dtype": dtype})
    assert result.dtype == golden.dtype
    np.testing.assert_array_equal(result, golden)
