"""What streamed regions copy: whatever lies inside the image, and the border's value everywhere else."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tvm_tinyml.resources import data_dir

SOURCE = """
#include "tinyml_columns.h"
const int8_t *window(int8_t *to, const int8_t *image, int32_t height, int32_t pitch, int32_t row, int32_t rows,
                     int32_t column, int32_t bytes, int8_t value)
{
    return tinyml_copy_window(to, image, height, pitch, row, rows, column, bytes, value);
}
void get_columns(int8_t *to, const int8_t *image, const int32_t *at, const int32_t *there, int8_t value)
{
    tinyml_get_columns(to, image, at[0], at[1], at[2], at[3], there[0], there[1], at[4], at[5], there[2], there[3],
                       value);
}
void put_columns(int8_t *image, const int8_t *from, const int32_t *at, int32_t top, int32_t height)
{
    tinyml_put_columns(image, at[0], from, at[1], at[3], at[4], at[5], top, height);
}
void edges(int8_t *row, int32_t rows, int32_t pitch, int32_t left, int32_t right, int8_t value)
{
    tinyml_fill_edges(row, rows, pitch, left, right, value);
}
void move(int8_t *to, const int8_t *from, int32_t bytes)
{
    tinyml_move_bytes(to, from, bytes);
}
"""
GUARD, BORDER = 99, -7


# Cores that load words from anywhere copy by words what does not lie at words.
@pytest.fixture(scope="module", params=[[], ["-D__ARM_FEATURE_UNALIGNED=1"]])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("rows")
    (folder / "rows.c").write_text(SOURCE, encoding="utf-8")
    include = data_dir("runtime_c") / "include"
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{include}", *request.param]
    command = ["gcc", *flags, "rows.c", "-o", "rows.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "rows.so"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 40)),
    st.tuples(st.integers(1, 9), st.integers(1, 40)),
    st.tuples(st.integers(-12, 12), st.integers(-45, 45)),
)
def test_a_window_is_the_image_and_its_border(
    library: ctypes.CDLL, image: tuple[int, int], window: tuple[int, int], at: tuple[int, int]
) -> None:
    (height, pitch), (rows, width), (row, column) = image, window, at
    pixels = np.arange(height * pitch, dtype="int8").reshape(image)
    expected = np.full(window, BORDER, "int8")
    for y in range(max(row, 0), min(row + rows, height)):
        for x in range(max(column, 0), min(column + width, pitch)):
            expected[y - row, x - column] = pixels[y, x]
    found = np.full(rows * width + 32, GUARD, "int8")
    place = found[16:].ctypes.data_as(ctypes.c_void_p)
    source = pixels.ctypes.data_as(ctypes.c_void_p)
    library.window(place, source, height, pitch, row, rows, column, width, ctypes.c_int8(BORDER))
    np.testing.assert_array_equal(found[16:-16].reshape(window), expected)
    assert (found[:16] == GUARD).all()
    assert (found[-16:] == GUARD).all()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 7), st.integers(1, 50), st.integers(-9, 60), st.integers(-9, 60))
def test_edges_of_rows_hold_the_border_and_nothing_else_changes(
    library: ctypes.CDLL, rows: int, pitch: int, left: int, right: int
) -> None:
    found = np.full(rows * pitch + 32, GUARD, "int8")
    expected = found.copy()
    inside = expected[16:-16].reshape(rows, pitch)
    inside[:, : max(left, 0)] = BORDER
    inside[:, max(pitch - max(right, 0), 0) :] = BORDER
    place = found[16:].ctypes.data_as(ctypes.c_void_p)
    library.edges(place, rows, pitch, left, right, ctypes.c_int8(BORDER))
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3), st.integers(0, 40), st.integers(0, 90))
def test_rows_move_down_over_themselves(library: ctypes.CDLL, place: int, down: int, count: int) -> None:
    found = np.arange(160).astype("int8")
    expected = found.copy()
    expected[place : place + count] = found[place + down : place + down + count]
    begin = found.ctypes.data + place
    library.move(ctypes.c_void_p(begin), ctypes.c_void_p(begin + down), count)
    np.testing.assert_array_equal(found, expected)


def integers(*values: int) -> ctypes.Array[ctypes.c_int32]:
    return (ctypes.c_int32 * len(values))(*values)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 40)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
)
def test_columns_of_an_image_are_its_rows_turned(
    library: ctypes.CDLL, image: tuple[int, int, int], block: tuple[int, int], at: tuple[int, int]
) -> None:
    (height, width, pixel), (rows, columns), (row, column) = image, block, at
    pixels = np.arange(height * width * pixel).astype("int8").reshape(image)
    inside = np.zeros((rows, columns), "bool")
    expected = np.full((columns, rows, pixel), BORDER, "int8")
    for y in range(max(row, 0), min(row + rows, height)):
        for x in range(max(column, 0), min(column + columns, width)):
            expected[x - column, y - row] = pixels[y, x]
            inside[y - row, x - column] = True
    found = np.full(expected.size + 32, GUARD, "int8")
    place = found[16:].ctypes.data_as(ctypes.c_void_p)
    source = pixels.ctypes.data_as(ctypes.c_void_p)
    where = integers(width * pixel, pixel, column, columns, row, rows)
    library.get_columns(place, source, where, integers(0, width, 0, height), ctypes.c_int8(BORDER))
    np.testing.assert_array_equal(found[16:-16].reshape(expected.shape), expected)
    assert (found[:16] == GUARD).all()
    assert (found[-16:] == GUARD).all()
    if column < 0 or column + columns > width:
        return
    # Columns go back to where they came from, without the rows outside.
    target = np.full((height + 2, width, pixel), GUARD, "int8")
    begin = target[1:].ctypes.data + column * pixel
    library.put_columns(ctypes.c_void_p(begin), place, where, 0, height)
    wanted = np.full(target.shape, GUARD, "int8")
    for y, x in np.argwhere(inside):
        wanted[1 + row + y, column + x] = pixels[row + y, column + x]
    np.testing.assert_array_equal(target, wanted)
