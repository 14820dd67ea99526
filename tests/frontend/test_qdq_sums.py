"""Layers whose scales leave what integers can hold, since nothing was there to be quantised, mean what they meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.frontend.onnx_models import QdqModel, differences
from tvm_tinyml.errors import UnsupportedError
from tvm_tinyml.frontend import from_onnx
from tvm_tinyml.frontend.qdq.operators.sums import SATURATING, fitted
from tvm_tinyml.frontend.tflite.graph import Quantization, Tensor

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CHANNELS, DEPTH = 3, 4


def tensor(scale: float) -> Tensor:
    return Tensor(
        0, "t", (1,), None, "int8", Quantization(np.array([scale], np.float32), np.array([0]), 0), None
    )


exponent = st.floats(-12, 9).map(lambda power: float(np.float32(10**power)))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 999), st.lists(exponent, min_size=3, max_size=3), exponent, exponent, exponent)
def test_sums_are_within_a_step_whatever_the_scales(
    seed: int, scales: list[float], size: float, before: float, after: float
) -> None:
    random = np.random.default_rng(seed)
    weights = random.integers(-127, 128, (CHANNELS, DEPTH)) * random.integers(0, 2, (CHANNELS, 1))
    bias = random.normal(size=CHANNELS) * size
    data, output = tensor(before), tensor(after)
    found = fitted(weights.astype(np.int8), np.asarray(scales, np.float32), bias, data, output)
    assert found.bias is not None
    inputs = random.integers(-255, 256, (50, DEPTH))
    exact = (inputs @ weights.T * np.array(scales, np.float32) * data.scale + bias) / output.scale
    sums = inputs @ found.weights.astype(np.int64).T + found.bias
    assert np.abs(sums).max() < 2**31
    factors = data.scale * found.scales.astype(float) / output.scale
    ours, theirs = (np.clip(one, -300, 300) for one in (sums * factors, exact))
    # A bias is rounded to steps of the sums, or of the result where those are finer, and a factor is float32.
    steps = data.scale * np.array(scales, np.float32) / output.scale
    rounding = np.maximum(1.0, np.where(weights.any(axis=1), steps, 1.0)) / 2
    apart = np.abs(ours - theirs)
    assert (apart <= 0.1 + rounding).all()
    # Where that is more than the whole range only the sign counts.
    assert ((ours > SATURATING - 1) == (theirs > SATURATING - 1))[
        np.abs(exact) > 2 * SATURATING * rounding
    ].all()
    assert (factors <= 2.0**30).all()


def conv(build: QdqModel, weights: Any, scales: Any, bias: Any) -> str:
    stored = [
        build.constant(np.asarray(weights).reshape(2, 2, 1, 1), "int8"),
        build.constant(scales, "float32"),
        build.constant(np.zeros(np.shape(scales)), "int8"),
    ]
    weight = build.node("DequantizeLinear", stored, axis=0)
    return build.node("Conv", [build.start, weight, build.constant(bias, "float32")])


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9])
def test_channels_without_weights_hold_their_bias(scale: float) -> None:
    build = QdqModel(1, 2, 3, 3)
    model = build.model(build.quantized(conv(build, [0, 0, 50, -20], [scale, 0.01], [3.0, 0.5]), 0.05))
    assert np.abs(differences(model, 0.05)).max() <= 1


def test_a_result_that_never_was_anything_but_zero_saturates() -> None:
    build = QdqModel(1, 2, 3, 3)
    model = build.model(build.quantized(conv(build, [1, 2, 50, -20], [0.01, 1e6], [0.0, 0.0]), 2.0**-40, 0))
    assert np.abs(differences(model, 2.0**-40)).max() <= 1


@pytest.mark.parametrize("scale", [0.0, -0.1, np.nan, np.inf])
def test_scales_that_are_no_positive_numbers_are_refused(scale: float) -> None:
    build = QdqModel(1, 2, 3, 3)
    model = build.model(build.quantized(conv(build, [1, 2, 50, -20], [0.01, scale], [0.0, 0.0])))
    with pytest.raises(UnsupportedError, match="scale is not a positive number"):
        from_onnx(model)


def test_scales_along_another_dimension_are_refused() -> None:
    build = QdqModel(1, 2, 3, 3)
    value = conv(build, [1, 2, 50, -20], [0.01, 0.02], [0.0, 0.0])
    (node,) = [one for one in build.nodes if one.op_type == "DequantizeLinear" and len(one.attribute)]
    node.attribute[0].i = 1
    with pytest.raises(UnsupportedError, match="2 scales along dimension 1, not one per output channel"):
        from_onnx(build.model(build.quantized(value)))
