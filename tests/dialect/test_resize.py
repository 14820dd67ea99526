"""`resize_nearest` and `resize_bilinear` against LiteRT and their own TensorIR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialect.c_execution import run_c
from tests.dialect.geometry import DTYPES, filled, regions
from tests.dialect.operator_calls import Call
from tests.dialect.te_execution import assert_consistent, assert_region_suffices
from tests.support.oracle import run_reference
from tests.support.single_ops.case import Value, int32_constant, single_operator
from tests.support.tflite_writer import Options
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.bounds import Window
from tvm_tinyml.dialect.relax_api import Array, TensorSpec
from tvm_tinyml.dialect.resize import index_line

TFLITE = {
    "resize_nearest": ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "resize_bilinear": ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
}
MODES = [(False, False), (True, False), (False, True), (True, True)]
SIZES = [
    ((1, 1), (3, 4)),
    ((3, 5), (6, 10)),
    ((4, 4), (4, 4)),
    ((7, 6), (3, 2)),
    ((5, 8), (1, 1)),
    ((2, 3), (11, 7)),
    ((13, 9), (16, 30)),
]
# Extents at which single precision puts some nearest index off the line through the others.
OFF_THE_LINE = [(25, 115), (52, 44), (65, 55), (118, 100)]


def attributes(size: tuple[int, int], mode: tuple[bool, bool]) -> dict[str, Any]:
    return {"size": size, "align_corners": mode[0], "half_pixel_centers": mode[1]}


def litert(name: str, data: Array, attrs: dict[str, Any]) -> Array:
    code, table = TFLITE[name]
    options = Options(
        table,
        {
            "align_corners": attrs["align_corners"],
            "half_pixel_centers": attrs["half_pixel_centers"],
        },
    )
    output = Value((data.shape[0], *attrs["size"], data.shape[3]))
    case = single_operator(name, code, [Value(data.shape), int32_constant(attrs["size"])], [output], options)
    return run_reference(case.model_bytes, [data]).outputs[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("source", "size"), SIZES)
def test_nearest_equals_litert(
    source: tuple[int, int], size: tuple[int, int], mode: tuple[bool, bool]
) -> None:
    data, attrs = filled((1, *source, 3), "int8"), attributes(size, mode)
    np.testing.assert_array_equal(
        operator("resize_nearest").reference([data], attrs), litert("resize_nearest", data, attrs)
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("source", "target"), OFF_THE_LINE)
def test_nearest_follows_single_precision_off_the_line(
    source: int, target: int, mode: tuple[bool, bool]
) -> None:
    data = np.arange(source).astype("int8").reshape(1, source, 1, 1)
    attrs = attributes((target, 1), mode)
    output = assert_consistent("resize_nearest", [data], attrs)
    np.testing.assert_array_equal(output, litert("resize_nearest", data, attrs))


@pytest.mark.parametrize("mode", MODES[:3])
@pytest.mark.parametrize(("source", "size"), SIZES)
def test_bilinear_equals_litert(
    source: tuple[int, int], size: tuple[int, int], mode: tuple[bool, bool]
) -> None:
    attrs = attributes(size, mode)
    for seed in range(3):
        data = filled((2, *source, 3), "int8", seed)
        data[1] = np.where(data[1] < 0, -128, 127)  # the ends of the range
        np.testing.assert_array_equal(
            operator("resize_bilinear").reference([data], attrs), litert("resize_bilinear", data, attrs)
        )


def test_bilinear_ties_round_away_from_zero_as_in_litert() -> None:
    data = np.array([-2, -1, 0, 1, 2, -128, 127], "int8").reshape(1, 1, 7, 1)
    attrs = attributes((1, 13), (True, False))
    output = operator("resize_bilinear").reference([data], attrs)
    np.testing.assert_array_equal(output, litert("resize_bilinear", data, attrs))
    assert output[0, 0, :5, 0].tolist() == [-2, -2, -1, -1, 0]


@st.composite
def resizes(draw: st.DrawFn, modes: list[tuple[bool, bool]]) -> tuple[tuple[int, ...], dict[str, Any]]:
    extent = st.integers(1, 12)
    shape = (draw(st.integers(1, 2)), draw(extent), draw(extent), draw(st.integers(1, 3)))
    size = (draw(st.integers(1, 25)), draw(st.integers(1, 25)))
    return shape, attributes(size, draw(st.sampled_from(modes)))


@settings(max_examples=15, deadline=None)
@given(resizes(MODES), st.sampled_from(DTYPES))
def test_nearest_tensor_ir_computes_the_reference(
    case: tuple[tuple[int, ...], dict[str, Any]], dtype: str
) -> None:
    assert_consistent("resize_nearest", [filled(case[0], dtype)], case[1])


def test_bilinear_c_computes_the_reference(tmp_path: Path) -> None:
    calls = [
        Call("resize_bilinear", (filled((1, *source, 3), "int8"),), attributes(size, mode))
        for source, size in SIZES
        for mode in MODES[:3]
    ]
    for call, output in zip(calls, run_c(calls, tmp_path), strict=True):
        expected = operator(call.name).reference(call.arrays, call.attrs)
        np.testing.assert_array_equal(output, expected, err_msg=f"{call.attrs}")


@pytest.mark.parametrize("name", ["resize_nearest", "resize_bilinear"])
@settings(deadline=None)
@given(resizes(MODES[:3]), st.data())
def test_bounds_name_every_element_a_region_reads(
    name: str, case: tuple[tuple[int, ...], dict[str, Any]], data: st.DataObject
) -> None:
    shape, attrs = case
    region = data.draw(regions((shape[0], *attrs["size"], shape[3])), label="region")
    assert_region_suffices(name, [filled(shape, "int8")], attrs, region)


def test_bounds_of_doubling_read_half_as_far() -> None:
    attrs = attributes((8, 8), (False, False))
    (bounds,) = operator("resize_nearest").bounds([TensorSpec((1, 4, 4, 3), "int8")], attrs)
    assert bounds.axes[1] == Window(1, 4, 8)
    assert bounds.region(((0, 1), (2, 6), (0, 8), (0, 3)), (1, 4, 4, 3))[1] == (1, 3)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.integers(0, 40), st.integers(1, 40))
def test_a_line_with_corrections_is_exact_for_any_table(
    table: list[int], numerator: int, denominator: int
) -> None:
    line = index_line(np.array(table), numerator, denominator)
    corrections = dict(line.corrections)
    for position, index in enumerate(table):
        on_line = (position * line.multiplier + line.offset) >> line.shift
        assert on_line + corrections.get(position, 0) == index
        assert abs(position * line.multiplier + line.offset) < 2**31


def test_powers_of_two_need_no_multiplication() -> None:
    line = index_line(np.arange(16) // 2, 8, 16)
    assert (line.multiplier, line.shift, line.corrections) == (1, 1, ())


@pytest.mark.parametrize(
    ("name", "spec", "attrs", "message"),
    [
        ("resize_nearest", TensorSpec((4, 4, 3), "int8"), attributes((2, 2), (False, False)), "NHWC"),
        ("resize_nearest", TensorSpec((1, 4, 4, 3), "int8"), attributes((0, 2), (False, False)), "positive"),
        ("resize_nearest", TensorSpec((1, 1, 4, 3), "int8"), attributes((2, 20000), (False, False)), "limit"),
        (
            "resize_nearest",
            TensorSpec((1, 9001, 4, 3), "int8"),
            attributes((13331, 4), (False, True)),
            "off the",
        ),
        ("resize_bilinear", TensorSpec((1, 4, 4, 3), "uint8"), attributes((2, 2), (False, False)), "uint8"),
        ("resize_bilinear", TensorSpec((1, 4, 4, 3), "int8"), attributes((2, 2), (True, True)), "combine"),
        ("resize_bilinear", TensorSpec((1, 3, 4, 3), "int8"), attributes((2000, 4), (False, False)), "bits"),
    ],
)
def test_what_has_no_meaning_is_refused(
    name: str, spec: TensorSpec, attrs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        operator(name).infer([spec], attrs)
