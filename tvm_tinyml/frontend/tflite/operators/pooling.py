"""AVERAGE_POOL_2D, MAX_POOL_2D and MEAN."""

from __future__ import annotations

from ..node import Conversion, Layer, Node
from ..quantization import clamps
from ..reader import OptionsTable
from .windows import explicit_padding, pair

_NO_DILATION = (1, 1)


def _pool(node: Node, operator: str) -> list[Layer]:
    data, output = node.image(), node.result()
    pool = pair(node, "filter_height", "filter_width")
    strides = pair(node, "stride_h", "stride_w")
    padding = explicit_padding(node, data.shape[1:3], pool, strides, _NO_DILATION)
    attrs = {"pool": pool, "strides": strides, "padding": padding, **clamps(node, output)}
    return [node.layer(operator, (data,), output, **attrs)]


def _average_pool(node: Node) -> list[Layer]:
    return _pool(node, "avg_pool2d")


def _max_pool(node: Node) -> list[Layer]:
    return _pool(node, "max_pool2d")


_POOL = OptionsTable(
    "Pool2DOptions",
    ("padding", "stride_h", "stride_w", "filter_height", "filter_width", "fused_activation_function"),
)

CONVERSIONS = {
    "AVERAGE_POOL_2D": Conversion(_average_pool, (1, 1), options=_POOL),
    "MAX_POOL_2D": Conversion(_max_pool, (1, 1), options=_POOL),
}
