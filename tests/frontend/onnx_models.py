"""Small quantised ONNX models, and what ONNX Runtime makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.frontend import from_onnx

OPSET = 17
IR_VERSION = 10


class QdqModel:
    """Operators between quantisations; every activation has the scale and zero point that `quantized` gives it."""

    def __init__(
        self,
        *shape: int,
        scale: float = 0.05,
        zero_point: int = 3,
        dtype: str = "int8",
        opset: int = OPSET,
    ) -> None:
        import onnx

        self.onnx = onnx
        self.random = np.random.default_rng(len(shape) * 100 + sum(shape))
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.dtype = dtype
        self.opset = opset
        self.shape = shape
        self.start = self.quantized("x", scale, zero_point)

    def constant(self, value: Any, dtype: str) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], **attrs: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], **attrs))
        return name

    def quantized(self, value: str, scale: float = 0.05, zero_point: int = 3) -> str:
        """The value rounded to a quantisation and back."""
        offset = 128 if self.dtype == "uint8" else 0
        pair = [self.constant(scale, "float32"), self.constant(zero_point + offset, self.dtype)]
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [value, *pair]), *pair])

    def weight(self, *shape: int, axis: int = 0, per_channel: bool = True) -> str:
        data = self.random.integers(-127, 128, shape)
        scales = self.random.uniform(0.002, 0.01, shape[axis] if per_channel else ())
        zeros = np.zeros(np.shape(scales), "int8")
        inputs = [self.constant(data, "int8"), self.constant(scales, "float32"), self.constant(zeros, "int8")]
        return self.node("DequantizeLinear", inputs, axis=axis)

    def bias(self, channels: int) -> str:
        return self.constant(self.random.normal(size=channels), "float32")

    def model(self, *outputs: str) -> Any:
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("x", kinds.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, kinds.FLOAT, None) for name in outputs],
            self.constants,
        )
        inferred = self.onnx.shape_inference.infer_shapes(
            helper.make_model(
                graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=IR_VERSION
            )
        )
        return inferred


def differences(model: Any, scale: float, *, inputs: int = 3) -> Array:
    """Steps of the output by which the imported model and ONNX Runtime differ, over random inputs."""
    import onnxruntime

    module, _ = from_onnx(model)
    options = onnxruntime.SessionOptions()
    # As the operators are defined, without the rewrites that round elsewhere.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    shape = [extent.dim_value or 1 for extent in model.graph.input[0].type.tensor_type.shape.dim]
    found = []
    for seed in range(inputs):
        image = np.random.default_rng(seed).normal(size=shape, scale=2.0).astype("float32")
        (expected,) = session.run(None, {"x": image})
        (ours,) = evaluate(module, [channels_last(image)]).outputs
        found.append((np.asarray(ours) - channels_last(expected)) / scale)
    return np.rint(np.stack(found))


def channels_last(image: Array) -> Array:
    """An array in the layout of the imported module."""
    return np.ascontiguousarray(image.transpose(0, 2, 3, 1)) if image.ndim == 4 else image
