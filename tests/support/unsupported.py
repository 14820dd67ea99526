"""Well-formed models the compiler must refuse, with what the refusal has to name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .tflite_writer import Graph, Options, SparseDimension, write_model

SCALE = 0.05


@dataclass(frozen=True)
class UnsupportedModel:
    """A model to refuse.

    Attributes:
        mentions: texts the error must contain, in any case: operators, tensors, types.
        runs_in_litert: whether LiteRT's reference kernels load it.
    """

    name: str
    model_bytes: bytes
    mentions: tuple[str, ...]
    runs_in_litert: bool = True

    def __repr__(self) -> str:
        return f"UnsupportedModel({self.name})"


def unsupported_models() -> tuple[UnsupportedModel, ...]:
    """Every unsupported model."""
    return tuple(build() for build in _BUILDERS)


def _image(graph: Graph, name: str, shape: Sequence[int], dtype: str = "int8") -> int:
    scale = None if dtype in ("float32", "int32", "bool") else SCALE
    return graph.tensor(name, shape, dtype, scale=scale)


def _convolution(
    graph: Graph,
    source: int,
    target: int,
    *,
    dtype: str = "int8",
    bias_dtype: str = "int32",
    channels: tuple[int, int] = (3, 4),
) -> None:
    """A 1x1 CONV_2D whose weights have the type asked for."""
    inputs, outputs = channels
    quantized = dtype != "float32"
    zero_point = 128 if dtype == "uint8" else 0
    # Two 4-bit weights share a byte.
    data: bytes | None = bytes(inputs * outputs // 2) if dtype == "int4" else None
    weights = graph.tensor(
        "weights",
        (outputs, 1, 1, inputs),
        dtype,
        scale=SCALE if quantized else None,
        zero_point=zero_point,
        data=np.ones((outputs, 1, 1, inputs)) if data is None else data,
    )
    bias = graph.tensor(
        "bias", (outputs,), bias_dtype, scale=SCALE**2 if quantized else None, data=np.zeros(outputs)
    )
    graph.operator("CONV_2D", [source, weights, bias], [target], _unit_strides())


def _unit_strides() -> Options:
    return Options("Conv2DOptions", {"stride_h": 1, "stride_w": 1})


def _unknown_operators() -> UnsupportedModel:
    graph = Graph()
    names = ("image", "features", "magnitudes", "exponential", "negated", "mystery")
    tensors = [_image(graph, name, (1, 4, 4, 3)) for name in names]
    _convolution(graph, tensors[0], tensors[1], channels=(3, 3))
    graph.operator("ABS", [tensors[1]], [tensors[2]], Options("AbsOptions"))
    graph.operator("EXP", [tensors[2]], [tensors[3]])
    graph.operator("NEG", [tensors[3]], [tensors[4]], Options("NegOptions"))
    graph.operator("VendorTransform", [tensors[4]], [tensors[5]])
    graph.inputs, graph.outputs = tensors[:1], tensors[-1:]
    mentions = ("ABS", "magnitudes", "EXP", "exponential", "NEG", "negated")
    return UnsupportedModel(
        "unknown_operators",
        write_model(graph),
        (*mentions, "VendorTransform", "mystery"),
        runs_in_litert=False,
    )


def _single(
    name: str, mentions: tuple[str, ...], *, source: str, target: str, weights: str
) -> UnsupportedModel:
    """One convolution between tensors of the given types."""
    graph = Graph()
    bias = {"float32": "float32", "int16": "int64"}.get(source, "int32")
    first, last = (
        _image(graph, "image", (1, 4, 4, 3), source),
        _image(graph, "features", (1, 4, 4, 4), target),
    )
    _convolution(graph, first, last, dtype=weights, bias_dtype=bias)
    graph.inputs, graph.outputs = [first], [last]
    return UnsupportedModel(name, write_model(graph), mentions)


def _float_body() -> UnsupportedModel:
    mentions = ("CONV_2D", "features", "float32")
    return _single("float_body", mentions, source="float32", target="float32", weights="float32")


def _float_activations_with_int8_weights() -> UnsupportedModel:
    mentions = ("CONV_2D", "features", "float32")
    return _single("hybrid_convolution", mentions, source="float32", target="float32", weights="int8")


def _legacy_uint8() -> UnsupportedModel:
    mentions = ("CONV_2D", "features", "uint8")
    return _single("legacy_uint8", mentions, source="uint8", target="uint8", weights="uint8")


def _int16_activations() -> UnsupportedModel:
    mentions = ("CONV_2D", "features", "int16")
    return _single("int16_activations", mentions, source="int16", target="int16", weights="int8")


def _int4_weights() -> UnsupportedModel:
    return _single(
        "int4_weights", ("CONV_2D", "weights", "int4"), source="int8", target="int8", weights="int4"
    )


def _batch_of_two() -> UnsupportedModel:
    graph = Graph()
    first, last = _image(graph, "image", (2, 4, 4, 3)), _image(graph, "features", (2, 4, 4, 4))
    _convolution(graph, first, last)
    graph.inputs, graph.outputs = [first], [last]
    return UnsupportedModel("batch_of_two", write_model(graph), ("CONV_2D", "batch", "2"))


def _dynamic_height() -> UnsupportedModel:
    """A batch of -1 in the signature is harmless when the shape says 1; any other dimension is not."""
    graph = Graph()
    shape, signature = (1, 1, 4, 3), (1, -1, 4, 3)
    first = graph.tensor("image", shape, "int8", scale=SCALE, shape_signature=signature)
    last = graph.tensor("features", (1, 1, 4, 4), "int8", scale=SCALE, shape_signature=(1, -1, 4, 4))
    _convolution(graph, first, last)
    graph.inputs, graph.outputs = [first], [last]
    return UnsupportedModel("dynamic_height", write_model(graph), ("image", "dynamic"))


def _computed_reshape() -> UnsupportedModel:
    graph = Graph()
    first = _image(graph, "image", (1, 4, 4, 3))
    shape = graph.tensor("wanted_shape", (2,), "int32")
    last = _image(graph, "flattened", (1, 48))
    graph.operator("RESHAPE", [first, shape], [last])
    graph.inputs, graph.outputs = [first, shape], [last]
    return UnsupportedModel("computed_reshape", write_model(graph), ("RESHAPE", "flattened"))


def _computed_weights() -> UnsupportedModel:
    graph = Graph()
    first = _image(graph, "image", (1, 4, 4, 3))
    weights = _image(graph, "computed_weights", (4, 1, 1, 3))
    bias = graph.tensor("bias", (4,), "int32", scale=SCALE**2, data=np.zeros(4))
    last = _image(graph, "features", (1, 4, 4, 4))
    graph.operator("CONV_2D", [first, weights, bias], [last], _unit_strides())
    graph.inputs, graph.outputs = [first, weights], [last]
    return UnsupportedModel(
        "computed_weights", write_model(graph), ("CONV_2D", "features", "computed_weights")
    )


def _sparse_weights() -> UnsupportedModel:
    """A 4x8 matrix with two stored weights per row."""
    graph = Graph()
    first, last = _image(graph, "vector", (1, 8)), _image(graph, "scores", (1, 4))
    columns = SparseDimension(segments=(0, 2, 4, 6, 8), indices=(0, 1, 2, 3, 4, 5, 6, 7))
    weights = graph.tensor(
        "sparse_weights",
        (4, 8),
        "int8",
        scale=SCALE,
        data=np.ones(8),
        sparsity=(SparseDimension(dense_size=4), columns),
    )
    bias = graph.tensor("bias", (4,), "int32", scale=SCALE**2, data=np.zeros(4))
    graph.operator("FULLY_CONNECTED", [first, weights, bias], [last], Options("FullyConnectedOptions"))
    graph.inputs, graph.outputs = [first], [last]
    mentions = ("FULLY_CONNECTED", "sparse_weights", "sparse")
    return UnsupportedModel("sparse_weights", write_model(graph), mentions)


def _rectifier_graph(name: str, operator: str) -> Graph:
    graph = Graph(name)
    first, last = _image(graph, f"{name}_in", (1, 8)), _image(graph, f"{name}_out", (1, 8))
    graph.operator(operator, [first], [last])
    graph.inputs, graph.outputs = [first], [last]
    return graph


def _two_subgraphs() -> UnsupportedModel:
    graphs = (_rectifier_graph("main", "RELU"), _rectifier_graph("second", "RELU6"))
    return UnsupportedModel("two_subgraphs", write_model(*graphs), ("subgraph", "2"))


def _if_operator() -> UnsupportedModel:
    main = Graph()
    condition = main.tensor("condition", (1,), "bool")
    first, last = _image(main, "vector", (1, 8)), _image(main, "chosen", (1, 8))
    options = Options("IfOptions", {"then_subgraph_index": 1, "else_subgraph_index": 2})
    main.operator("IF", [condition, first], [last], options)
    main.inputs, main.outputs = [condition, first], [last]
    model = write_model(main, _rectifier_graph("then", "RELU"), _rectifier_graph("else", "RELU6"))
    return UnsupportedModel("if_operator", model, ("IF", "chosen"))


def _while_operator() -> UnsupportedModel:
    main = Graph()
    first, last = main.tensor("count", (1,), "int32"), main.tensor("final_count", (1,), "int32")
    options = Options("WhileOptions", {"cond_subgraph_index": 1, "body_subgraph_index": 2})
    main.operator("WHILE", [first], [last], options)
    main.inputs, main.outputs = [first], [last]
    condition = Graph("condition")
    current, more = condition.tensor("current", (1,), "int32"), condition.tensor("more", (1,), "bool")
    condition.operator("LESS", [current, condition.constant("limit", [3])], [more], Options("LessOptions"))
    condition.inputs, condition.outputs = [current], [more]
    body = Graph("body")
    before, after = body.tensor("before", (1,), "int32"), body.tensor("after", (1,), "int32")
    body.operator("ADD", [before, body.constant("one", [1])], [after], Options("AddOptions"))
    body.inputs, body.outputs = [before], [after]
    model = write_model(main, condition, body)
    return UnsupportedModel("while_operator", model, ("WHILE", "final_count"))


_BUILDERS: tuple[Callable[[], UnsupportedModel], ...] = (
    _unknown_operators,
    _float_body,
    _float_activations_with_int8_weights,
    _legacy_uint8,
    _int16_activations,
    _int4_weights,
    _batch_of_two,
    _dynamic_height,
    _computed_reshape,
    _computed_weights,
    _sparse_weights,
    _two_subgraphs,
    _if_operator,
    _while_operator,
)
