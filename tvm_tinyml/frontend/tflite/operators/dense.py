"""FULLY_CONNECTED."""

from __future__ import annotations

import tflite

from ..graph import Tensor
from ..node import Conversion, Layer, Node
from ..quantization import bias, channel_multipliers, clamps, weight
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
    multipliers, shifts = channel_multipliers(node, data, weights, channels, output)
    inputs = (data, weights, bias(node, 2, channels), multipliers, shifts)
    return [
        node.layer(
            "dense",
            inputs,
            output,
            input_zero_point=data.zero_point,
            rounding=ROUNDING,
            shape=list(shape),
            **clamps(node, output),
        )
    ]


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
