"""FULLY_CONNECTED."""

from __future__ import annotations

import warnings

import numpy as np
import tflite

from ....dialect.fixed_point import exact_multiplier
from ..graph import Array, Tensor
from ..node import Conversion, Layer, Node
from ..quantization import bias, clamps, fixed_point, weight
from ..reader import OptionsTable

# LiteRT's reference kernel scales in double precision and rounds once, half away from zero.
ROUNDING = "away"
# In steps of the output, for each step of the bias.
BIAS_SCALE_TOLERANCE = 0.02


def _dense(node: Node) -> list[Layer]:
    data, weights, output = node.activation(), weight(node, 1, axis=0, rank=2), node.result()
    if node.option("weights_format") != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        node.reject("its weights are stored shuffled, supported is the default format")
    channels, depth = weights.shape
    if data.elements % depth or (node.option("keep_num_dims") and data.shape[-1] != depth):
        node.malformed(f"weight {weights} does not fit {data}")
    shape = (
        (*data.shape[:-1], channels) if node.option("keep_num_dims") else (data.elements // depth, channels)
    )
    _check_bias_scale(node, data, weights, output)
    biases = bias(node, 2, channels)
    scales = _effective_scales(data, weights, channels, output)
    multipliers, shifts = _multipliers(node, scales, _accumulator_limits(data, weights, biases))
    inputs = (data, weights, biases, multipliers, shifts)
    return [
        node.layer(
            "dense",
            inputs,
            output,
            input_zero_point=data.zero_point,
            rounding=ROUNDING,
            effective_scale=scales,
            shape=list(shape),
            **clamps(node, output),
        )
    ]


def _effective_scales(data: Tensor, weights: Tensor, channels: int, output: Tensor) -> list[float]:
    """double(s_in) * double(s_w[c]) / double(s_out) of every output channel."""
    assert weights.quantization is not None
    scales = np.broadcast_to(weights.quantization.scales, channels)
    return [data.scale * float(scale) / output.scale for scale in scales]


def _accumulator_limits(data: Tensor, weights: Tensor, biases: Array) -> Array:
    """Largest magnitude each channel's accumulator can take."""
    assert weights.data is not None
    widest_input = max(127 - data.zero_point, data.zero_point + 128)
    magnitudes = np.abs(weights.data.reshape(weights.shape).astype(np.int64)).sum(axis=1)
    limits: Array = magnitudes * widest_input + np.abs(biases.astype(np.int64))
    return limits


def _multipliers(node: Node, scales: list[float], limits: Array) -> tuple[Array, Array]:
    """Multipliers and shifts, int32[channels] each, that give what scaling in double precision gives."""
    pairs, inexact = [], []
    # Channels of one scale share a multiplier that holds for the widest accumulator among them, if there is one.
    widest: dict[float, int] = {}
    for scale, limit in zip(scales, limits.tolist(), strict=True):
        widest[scale] = max(limit, widest.get(scale, 0))
    for channel, (scale, limit) in enumerate(zip(scales, limits.tolist(), strict=True)):
        nearest = fixed_point(node, scale)
        exact: tuple[int, int] | None = nearest
        if nearest[0]:
            exact = exact_multiplier(scale, widest[scale]) or exact_multiplier(scale, limit)
        if exact is None:
            inexact.append(channel)
        pairs.append(exact or nearest)
    if inexact:
        warnings.warn(
            f"{node.source}: {node.operator}: no 31-bit multiplier scales every accumulator of channels {inexact} "
            "as LiteRT's double precision does; an output next to a tie may differ by one step",
            stacklevel=2,
        )
    multipliers, shifts = np.array(pairs, np.int32).T
    return multipliers, shifts


def _check_bias_scale(node: Node, data: Tensor, weights: Tensor, output: Tensor) -> None:
    """With one weight scale, LiteRT refuses a bias in other units than those of the accumulator."""
    bias_tensor = node.optional_input(2)
    if bias_tensor is None or not (bias_tensor.is_quantized and weights.is_quantized):
        return
    error = abs(data.scale * weights.scale - bias_tensor.scale) / output.scale
    if error > BIAS_SCALE_TOLERANCE:
        node.reject(f"the scale of bias {bias_tensor} is not that of {data} times that of {weights}")


CONVERSIONS = {
    "FULLY_CONNECTED": Conversion(
        _dense,
        (2, 3),
        options=OptionsTable(
            "FullyConnectedOptions", ("fused_activation_function", "weights_format", "keep_num_dims")
        ),
    ),
}
