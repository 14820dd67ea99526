"""`lookup` and its tables against LiteRT."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.oracle import run_reference
from tests.support.single_ops.case import Value, single_operator
from tests.support.tflite_writer import Options
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.lookup import table
from tvm_tinyml.dialect.relax_api import TensorSpec

TABLES_PER_FUNCTION = 40
INPUTS = np.arange(-128, 128, dtype=np.int8)


@pytest.mark.parametrize(
    "function", ["logistic", "tanh", "relu", "relu6", "relu_n1_to_1", "hard_swish", "leaky_relu"]
)
def test_a_table_holds_what_litert_computes(function: str) -> None:
    generator = np.random.default_rng(len(function))
    for number in range(TABLES_PER_FUNCTION):
        # Powers of two make ties, equal scales make identities; the rest is arbitrary.
        if number % 3 == 0:
            input_scale = float(2.0 ** generator.integers(-8, 2))
            output_scale = input_scale * float(2.0 ** generator.integers(-2, 4))
        else:
            input_scale = float(np.float32(10 ** generator.uniform(-4, 1)))
            output_scale = float(np.float32(input_scale * 10 ** generator.uniform(-1.5, 1.5)))
        zero_points = [int(value) for value in generator.integers(-128, 127, 2, endpoint=True)]
        options, extra = None, {}
        if function == "logistic":
            output_scale, zero_points[1] = 1 / 256, -128
        if function == "leaky_relu":
            extra = {"alpha": float(np.float32(generator.choice([0.1, 0.01, 0.0, 0.5, 1.5, -0.3])))}
            options = Options("LeakyReluOptions", extra)
        case = single_operator(
            function,
            function.upper(),
            [Value((256,), scale=input_scale, zero_point=zero_points[0])],
            [Value((256,), scale=output_scale, zero_point=zero_points[1])],
            options,
        )
        entries = table(function, input_scale, zero_points[0], output_scale, zero_points[1], **extra)
        (expected,) = run_reference(case.model_bytes, [INPUTS]).outputs
        np.testing.assert_array_equal(entries, expected, err_msg=f"{input_scale} {output_scale} {extra}")


def test_each_element_is_looked_up_by_its_distance_from_the_least() -> None:
    entries = np.arange(256, dtype=np.uint8).view(np.int8)
    data = np.array([[-128, 0], [127, -1]], np.int8)
    output = operator("lookup").reference([data, entries], {"function": "identity"})
    assert output.view(np.uint8).tolist() == [[0, 128], [255, 127]]


def test_an_unknown_function_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ValueError, match=r"'gelu', known are hard_swish, .*tanh"):
        table("gelu", 0.1, 0, 0.1, 0)


def test_scales_hard_swish_cannot_represent_are_refused() -> None:
    with pytest.raises(ValueError, match="hard_swish needs an output scale"):
        table("hard_swish", 4.0, 0, 0.01, 0)


@pytest.mark.parametrize("entries", [TensorSpec((255,), "int8"), TensorSpec((256,), "uint8")])
def test_a_table_of_another_type_is_refused(entries: TensorSpec) -> None:
    with pytest.raises(ValueError, match="lookup needs"):
        operator("lookup").infer([TensorSpec((3,), "int8"), entries], {"function": "relu"})
