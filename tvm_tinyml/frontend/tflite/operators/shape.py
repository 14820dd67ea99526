"""Operators that give one tensor another layout: RESHAPE, SQUEEZE, EXPAND_DIMS, TRANSPOSE, PAD and PADV2."""

from __future__ import annotations

import math

from ..node import Conversion, Layer, Node
from ..reader import OptionsTable


def _reshape(node: Node) -> list[Layer]:
    data = node.input(0)
    wanted = (
        node.integers(1, "shape") if node.optional_input(1) is not None else tuple(node.option("new_shape"))
    )
    if wanted.count(-1) > 1 or any(extent < -1 or extent == 0 for extent in wanted):
        node.malformed(f"shape {list(wanted)} is not a shape")
    known = -math.prod(wanted) if -1 in wanted else math.prod(wanted)
    if data.elements % known or (-1 not in wanted and known != data.elements):
        node.malformed(f"{data} cannot take the shape {list(wanted)}")
    return _as_shape(node, tuple(data.elements // known if extent == -1 else extent for extent in wanted))


def _squeeze(node: Node) -> list[Layer]:
    data = node.input(0)
    rank = len(data.shape)
    axes = {node.axis(axis, rank) for axis in node.option("squeeze_dims")}
    for axis in axes:
        if data.shape[axis] != 1:
            node.malformed(f"axis {axis} of {data} is not 1 and cannot be squeezed")
    dropped = axes or {axis for axis, extent in enumerate(data.shape) if extent == 1}
    return _as_shape(node, tuple(extent for axis, extent in enumerate(data.shape) if axis not in dropped))


def _expand_dims(node: Node) -> list[Layer]:
    data, axes = node.input(0), node.integers(1, "axis")
    if len(axes) != 1:
        node.malformed(f"it has {len(axes)} axes, expected one")
    node.same_quantization(data, node.operator.outputs[0])
    axis = node.axis(axes[0], len(data.shape) + 1)
    return _as_shape(node, (*data.shape[:axis], 1, *data.shape[axis:]))


def _as_shape(node: Node, shape: tuple[int, ...]) -> list[Layer]:
    return [node.layer("reshape", (node.input(0),), node.operator.outputs[0], shape=list(shape))]


def _transpose(node: Node) -> list[Layer]:
    data, axes = node.input(0), node.integers(1, "permutation")
    rank = len(data.shape)
    order = [node.axis(axis, rank) for axis in axes]
    if sorted(order) != list(range(rank)):
        node.malformed(f"permutation {list(axes)} does not order the axes of {data}")
    return [node.layer("transpose", (data,), node.operator.outputs[0], axes=order)]


def _pad(node: Node) -> list[Layer]:
    return _padded(node, node.operator.outputs[0].zero_point)


def _pad_with_value(node: Node) -> list[Layer]:
    output, value = node.operator.outputs[0], node.input(2)
    contents = node.constant(2, "padding value")
    if value.dtype != output.dtype or contents.size != 1:
        node.malformed(f"padding value {value} is not one element of {output}")
    if output.is_quantized:
        node.same_quantization(value, output)
    return _padded(node, contents.reshape(-1)[0].item())


def _padded(node: Node, value: float) -> list[Layer]:
    data, widths = node.input(0), node.integers(1, "padding")
    if len(widths) != 2 * len(data.shape) or any(width < 0 for width in widths):
        node.malformed(f"padding {list(widths)} does not fit {data}")
    output = node.operator.outputs[0]
    if data.is_quantized != output.is_quantized:
        node.reject(f"only one of {data} and {output} is quantised")
    return [node.layer("pad", (data,), output, pad_width=list(widths), pad_value=value)]


CONVERSIONS = {
    "RESHAPE": Conversion(
        _reshape, (1, 2), options=OptionsTable("ReshapeOptions", ("new_shape",)), moves_data=True
    ),
    "SQUEEZE": Conversion(
        _squeeze, (1, 1), options=OptionsTable("SqueezeOptions", ("squeeze_dims",)), moves_data=True
    ),
    "EXPAND_DIMS": Conversion(_expand_dims, (2, 2), moves_data=True),
    "TRANSPOSE": Conversion(_transpose, (2, 2), moves_data=True),
    "PAD": Conversion(_pad, (2, 2), moves_data=True),
    "PADV2": Conversion(_pad_with_value, (3, 3), moves_data=True),
}
