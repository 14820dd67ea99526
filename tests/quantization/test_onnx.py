"""Float ONNX models quantised after training: close to the float model, and every layer's loss is told."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tvm_tinyml import relay
from tvm_tinyml.errors import ModelError, UnsupportedError
from tvm_tinyml.frontend import from_onnx
from tvm_tinyml.quantization import quantize_onnx, worst_layers

SHAPE = (1, 3, 8, 8)
GENERATOR = np.random.default_rng(5)
SAMPLES = GENERATOR.normal(size=(48, *SHAPE[1:])).astype("float32")


def constants(**arrays: Any) -> list[Any]:
    return [numpy_helper.from_array(np.asarray(one, "float32"), name) for name, one in arrays.items()]


def model(*nodes: Any, scores: tuple[int, ...] = (5,)) -> Any:
    """A convolution with normalisation and ReLU6, a second one, its average and a dense layer; or other nodes."""
    normal = np.random.default_rng(6).normal
    stored = constants(
        w1=normal(size=(4, 3, 3, 3)),
        gamma=[1.5, 0.5, 1, 2],
        beta=[0.1, 0, -0.2, 0.3],
        mean=[0.5, -0.5, 0, 1],
        variance=[20, 30, 25, 28],
        far=1000.0,
        low=0.0,
        high=6.0,
        w2=normal(size=(6, 4, 1, 1)),
        b2=normal(size=6),
        w3=normal(size=(5, 6)),
        b3=normal(size=5),
    )
    chain = nodes or (
        helper.make_node("Conv", ["image", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", "gamma", "beta", "mean", "variance"], ["n1"]),
        helper.make_node("Clip", ["n1", "low", "high"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"]),
        helper.make_node("HardSwish", ["c2"], ["h2"]),
        helper.make_node("GlobalAveragePool", ["h2"], ["a"]),
        helper.make_node("Flatten", ["a"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["scores"], transB=1),
    )
    graph = helper.make_graph(
        chain,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *SHAPE[1:]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", *scores])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_quantised_model_answers_like_the_float_one() -> None:
    floating = model()
    quantized, losses = quantize_onnx(floating, {"image": SAMPLES})
    module = relay.build(from_onnx(quantized)[0], target="tinyml/host")
    session = onnxruntime.InferenceSession(floating.SerializeToString(), providers=["CPUExecutionProvider"])
    images = SAMPLES[:12]
    exact = np.concatenate([session.run(None, {"image": one[np.newaxis]})[0] for one in images])
    ours = module.run_many([np.ascontiguousarray(one.transpose(1, 2, 0))[np.newaxis] for one in images])
    scores = np.concatenate([out for (out,) in ours.outputs])
    # int8 scores over twice their range of float ones cannot be further off than some steps.
    assert np.abs(scores - exact).max() < 8 * np.ptp(exact) / 255
    assert [(loss.name, loss.operator) for loss in losses] == [
        ("r1", "Conv + Clip"),
        ("c2", "Conv"),
        ("h2", "HardSwish"),
        ("a", "GlobalAveragePool"),
        ("f", "Flatten"),
        ("scores", "Gemm"),
    ]
    assert all(25 < loss.sqnr_db < 70 for loss in losses)


def test_the_layer_that_loses_most_is_named() -> None:
    nodes = [
        helper.make_node("Add", ["image", "far"], ["moved"]),
        helper.make_node("Sub", ["moved", "far"], ["back"]),
        helper.make_node("Conv", ["back", "w1"], ["scores"]),
    ]
    _, losses = quantize_onnx(model(*nodes, scores=(4, 6, 6)), SAMPLES)
    found = {loss.name: loss.sqnr_db for loss in losses}
    assert found["moved"] > 40
    assert found["back"] < 10
    assert {loss.name for loss in worst_layers(losses, 2)} == {"back", "scores"}


def test_every_unsupported_operator_is_named() -> None:
    nodes = [
        helper.make_node("Cos", ["image"], ["one"]),
        helper.make_node("Mystery", ["one"], ["other"], domain="somebody"),
        helper.make_node("Relu", ["other"], ["scores"]),
    ]
    odd = model(*nodes, scores=SHAPE[1:])
    odd.opset_import.append(helper.make_opsetid("somebody", 1))
    with pytest.raises(UnsupportedError, match="2 operators have no integer form") as caught:
        quantize_onnx(odd, SAMPLES)
    assert "0 Cos -> 'one'" in str(caught.value)
    assert "1 Mystery -> 'other'" in str(caught.value)


def test_a_quantised_model_is_not_quantised_again() -> None:
    quantized, _ = quantize_onnx(model(), SAMPLES)
    with pytest.raises(UnsupportedError, match="quantised already"):
        quantize_onnx(quantized, SAMPLES)


def test_a_missing_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install 'tvm-tinyml\[quantize\]'"):
        quantize_onnx(model(), SAMPLES)
