"""Operators that give the same elements another shape: RESHAPE, SQUEEZE and EXPAND_DIMS."""

from __future__ import annotations

import math

from ..node import Conversion, Layer, Node
from ..reader import OptionsTable


def _reshape(node: Node) -> list[Layer]:
    data = node.input(0)
    if node.optional_input(1) is not None:
        wanted = node.integers(1, "shape")
    else:
        wanted = tuple(node.option("new_shape"))
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
    axis = node.axis(axes[0], len(data.shape) + 1)
    return _as_shape(node, (*data.shape[:axis], 1, *data.shape[axis:]))


def _as_shape(node: Node, shape: tuple[int, ...]) -> list[Layer]:
    return [node.layer("reshape", (node.input(0),), node.operator.outputs[0], shape=list(shape))]


CONVERSIONS = {
    "RESHAPE": Conversion(
        _reshape, (1, 2), options=OptionsTable("ReshapeOptions", ("new_shape",)), moves_data=True
    ),
    "SQUEEZE": Conversion(
        _squeeze, (1, 1), options=OptionsTable("SqueezeOptions", ("squeeze_dims",)), moves_data=True
    ),
    "EXPAND_DIMS": Conversion(_expand_dims, (2, 2), moves_data=True),
}
