"""`softmax` against LiteRT over scales, betas and row lengths."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.oracle import run_reference
from tests.support.single_ops.case import Value, single_operator
from tests.support.tflite_writer import Options
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import TensorSpec
from tvm_tinyml.dialect.softmax import scaling


@pytest.mark.parametrize("shape", [(1, 10), (5, 1), (3, 257), (1, 2, 3, 4), (7,)])
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_a_softmax_is_that_of_litert(shape: tuple[int, ...], beta: float) -> None:
    """Scales from where all classes are equal to where all but the largest vanish, and beyond LiteRT's cap."""
    generator = np.random.default_rng(len(shape))
    beta = float(np.float32(beta))
    for scale in np.array(
        [1e-5, 0.003, 0.01, 0.06, 0.1, 0.25, 0.5, 1.0, 3.1, 8.0, 15.9, 16.0, 70.0], np.float32
    ):
        case = single_operator(
            "softmax",
            "SOFTMAX",
            [Value(shape, scale=float(scale), zero_point=3)],
            [Value(shape, scale=1 / 256, zero_point=-128)],
            Options("SoftmaxOptions", {"beta": beta}),
        )
        data = generator.integers(-128, 127, shape, dtype=np.int8, endpoint=True)
        multiplier, shift, diff_min = scaling(beta, float(scale))
        attrs = {"multiplier": multiplier, "shift": shift, "diff_min": diff_min}
        (expected,) = run_reference(case.model_bytes, [data]).outputs
        np.testing.assert_array_equal(
            operator("softmax").reference([data], attrs), expected, err_msg=str(scale)
        )


def test_the_longest_row_does_not_overflow_its_sum() -> None:
    multiplier, shift, diff_min = scaling(1.0, 0.1)
    attrs = {"multiplier": multiplier, "shift": shift, "diff_min": diff_min}
    output = operator("softmax").reference([np.zeros((1, 4095), np.int8)], attrs)
    assert set(output.ravel().tolist()) == {-128}
    with pytest.raises(ValueError, match="at most 4095"):
        operator("softmax").infer([TensorSpec((1, 4096), "int8")], attrs)


def test_a_scalar_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one axis"):
        operator("softmax").infer([TensorSpec((), "int8")], {})
