"""Every ONNX operator gives what ONNX Runtime gives, within one step of its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.frontend.onnx_models import QdqModel, differences
from tvm_tinyml.errors import UnsupportedError
from tvm_tinyml.frontend import from_onnx

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SCALE = 0.05
Operator = Callable[[QdqModel, str], str]


def convolution(
    *, channels: int = 6, kernel: int = 3, groups: int = 1, bias: bool = True, **attrs: Any
) -> Operator:
    def apply(build: QdqModel, value: str) -> str:
        depth = build.shape[1] // groups
        inputs = [value, build.weight(channels, depth, kernel, kernel)]
        return build.node("Conv", [*inputs, build.bias(channels)] if bias else inputs, group=groups, **attrs)

    return apply


def unary(kind: str, **attrs: Any) -> Operator:
    return lambda build, value: build.node(kind, [value], **attrs)


def with_other(kind: str, scale: float) -> Operator:
    """The operand and a function of it in another quantisation."""
    return lambda build, value: build.node(
        kind, [value, build.quantized(build.node("Neg", [value]), scale, -7)]
    )


def with_constant(kind: str, *shape: int) -> Operator:
    return lambda build, value: build.node(kind, [value, build.weight(*shape, per_channel=False)])


IMAGE = (1, 4, 9, 7)
IMAGES: dict[str, Operator] = {
    "conv": convolution(),
    "conv, strided and padded on one side": convolution(strides=[2, 1], pads=[1, 0, 0, 2]),
    "conv, dilated": convolution(dilations=[2, 2], pads=[2, 2, 2, 2]),
    "conv, same upper": convolution(auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv, same lower": convolution(auto_pad="SAME_LOWER", strides=[2, 2]),
    "conv, pointwise without bias": convolution(kernel=1, bias=False),
    "conv, depthwise": convolution(channels=4, groups=4, pads=[1, 1, 1, 1]),
    "conv, depthwise with a multiplier": convolution(channels=8, groups=4),
    "conv and relu": lambda build, value: build.node("Relu", [convolution()(build, value)]),
    "conv and clip": lambda build, value: build.node(
        "Clip", [convolution()(build, value), build.constant(-1.0, "float32"), build.constant(2.0, "float32")]
    ),
    "max pool": unary("MaxPool", kernel_shape=[2, 3], strides=[2, 2], pads=[1, 1, 0, 1]),
    "average pool": unary("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "global average pool": unary("GlobalAveragePool"),
    "global max pool": unary("GlobalMaxPool"),
    "mean": unary("ReduceMean", axes=[2, 3], keepdims=0),
    "add": with_other("Add", 0.1),
    "sub": with_other("Sub", 0.03),
    "mul": with_other("Mul", 0.03),
    "times a number, and relu": lambda build, value: build.node(
        "Relu", [build.node("Mul", [value, build.constant(-0.7, "float32")])]
    ),
    "a number less it": lambda build, value: build.node("Sub", [build.constant([[1.5]], "float32"), value]),
    "over a number": lambda build, value: build.node("Div", [value, build.constant([3.0], "float32")]),
    "max": with_other("Max", 0.05),
    "min": with_other("Min", 0.05),
    "add per channel": with_constant("Add", 4, 1, 1),
    "mul per image": with_constant("Mul", 1, 4, 1, 7),
    "relu": unary("Relu"),
    "leaky relu": unary("LeakyRelu", alpha=0.3),
    "elu": unary("Elu"),
    "sigmoid": unary("Sigmoid"),
    "tanh": unary("Tanh"),
    "hard sigmoid": unary("HardSigmoid"),
    "hard swish": unary("HardSwish"),
    "concat": lambda build, value: build.node(
        "Concat", [value, build.quantized(build.node("Tanh", [value]), 0.01, 5)], axis=1
    ),
    "concat of rows": lambda build, value: build.node("Concat", [value, value], axis=2),
    "transpose": unary("Transpose", perm=[0, 2, 1, 3]),
    "reshape": lambda build, value: build.node("Reshape", [value, build.constant([1, 2, 14, 9], "int64")]),
    "squeeze": lambda build, value: build.node("Squeeze", [value, build.constant([0], "int64")]),
    "pad": lambda build, value: build.node("Pad", [value, build.constant([0, 0, 1, 2, 0, 0, 2, 0], "int64")]),
    "slice": lambda build, value: build.node(
        "Slice", [value, *(build.constant(one, "int64") for one in ([1, -5], [3, 100], [1, 2]))]
    ),
    "resize": lambda build, value: build.node(
        "Resize",
        [value, "", build.constant([1, 1, 2, 2], "float32")],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    "flatten and gemm": lambda build, value: build.node(
        "Gemm", [unary("Flatten")(build, value), build.weight(5, 4 * 9 * 7), build.bias(5)], transB=1
    ),
    "flatten and a function": lambda build, value: build.node("Tanh", [build.node("Flatten", [value])]),
}

# Where ONNX Runtime computes in integers as well.
EXACT = ("max pool", "global max pool")

ROW = (1, 12)
ROWS: dict[str, Operator] = {
    "gemm": lambda build, value: build.node("Gemm", [value, build.weight(12, 5, axis=1), build.bias(5)]),
    "gemm, transposed": lambda build, value: build.node("Gemm", [value, build.weight(5, 12)], transB=1),
    "product": lambda build, value: build.node("MatMul", [value, build.weight(12, 7, axis=1)]),
    "product and bias": lambda build, value: build.node(
        "Add", [build.node("MatMul", [value, build.weight(12, 7, axis=1)]), build.bias(7)]
    ),
    "gelu by erf": lambda build, value: build.node("Erf", [value]),
}


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("name", [*IMAGES, *ROWS])
def test_results_differ_by_a_step_at_most(name: str, dtype: str) -> None:
    shape, operator = (IMAGE, IMAGES[name]) if name in IMAGES else (ROW, ROWS[name])
    build = QdqModel(*shape, dtype=dtype)
    model = build.model(build.quantized(operator(build, build.start), SCALE, -4))
    found = differences(model, SCALE)
    # ONNX Runtime scales in floating point, the kernels in fixed point: near a tie they may part.
    assert np.abs(found).max() <= 1
    assert (found == 0).mean() > 0.9
    if name in EXACT:
        assert not found.any()


@pytest.mark.parametrize("opset", [13, 15, 18, 21])
def test_versions_of_the_operators_mean_the_same(opset: int) -> None:
    build = QdqModel(1, 4, 8, 8, opset=opset)
    value = build.quantized(convolution(pads=[1, 1, 1, 1])(build, build.start))
    one, other = f"one{opset}", f"other{opset}"
    halves = {"num_outputs": 2} if opset >= 18 else {}
    build.nodes.append(build.onnx.helper.make_node("Split", [value], [one, other], axis=1, **halves))
    value = build.quantized(build.node("Add", [one, other]))
    axes = {} if opset >= 18 else {"axes": [2, 3]}
    given = [build.constant([2, 3], "int64")] if opset >= 18 else []
    value = build.quantized(build.node("ReduceMean", [value, *given], **axes))
    value = build.node("Squeeze", [value, build.constant([2, 3], "int64")])
    found = differences(build.model(build.quantized(value, SCALE)), SCALE)
    assert np.abs(found).max() <= 1


def test_operators_of_other_domains_are_not_taken_for_those_of_the_standard() -> None:
    build = QdqModel(1, 4, 8, 8)
    model = build.model(
        build.quantized(build.node("Relu", [build.quantized(build.node("Tanh", [build.start]))]))
    )
    for domain in ("com.microsoft", "somebody"):
        model.opset_import.append(build.onnx.helper.make_opsetid(domain, 1))
    for node in model.graph.node:
        # ONNX Runtime has quantisations of its own, which mean the same.
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.domain = "com.microsoft"
    assert from_onnx(model)[0]["main"] is not None
    next(node for node in model.graph.node if node.op_type == "Relu").domain = "somebody"
    with pytest.raises(UnsupportedError, match=r"1 thing has.*\n.* somebody\.Relu -> "):
        from_onnx(model)


def test_softmax_differs_by_what_its_two_roundings_allow() -> None:
    build = QdqModel(1, 12)
    softmax = build.node("Softmax", [build.start], axis=1)
    # The kernel rounds to 1/256; another scale rounds once more.
    assert np.abs(differences(build.model(build.quantized(softmax, 1 / 256, -128)), 1 / 256)).max() <= 1
    build = QdqModel(1, 12)
    softmax = build.node("Softmax", [build.start], axis=1)
    assert np.abs(differences(build.model(build.quantized(softmax, 1 / 200, -128)), 1 / 200)).max() <= 2


def test_no_transposition_is_left_in_a_network_of_images() -> None:
    from tests.frontend.calls import calls
    from tvm_tinyml.dialect import operator_of

    build = QdqModel(1, 4, 8, 8)
    value = build.quantized(convolution(pads=[1, 1, 1, 1])(build, build.start))
    value = build.node(
        "Flatten", [build.quantized(build.node("MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2]))]
    )
    value = build.node("Gemm", [value, build.weight(5, 6 * 16), build.bias(5)], transB=1)
    module, _ = from_onnx(build.model(build.quantized(value)))
    kinds = [found.name for _, call in calls(module) if (found := operator_of(call))]
    assert kinds == ["quantize", "conv2d", "max_pool2d", "reshape", "dense", "dequantize"]
