"""The committed digits model and its golden vectors belong together and stay what the demo relies on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tflite

MODELS = Path(__file__).resolve().parent
MODEL = MODELS / "digits.tflite"

OPERATORS = {
    tflite.BuiltinOperator.ADD,
    tflite.BuiltinOperator.AVERAGE_POOL_2D,
    tflite.BuiltinOperator.CONV_2D,
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D,
    tflite.BuiltinOperator.FULLY_CONNECTED,
    tflite.BuiltinOperator.PAD,
    tflite.BuiltinOperator.SOFTMAX,
}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(MODELS / "digits_golden.npz") as archive:
        return dict(archive)


def test_model_is_small_static_and_int8_throughout() -> None:
    content = MODEL.read_bytes()
    assert len(content) < 150_000
    model = tflite.Model.GetRootAs(content, 0)
    assert model.SubgraphsLength() == 1
    graph = model.Subgraphs(0)
    codes = {model.OperatorCodes(i).BuiltinCode() for i in range(model.OperatorCodesLength())}
    assert codes == OPERATORS
    for index in range(graph.TensorsLength()):
        assert graph.Tensors(index).Type() in (tflite.TensorType.INT8, tflite.TensorType.INT32)
        assert graph.Tensors(index).ShapeSignatureLength() == 0, "a dynamic shape"
    ends = [graph.Tensors(int(i)) for i in (*graph.InputsAsNumpy(), *graph.OutputsAsNumpy())]
    assert [end.ShapeAsNumpy().tolist() for end in ends] == [[1, 16, 16, 1], [1, 10]]
    assert all(end.Type() == tflite.TensorType.INT8 for end in ends)


def test_golden_vectors_belong_to_the_committed_model(golden: dict[str, np.ndarray]) -> None:
    assert str(golden["model_sha256"]) == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert golden["images"].dtype == golden["outputs"].dtype == np.int8
    assert golden["images"].shape == (360, 16, 16, 1)
    assert golden["outputs"].shape == (360, 10)
    assert set(golden["labels"].tolist()) == set(range(10))


def test_golden_outputs_name_at_least_97_percent_of_the_digits(golden: dict[str, np.ndarray]) -> None:
    assert (golden["outputs"].argmax(axis=1) == golden["labels"]).mean() >= 0.97


def test_litert_reference_kernels_reproduce_the_golden_outputs(golden: dict[str, np.ndarray]) -> None:
    litert = pytest.importorskip(
        "ai_edge_litert.interpreter", reason="needs the oracle extra (ai-edge-litert)"
    )
    resolver = litert.OpResolverType.BUILTIN_REF
    interpreter = litert.Interpreter(str(MODEL), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    sink = interpreter.get_output_details()[0]["index"]
    for image, expected in zip(golden["images"], golden["outputs"], strict=True):
        interpreter.set_tensor(source, image[np.newaxis])
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_tensor(sink)[0], expected)
