"""`transpose` against NumPy, LiteRT and its own TensorIR."""

from __future__ import annotations

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
def permutations(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = draw(shapes(max_rank=6, max_extent=4))
    return shape, tuple(draw(st.permutations(range(len(shape)))))


@settings(max_examples=20, deadline=None)
@given(permutations(), st.sampled_from(DTYPES), st.data())
def test_output_axis_is_the_named_input_axis(
    case: tuple[tuple[int, ...], tuple[int, ...]], dtype: str, data: st.DataObject
) -> None:
    shape, axes = case
    source = filled(shape, dtype)
    output = assert_consistent("transpose", [source], {"axes": axes})
    np.testing.assert_array_equal(output, np.transpose(source, axes))
    assert_region_suffices(
        "transpose", [source], {"axes": axes}, data.draw(regions(output.shape), label="region")
    )


def test_a_region_reads_the_permuted_region() -> None:
    (bounds,) = operator("transpose").bounds([TensorSpec((4, 5, 6), "int8")], {"axes": (2, 0, 1)})
    assert bounds.region(((0, 1), (1, 3), (2, 5)), (4, 5, 6)) == ((1, 3), (2, 5), (0, 1))


@pytest.mark.parametrize("axes", [(0,), (0, 0), (0, 2), (-1, 0), (0, 1, 2)])
def test_axes_that_are_no_permutation_are_refused(axes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="permute"):
        operator("transpose").infer([TensorSpec((2, 3), "int8")], {"axes": axes})


@pytest.mark.parametrize("axes", [(1, 0), (0, 3, 1, 2), (3, 2, 1, 0), (4, 0, 3, 1, 2)])
def test_equals_litert(axes: tuple[int, ...]) -> None:
    data = filled((2, 3, 4, 5, 2)[: len(axes)], "int8")
    case = single_operator(
        "transpose",
        "TRANSPOSE",
        [Value(data.shape), int32_constant(axes)],
        [Value(tuple(data.shape[axis] for axis in axes))],
        Options("TransposeOptions"),
    )
    golden = run_reference(case.model_bytes, [data]).outputs[0]
    np.testing.assert_array_equal(operator("transpose").reference([data], {"axes": axes}), golden)
