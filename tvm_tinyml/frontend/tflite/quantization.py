"""Integer parameters of the converters, computed as TFLite's quantisation specification has them.

Scales are the file's float32 values. Where LiteRT multiplies them in double precision so do we; where it
rounds an intermediate to float32 (the clamp of a fused activation) so do we, since a multiplier that
differs in its last bit changes results.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tflite

from ...dialect.fixed_point import quantize_multiplier
from .graph import Array, Tensor
from .node import ACTIVATION_DTYPE, Node

INT8_RANGE = (-128, 127)
# Fused activation -> the real-valued limits it clamps to.
ACTIVATION_LIMITS: dict[int, tuple[float | None, float | None]] = {
    tflite.ActivationFunctionType.NONE: (None, None),
    tflite.ActivationFunctionType.RELU: (0.0, None),
    tflite.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
    tflite.ActivationFunctionType.RELU6: (0.0, 6.0),
}


def clamps(node: Node, output: Tensor) -> dict[str, int]:
    """Quantised clamp (`clamp_min`, `clamp_max`) of the operator's fused activation.

    The option is a number of the schema, or the real limits themselves. A limit is divided by the scale in float32 and
    rounded half away from zero.
    """
    function = node.option("fused_activation_function")
    if not isinstance(function, tuple) and function not in ACTIVATION_LIMITS:
        node.reject(f"fused activation function {function} is not one of NONE, RELU, RELU_N1_TO_1, RELU6")
    low, high = INT8_RANGE
    lower, upper = function if isinstance(function, tuple) else ACTIVATION_LIMITS[function]
    if lower is not None:
        low = max(low, _quantize(node, output, lower))
    if upper is not None:
        high = min(high, _quantize(node, output, upper))
    if low > high:
        node.malformed(f"the fused activation leaves no value of {output}")
    return {"clamp_min": low, "clamp_max": high}


def _quantize(node: Node, tensor: Tensor, real: float) -> int:
    with np.errstate(over="ignore"):
        steps = float(np.float32(real) / np.float32(tensor.scale))
    if not abs(steps) < 2**31:
        node.malformed(f"the scale {tensor.scale} of {tensor} is too small for its activation")
    return tensor.zero_point + int(math.copysign(math.floor(abs(steps) + 0.5), steps))


def fixed_point(node: Node, real: float, limit: float = math.inf) -> tuple[int, int]:
    """(multiplier, shift) of a real factor below `limit`; refused when it exceeds a 32-bit accumulator."""
    if real >= limit:
        node.reject(f"its scales give the factor {real:g}, supported are factors below {limit:g}")
    try:
        return quantize_multiplier(real)
    except ValueError as error:
        node.reject(f"its scales do not fit each other: {error}")


def weight(node: Node, position: int, axis: int, rank: int) -> Tensor:
    """The constant symmetric int8 weight operand, quantised as a whole or along `axis`."""
    tensor = node.input(position)
    if not tensor.is_constant:
        node.reject(f"weight {tensor} is computed by the model, supported is a constant")
    if tensor.dtype != ACTIVATION_DTYPE:
        node.reject(f"weight {tensor} is {tensor.dtype}, supported is {ACTIVATION_DTYPE}")
    if len(tensor.shape) != rank:
        node.malformed(f"weight {tensor} has {len(tensor.shape)} axes, expected {rank}")
    if tensor.quantization is None:
        node.reject(f"weight {tensor} is not quantised")
    if tensor.quantization.zero_points.any():
        node.reject(f"weight {tensor} has a zero point other than 0")
    if len(tensor.quantization.scales) > 1 and tensor.quantization.axis != axis:
        node.reject(
            f"weight {tensor} is quantised along axis {tensor.quantization.axis}, supported is {axis}"
        )
    return tensor


def bias(node: Node, position: int, channels: int) -> Array:
    """The int32 bias [channels]; zeros when the operator has none."""
    tensor = node.optional_input(position)
    if tensor is None:
        return np.zeros(channels, np.int32)
    if not tensor.is_constant or tensor.data is None:
        node.reject(f"bias {tensor} is computed by the model, supported is a constant")
    if tensor.dtype != "int32":
        node.reject(f"bias {tensor} is {tensor.dtype}, supported is int32")
    if tensor.quantization is not None and tensor.quantization.zero_points.any():
        node.reject(f"bias {tensor} has a zero point other than 0")
    if tensor.elements != channels:
        node.malformed(f"bias {tensor} does not have one element for each of {channels} channels")
    return tensor.data.reshape(channels)


def channel_multipliers(
    node: Node, data: Tensor, weights: Tensor, channels: int, output: Tensor
) -> tuple[Array, Array]:
    """Multipliers and shifts, int32[channels] each, of double(s_in) * double(s_w[c]) / double(s_out)."""
    scales: Any = weights.quantization.scales if weights.quantization is not None else ()
    pairs = [fixed_point(node, data.scale * float(scale) / output.scale) for scale in scales]
    multipliers, shifts = np.array(pairs, np.int32).T
    return np.broadcast_to(multipliers, channels), np.broadcast_to(shifts, channels)
