"""Windows that streamed regions copy: whatever lies inside the image, and the border's value everywhere else."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tvm_tinyml.resources import data_dir

SOURCE = """
#include "tinyml_rows.h"
const int8_t *window(int8_t *to, const int8_t *image, int32_t height, int32_t pitch, int32_t row, int32_t rows,
                     int32_t column, int32_t bytes, int8_t value)
{
    return tinyml_copy_window(to, image, height, pitch, row, rows, column, bytes, value);
}
"""
GUARD, BORDER = 99, -7


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("rows")
    (folder / "rows.c").write_text(SOURCE, encoding="utf-8")
    include = data_dir("runtime_c") / "include"
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{include}"]
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
