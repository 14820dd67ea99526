"""`avg_pool2d` and `max_pool2d`: rounding, borders and refused geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import TensorSpec


def attributes(
    pool: tuple[int, int], strides: tuple[int, int] = (1, 1), padding: tuple[int, ...] = (0, 0, 0, 0)
) -> dict[str, Any]:
    return {"pool": pool, "strides": strides, "padding": padding, "clamp_min": -128, "clamp_max": 127}


@pytest.mark.parametrize(
    ("values", "mean"), [((1, 2), 2), ((-1, -2), -2), ((0, -1), -1), ((0, 1), 1), ((-3, 3), 0)]
)
def test_an_average_rounds_half_away_from_zero(values: tuple[int, int], mean: int) -> None:
    data = np.array(values, np.int8).reshape(1, 1, 2, 1)
    assert operator("avg_pool2d").reference([data], attributes((1, 2))).item() == mean


def test_an_average_counts_only_what_lies_inside() -> None:
    data = np.full((1, 3, 3, 1), 40, np.int8)
    output = operator("avg_pool2d").reference([data], attributes((3, 3), padding=(1, 1, 1, 1)))
    np.testing.assert_array_equal(output, data)


def test_padding_never_wins_a_maximum() -> None:
    data = np.full((1, 2, 2, 1), -128, np.int8)
    data[0, 0, 0, 0] = -127
    output = operator("max_pool2d").reference([data], attributes((2, 2), padding=(0, 0, 1, 1)))
    assert output.ravel().tolist() == [-127, -128, -128, -128]


@pytest.mark.parametrize("name", ["avg_pool2d", "max_pool2d"])
@pytest.mark.parametrize(
    ("shape", "attrs", "message"),
    [
        ((4, 4, 3), attributes((2, 2)), "4-D"),
        ((1, 2, 2, 3), attributes((3, 3)), "does not fit"),
        ((1, 4, 4, 3), attributes((2, 2), padding=(2, 0, 0, 0)), "entirely in the padding"),
        ((1, 4, 4, 3), attributes((2, 2), padding=(0, 0, 2, 0)), "entirely in the padding"),
    ],
)
def test_geometry_that_reads_nothing_is_refused(
    name: str, shape: tuple[int, ...], attrs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        operator(name).infer([TensorSpec(shape, "int8")], attrs)
