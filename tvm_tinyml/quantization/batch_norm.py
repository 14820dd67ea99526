"""Batch normalisations that follow a convolution become part of its weights (Jacob et al., CVPR 2018, section 3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np

DEFAULT_EPSILON = 1e-5


def fold_batch_norms(graph: Any) -> None:
    """Rewrite an onnx.GraphProto in place; a normalisation of anything but one Conv's result stays as it is."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    reads: dict[str, int] = {}
    for name in (*(name for node in graph.node for name in node.input), *(one.name for one in graph.output)):
        reads[name] = reads.get(name, 0) + 1
    left = []
    for node in graph.node:
        conv = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        weight_names = [] if conv is None else [*conv.input[1:], *node.input[1:]]
        if (
            conv is None
            or conv.op_type != "Conv"
            or reads[conv.output[0]] != 1
            or any(name not in constants for name in weight_names)
        ):
            left.append(node)
            continue
        values = [numpy_helper.to_array(constants[name]) for name in weight_names]
        weight, *bias = values[: len(conv.input) - 1]
        gamma, beta, mean, variance = values[len(conv.input) - 1 :]
        epsilon = next((one.f for one in node.attribute if one.name == "epsilon"), DEFAULT_EPSILON)
        factor = gamma / np.sqrt(variance + epsilon)
        shift = beta + ((bias[0] if bias else 0.0) - mean) * factor
        folded = {
            f"{node.output[0]}/weight": weight * factor.reshape(-1, *[1] * (weight.ndim - 1)),
            f"{node.output[0]}/bias": shift,
        }
        for name, data in folded.items():
            graph.initializer.append(numpy_helper.from_array(data.astype(weight.dtype), name))
        conv.input[:] = [conv.input[0], *folded]
        conv.output[:] = node.output[:1]
        makers[node.output[0]] = conv
    del graph.node[:]
    graph.node.extend(left)
    # ONNX Runtime warns of constants that nothing reads.
    read = {name for node in left for name in node.input} | {one.name for one in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
