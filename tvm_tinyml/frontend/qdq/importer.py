"""A QDQ network to Relax: integer operators in the layout of images, as the quantised file formats have them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import UnsupportedError
from ..tflite.emitter import Emitter
from ..tflite.graph import Graph, Tensor
from ..tflite.node import RejectionError
from ..tflite.plan import plan_layers
from .builder import UNSIGNED_OFFSET, Builder, parameters, quantization_of, reject, same
from .layout import shape_of
from .network import Call, Network, Value
from .operators import CONVERSIONS, CONVERTERS

NOT_SUPPORTED = "the operator is not supported"
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def import_network(network: Network, *, float_edges: bool = True) -> Any:
    """The Relax module of a network; images are NHWC in it, inputs and outputs included.

    float_edges: see `graph_of`. Raises UnsupportedError as `graph_of` does.
    """
    graph = graph_of(network, float_edges=float_edges)
    return Emitter(graph, network.name).module(plan_layers(graph, CONVERSIONS))


def graph_of(network: Network, *, float_edges: bool = True) -> Graph:
    """The integer operators of a network.

    float_edges: float inputs and outputs of the network stay float; otherwise they are the integers that those are
        quantised to first and dequantised from last.
    Raises UnsupportedError naming every operator that has no integer form, with the reason.
    """
    if not any(call.kind in QUANTIZERS for call in network.calls):
        unknown = [call for call in network.calls if not _is_supported(call)]
        told = [f"\n  {call}: {call.refusal or NOT_SUPPORTED}" for call in unknown]
        raise UnsupportedError(
            f"{network.source}: the model computes in float. Quantise it to int8: with samples of its inputs "
            "(--quantize SAMPLES.npz; tvm_tinyml.torch.quantize or tvm_tinyml.quantization.quantize_onnx in Python), "
            "or by a flow of your own that puts QuantizeLinear and DequantizeLinear around every operator (for ONNX: "
            "onnxruntime.quantization.quantize_static)."
            + "".join(["\nWhat has no integer form then either:", *told] if told else [])
        )
    builder = Builder(network, float_edges=float_edges)
    refused: list[str] = []
    inputs = [_convert_edge(builder, value, refused) for value in network.inputs]
    _convert_calls(builder, refused)
    outputs = [] if refused else [_output(builder, value, refused) for value in network.outputs]
    if refused:
        count = "1 thing has" if len(refused) == 1 else f"{len(refused)} things have"
        raise UnsupportedError(
            f"{network.source}: {count} no integer form:\n" + "\n".join(f"  {line}" for line in refused)
        )
    return Graph(
        network.source, tuple(builder.tensors), tuple(builder.operators), tuple(inputs), tuple(outputs), 1
    )


def _convert_calls(builder: Builder, refused: list[str]) -> None:
    """Constants first, because exporters put their dequantisation anywhere."""
    calls = sorted(builder.network.calls, key=lambda call: not _dequantizes_constant(call))
    broken: set[Value] = set()
    for call in calls:
        if call in builder.absorbed:
            continue
        supported = _is_supported(call)
        if supported and any(value in broken for value in call.inputs if value is not None):
            broken.update(call.outputs)
            continue
        try:
            if not supported:
                reject(call.refusal or NOT_SUPPORTED)
            CONVERTERS[call.kind](builder, call)
        except RejectionError as rejection:
            refused.append(f"{call}: {rejection}")
            broken.update(call.outputs)


def _is_supported(call: Call) -> bool:
    return not call.refusal and call.kind in CONVERTERS


def _dequantizes_constant(call: Call) -> bool:
    return call.kind == "DequantizeLinear" and call.inputs[0] is not None and call.inputs[0].data is not None


def _convert_edge(builder: Builder, value: Value, refused: list[str]) -> Tensor:
    """The tensor of an input of the model."""
    try:
        return _input(builder, value)
    except RejectionError as rejection:
        refused.append(f"input {value}: {rejection}")
        return builder.tensor(value.name, shape_of(value.shape), None, dtype=value.dtype)


def _input(builder: Builder, value: Value) -> Tensor:
    shape = shape_of(value.shape)
    if value.dtype == "float32":
        found = builder.quantization_after(value)
        if not builder.float_edges and found is not None:
            builder.meaning[value] = builder.tensor(value.name, shape, found)
            return builder.meaning[value]
        made = builder.tensor(value.name, shape, None, dtype="float32")
        builder.floats[value] = made
        return made
    if value.dtype not in ("int8", "uint8"):
        reject(f"it is {value.dtype}, supported are float32, int8 and uint8")
    stated = [parameters(call) for call in builder.network.readers.get(value, ())]
    if not stated or not all(same(stated[0], other) for other in stated):
        reject("it is not dequantised, or by different parameters")
    if value.dtype == "int8":
        made = builder.tensor(value.name, shape, stated[0])
        builder.meaning[value] = made
    else:
        unsigned = quantization_of(stated[0].scales, stated[0].zero_points + UNSIGNED_OFFSET, "int8")
        made = builder.tensor(value.name, shape, unsigned, dtype="uint8")
        signed = builder.tensor(f"{value.name}:int8", shape, stated[0])
        builder.meaning[value] = builder.operator("QUANTIZE", (made,), signed)
    return made


def _output(builder: Builder, value: Value, refused: list[str]) -> Tensor:
    """The tensor of an output of the model, in the type that it has there."""
    if value not in builder.meaning:
        refused.append(f"output {value}: it is not quantised")
        return builder.tensor(value.name, shape_of(value.shape), None, dtype=value.dtype)
    tensor = builder.meaning[value]
    if value.dtype == "int8" or (value.dtype == "float32" and not builder.float_edges):
        return tensor
    if value.dtype == "float32":
        made = builder.tensor(f"{value.name}:float32", tensor.shape, None, dtype="float32")
        return builder.operator("DEQUANTIZE", (tensor,), made)
    assert tensor.quantization is not None
    zero_points = tensor.quantization.zero_points + UNSIGNED_OFFSET
    stated = quantization_of(tensor.quantization.scales, np.asarray(zero_points), "int8")
    made = builder.tensor(f"{value.name}:uint8", tensor.shape, stated, dtype="uint8")
    return builder.operator("QUANTIZE", (tensor,), made)
