"""Activation functions as operators of their own: SOFTMAX, and the unary int8 functions as tables."""

from __future__ import annotations

import math
from functools import partial

from ....dialect.lookup import table
from ..graph import Tensor
from ..node import Conversion, Layer, Node
from ..quantization import fixed_point
from ..reader import OptionsTable

# Scaled differences have five integer bits in a 32-bit word.
SCALED_DIFFERENCE_BITS = 5
# Results between 0 and 1 fill the int8 range.
UNIT_SCALE, UNIT_ZERO_POINT = 1 / 256, -128
# LiteRT's relative tolerance on that scale, for SOFTMAX; it has none for LOGISTIC.
SOFTMAX_SCALE_TOLERANCE = 0.001


def _softmax(node: Node) -> list[Layer]:
    data, output = node.activation(), node.result()
    _check_unit(node, output, SOFTMAX_SCALE_TOLERANCE)
    beta = float(node.option("beta"))
    factor = min(beta * data.scale * (1 << (31 - SCALED_DIFFERENCE_BITS)), 2.0**31 - 1)
    if factor <= 1.0:
        node.reject(f"beta {beta:g} times the scale of {data} is too small for its fixed-point exponential")
    multiplier, shift = fixed_point(node, factor)
    # The most negative difference that can be scaled without overflow.
    radius = ((1 << SCALED_DIFFERENCE_BITS) - 1) * 2.0 ** (31 - SCALED_DIFFERENCE_BITS - shift)
    attrs = {"multiplier": multiplier, "shift": shift, "diff_min": -math.floor(radius)}
    return [node.layer("softmax", (data,), output, **attrs)]


def _check_unit(node: Node, output: Tensor, tolerance: float) -> None:
    if abs(output.scale - UNIT_SCALE) > UNIT_SCALE * tolerance or output.zero_point != UNIT_ZERO_POINT:
        node.reject(
            f"{output} has scale {output.scale:g} and zero point {output.zero_point}, "
            f"supported are 1/256 and {UNIT_ZERO_POINT}"
        )


def _logistic(node: Node) -> list[Layer]:
    _check_unit(node, node.result(), tolerance=0.0)
    return _unary(node, "logistic")


def _unary(node: Node, function: str, options: tuple[str, ...] = ()) -> list[Layer]:
    data, output = node.activation(), node.result()
    extra = {name: float(node.option(name)) for name in options}
    try:
        values = table(
            function,
            input_scale=data.scale,
            input_zero_point=data.zero_point,
            output_scale=output.scale,
            output_zero_point=output.zero_point,
            **extra,
        )
    except (ValueError, OverflowError) as error:
        node.reject(f"no table can be made of it: {error}")
    return [node.layer("lookup", (data, values), output, function=function)]


CONVERSIONS = {
    "SOFTMAX": Conversion(_softmax, (1, 1), options=OptionsTable("SoftmaxOptions", ("beta",))),
    "LOGISTIC": Conversion(_logistic, (1, 1)),
    "LEAKY_RELU": Conversion(
        partial(_unary, function="leaky_relu", options=("alpha",)),
        (1, 1),
        options=OptionsTable("LeakyReluOptions", ("alpha",)),
    ),
    **{
        function.upper(): Conversion(partial(_unary, function=function), (1, 1))
        for function in ("tanh", "hard_swish", "relu", "relu6", "relu_n1_to_1")
    },
}
