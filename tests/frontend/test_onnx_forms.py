"""One network in every form that ONNX Runtime's quantiser writes, and integer operators by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frontend.calls import calls
from tests.frontend.onnx_models import QdqModel, channels_last, differences
from tvm_tinyml.dialect import operator_of
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.errors import UnsupportedError
from tvm_tinyml.frontend import from_onnx

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SHAPE = (1, 3, 16, 16)


def images(count: int) -> Iterator[Array]:
    random = np.random.default_rng(5)
    return (random.normal(size=SHAPE).astype("float32") for _ in range(count))


def float_network() -> Any:
    """A convolution, a residual of depthwise and pointwise, a pooling and a dense layer, with an open batch."""
    import onnx
    from onnx import helper, numpy_helper

    random = np.random.default_rng(0)
    constants: list[Any] = []

    def constant(*shape: int) -> str:
        size = np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 1.0
        name = f"w{len(constants)}"
        constants.append(numpy_helper.from_array((random.normal(size=shape) / size).astype("float32"), name))
        return name

    low, high = (
        numpy_helper.from_array(np.float32(value), name) for value, name in ((0, "low"), (6, "high"))
    )
    constants += [low, high]
    node = helper.make_node
    nodes = [
        node("Conv", ["x", constant(8, 3, 3, 3), constant(8)], ["c0"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Clip", ["c0", "low", "high"], ["r0"]),
        node("Conv", ["r0", constant(8, 1, 3, 3), constant(8)], ["c1"], group=8, pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", constant(8, 8, 1, 1), constant(8)], ["c2"]),
        node("Add", ["r0", "c2"], ["sum"]),
        node("GlobalAveragePool", ["sum"], ["pool"]),
        node("Flatten", ["pool"], ["flat"]),
        node("Gemm", ["flat", constant(5, 8), constant(5)], ["y"], transB=1),
    ]
    value = helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "net", [value("x", kind, ["N", *SHAPE[1:]])], [value("y", kind, ["N", 5])], constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    class Images:
        def __init__(self) -> None:
            self.left = images(8)

        def get_next(self) -> dict[str, Array] | None:
            image = next(self.left, None)
            return None if image is None else {"x": image}

    folder = tmp_path_factory.mktemp("onnx")
    onnx.save(float_network(), folder / "float.onnx")
    found = {}
    for form in ("QDQ", "QOperator"):
        for dtype in ("QInt8", "QUInt8"):
            place = folder / f"{form}_{dtype}.onnx"
            quantize_static(
                folder / "float.onnx",
                place,
                Images(),
                quant_format=QuantFormat[form],
                activation_type=QuantType[dtype],
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
            found[f"{form} {dtype}"] = place
    return found


def operators(module: Any) -> list[str]:
    return [found.name for _, call in calls(module) if (found := operator_of(call))]


@pytest.mark.parametrize("form", ["QDQ QInt8", "QDQ QUInt8", "QOperator QInt8", "QOperator QUInt8"])
def test_every_form_gives_the_outputs_of_onnx_runtime(quantized: dict[str, Path], form: str) -> None:
    import onnxruntime

    module, _ = from_onnx(quantized[form])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(quantized[form]), options)
    steps = []
    for image in images(20):
        (expected,) = session.run(None, {"x": image})
        (ours,) = evaluate(module, [channels_last(image)]).outputs
        step = np.diff(np.unique(expected)).min()
        steps.append(np.abs(ours - expected).max() / step)
    # One step of rounding in each of five layers, most of it lost on the way.
    assert max(steps) <= 1.5
    assert np.mean(np.asarray(steps) < 0.5) > 0.7


def test_the_forms_are_one_graph(quantized: dict[str, Path]) -> None:
    graphs = [operators(from_onnx(place)[0]) for place in quantized.values()]
    kept = [[name for name in graph if name not in ("quantize", "dequantize")] for graph in graphs]
    assert kept == [kept[0]] * len(kept)
    assert kept[0] == ["conv2d", "depthwise_conv2d", "conv2d", "add", "mean", "reshape", "dense"]


@pytest.mark.parametrize("kind", ["ConvInteger", "MatMulInteger"])
def test_integer_operators_with_a_constant_scale_are_exact_to_a_step(kind: str) -> None:
    image = kind == "ConvInteger"
    build = QdqModel(*((1, 3, 6, 6) if image else (1, 12)))
    (quantizer,) = [node for node in build.nodes if node.op_type == "QuantizeLinear"]
    weight = build.constant(build.random.integers(-127, 128, (4, 3, 3, 3) if image else (12, 4)), "int8")
    sums = build.node(kind, [quantizer.output[0], weight, quantizer.input[2]])
    scaled = build.node("Mul", [build.node("Cast", [sums], to=1), build.constant(0.05 * 0.004, "float32")])
    model = build.model(build.quantized(scaled, 0.05, 2))
    # Both sum up integers, and the factor is far from where their roundings part.
    assert not differences(model, 0.05).any()


def test_dynamic_quantisation_is_refused_with_the_remedy() -> None:
    build = QdqModel(1, 12)
    names = ["values", "scale", "zero"]
    build.nodes = [build.onnx.helper.make_node("DynamicQuantizeLinear", ["x"], names)]
    weight = build.constant(build.random.integers(-127, 128, (12, 4)), "int8")
    sums = build.node("MatMulInteger", ["values", weight, "zero"])
    scaled = build.node("Mul", [build.node("Cast", [sums], to=1), build.constant(0.01, "float32")])
    product = build.node("Einsum", [scaled, scaled], equation="ij,ij->ij")
    with pytest.raises(UnsupportedError, match=r"MatMulInteger.*quantise it statically") as caught:
        from_onnx(build.model(product))
    # All that is refused is told at once.
    assert "Einsum" in str(caught.value)
