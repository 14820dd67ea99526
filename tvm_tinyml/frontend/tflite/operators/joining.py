"""Operators that put tensors together along an axis: CONCATENATION and PACK."""

from __future__ import annotations

import tflite

from ..graph import Tensor
from ..node import Conversion, Layer, Node, Temporary
from ..reader import OptionsTable

# More operands than any model has; LiteRT has no limit of its own.
MAX_OPERANDS = 1024


def _operands(node: Node, output: Tensor) -> list[Tensor]:
    """All inputs; quantised ones must share the output's quantisation, since their bytes are copied."""
    tensors = [node.input(position) for position in range(len(node.operator.inputs))]
    for tensor in tensors:
        if tensor.dtype != output.dtype:
            node.malformed(f"{tensor} and {output} differ in element type")
        node.same_quantization(tensor, output)
    return tensors


def _concatenation(node: Node) -> list[Layer]:
    output = node.operator.outputs[0]
    if node.option("fused_activation_function") != tflite.ActivationFunctionType.NONE:
        node.reject("a fused activation is not supported")
    tensors = _operands(node, output)
    axis = node.axis(int(node.option("axis")), len(output.shape))
    return [node.layer("concat", tuple(tensors), output, axis=axis)]


def _pack(node: Node) -> list[Layer]:
    output = node.operator.outputs[0]
    tensors = _operands(node, output)
    if node.option("values_count") != len(tensors):
        node.malformed(f"option values_count is {node.option('values_count')}, it has {len(tensors)} inputs")
    axis = node.axis(int(node.option("axis")), len(output.shape))
    layers, slabs = [], []
    for tensor in tensors:
        slab = Temporary(tensor.scale, tensor.zero_point)
        shape = [*tensor.shape[:axis], 1, *tensor.shape[axis:]]
        layers.append(node.layer("reshape", (tensor,), slab, shape=shape))
        slabs.append(slab)
    return [*layers, node.layer("concat", tuple(slabs), output, axis=axis)]


CONVERSIONS = {
    "CONCATENATION": Conversion(
        _concatenation,
        (1, MAX_OPERANDS),
        options=OptionsTable("ConcatenationOptions", ("axis", "fused_activation_function")),
        moves_data=True,
    ),
    "PACK": Conversion(
        _pack,
        (1, MAX_OPERANDS),
        options=OptionsTable("PackOptions", ("values_count", "axis")),
        moves_data=True,
    ),
}
