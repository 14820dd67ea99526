"""Activation functions as operators of their own: SOFTMAX and the unary int8 functions."""

from __future__ import annotations

import math

from ....dialect.fixed_point import quantize_multiplier
from ..node import Conversion, Layer, Node
from ..reader import OptionsTable

# Scaled differences have five integer bits in a 32-bit word.
SCALED_DIFFERENCE_BITS = 5
SOFTMAX_SCALE, SOFTMAX_ZERO_POINT = 1 / 256, -128
# Relative tolerance of LiteRT on the output scale.
SOFTMAX_SCALE_TOLERANCE = 0.001


def _softmax(node: Node) -> list[Layer]:
    data, output = node.activation(), node.result()
    if (
        abs(output.scale - SOFTMAX_SCALE) > SOFTMAX_SCALE * SOFTMAX_SCALE_TOLERANCE
        or output.zero_point != SOFTMAX_ZERO_POINT
    ):
        node.reject(f"{output} is not quantised with scale 1/256 and zero point {SOFTMAX_ZERO_POINT}")
    beta = float(node.option("beta"))
    factor = min(beta * data.scale * (1 << (31 - SCALED_DIFFERENCE_BITS)), 2.0**31 - 1)
    if factor <= 1.0:
        node.reject(f"beta {beta:g} times the scale of {data} is too small for its fixed-point exponential")
    multiplier, shift = quantize_multiplier(factor)
    # The most negative difference that can be scaled without overflow.
    radius = ((1 << SCALED_DIFFERENCE_BITS) - 1) * 2.0 ** (31 - SCALED_DIFFERENCE_BITS - shift)
    attrs = {"multiplier": multiplier, "shift": shift, "diff_min": -math.floor(radius)}
    return [node.layer("softmax", (data,), output, **attrs)]


CONVERSIONS = {"SOFTMAX": Conversion(_softmax, (1, 1), options=OptionsTable("SoftmaxOptions", ("beta",)))}
