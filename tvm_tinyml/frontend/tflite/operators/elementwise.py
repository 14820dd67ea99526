"""Arithmetic on two tensors: ADD, SUB, MUL, MAXIMUM and MINIMUM."""

from __future__ import annotations

import numpy as np

from ..node import Conversion, Layer, Node
from ..quantization import clamps, fixed_point
from ..reader import OptionsTable

# Both operands of a sum are shifted left by this before they are brought to a common scale.
LEFT_SHIFT = 20
# LiteRT's reference kernels round twice, as gemmlowp does.
ROUNDING = "double"


def _sum(node: Node, operator: str) -> list[Layer]:
    a, b, output = node.activation(0), node.activation(1), node.result()
    common = 2.0 * max(a.scale, b.scale)
    a_multiplier, a_shift = fixed_point(node, a.scale / common)
    b_multiplier, b_shift = fixed_point(node, b.scale / common)
    # LiteRT aborts on an output factor of one or more; only absurd scales give one.
    multiplier, shift = fixed_point(node, common / ((1 << LEFT_SHIFT) * output.scale), limit=1.0)
    attrs = {
        "a_zero_point": a.zero_point,
        "b_zero_point": b.zero_point,
        "left_shift": LEFT_SHIFT,
        "a_multiplier": a_multiplier,
        "a_shift": a_shift,
        "b_multiplier": b_multiplier,
        "b_shift": b_shift,
        "multiplier": multiplier,
        "shift": shift,
    }
    return [node.layer(operator, (a, b), output, **attrs, **clamps(node, output))]


def _add(node: Node) -> list[Layer]:
    return _sum(node, "add")


def _sub(node: Node) -> list[Layer]:
    return _sum(node, "sub")


def _mul(node: Node) -> list[Layer]:
    a, b, output = node.activation(0), node.activation(1), node.result()
    # The one factor LiteRT computes in single precision throughout.
    with np.errstate(over="ignore", under="ignore"):
        factor = np.float32(a.scale) * np.float32(b.scale) / np.float32(output.scale)
    multiplier, shift = fixed_point(node, float(factor))
    attrs = {
        "a_zero_point": a.zero_point,
        "b_zero_point": b.zero_point,
        "multiplier": multiplier,
        "shift": shift,
        "rounding": ROUNDING,
    }
    return [node.layer("mul", (a, b), output, **attrs, **clamps(node, output))]


def _choose(node: Node, operator: str) -> list[Layer]:
    # The kernel compares the stored integers, whatever the operands' scales.
    return [node.layer(operator, (node.activation(0), node.activation(1)), node.result())]


def _maximum(node: Node) -> list[Layer]:
    return _choose(node, "maximum")


def _minimum(node: Node) -> list[Layer]:
    return _choose(node, "minimum")


_ACTIVATION = ("fused_activation_function",)

CONVERSIONS = {
    "ADD": Conversion(_add, (2, 2), options=OptionsTable("AddOptions", _ACTIVATION)),
    "SUB": Conversion(_sub, (2, 2), options=OptionsTable("SubOptions", _ACTIVATION)),
    "MUL": Conversion(_mul, (2, 2), options=OptionsTable("MulOptions", _ACTIVATION)),
    "MAXIMUM": Conversion(_maximum, (2, 2)),
    "MINIMUM": Conversion(_minimum, (2, 2)),
}
