"""Reductions: AVERAGE_POOL_2D, MAX_POOL_2D, MEAN and ARG_MAX."""

from __future__ import annotations

import math

import tflite

from ....dialect.reduce import mean_scaling
from ..node import Conversion, Layer, Node
from ..quantization import clamps, fixed_point
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


def _mean(node: Node) -> list[Layer]:
    data, output = node.activation(), node.result()
    axes = sorted({node.axis(axis, len(data.shape)) for axis in node.integers(1, "axes")})
    if not axes:
        node.reject("it reduces no axis")
    fixed_point(node, data.scale / output.scale)
    count = math.prod(data.shape[axis] for axis in axes)
    multiplier, shift = mean_scaling(data.scale, output.scale, count)
    return [
        node.layer(
            "mean",
            (data,),
            output,
            axes=axes,
            keepdims=bool(node.option("keep_dims")),
            input_zero_point=data.zero_point,
            multiplier=multiplier,
            shift=shift,
        )
    ]


def _argmax(node: Node) -> list[Layer]:
    data, axes, output = node.activation(), node.integers(1, "axis"), node.operator.outputs[0]
    if len(axes) != 1:
        node.malformed(f"it has {len(axes)} axes, expected one")
    types = {tflite.TensorType.INT32: "int32", tflite.TensorType.INT64: "int64"}
    dtype = types.get(node.option("output_type"))
    if dtype != output.dtype:
        node.malformed(f"option output_type is {node.option('output_type')}, the output is {output}")
    return [node.layer("argmax", (data,), output, axis=node.axis(axes[0], len(data.shape)), dtype=dtype)]


_POOL = OptionsTable(
    "Pool2DOptions",
    ("padding", "stride_h", "stride_w", "filter_height", "filter_width", "fused_activation_function"),
)

CONVERSIONS = {
    "AVERAGE_POOL_2D": Conversion(_average_pool, (1, 1), options=_POOL),
    "MAX_POOL_2D": Conversion(_max_pool, (1, 1), options=_POOL),
    "MEAN": Conversion(_mean, (2, 2), options=OptionsTable("ReducerOptions", ("keep_dims",))),
    "ARG_MAX": Conversion(_argmax, (2, 2), options=OptionsTable("ArgMaxOptions", ("output_type",))),
}
