"""Changes of representation: QUANTIZE (from float, or between quantisations) and DEQUANTIZE."""

from __future__ import annotations

from ..graph import Tensor
from ..node import Conversion, Layer, Node
from ..quantization import fixed_point

INTEGER_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
# LiteRT's reference kernel rounds twice, as gemmlowp does.
ROUNDING = "double"


def _integer(node: Node, tensor: Tensor) -> Tensor:
    if tensor.dtype not in INTEGER_RANGES:
        node.reject(f"{tensor} is {tensor.dtype}, supported are {', '.join(INTEGER_RANGES)}")
    return node.quantized(tensor)


def _quantize(node: Node) -> list[Layer]:
    data, output = node.input(0), _integer(node, node.operator.outputs[0])
    if data.dtype == "float32":
        return [node.layer("quantize", (data,), output, dtype=output.dtype)]
    _integer(node, data)
    multiplier, shift = fixed_point(node, data.scale / output.scale)
    low, high = INTEGER_RANGES[output.dtype]
    attrs = {
        "input_zero_point": data.zero_point,
        "multiplier": multiplier,
        "shift": shift,
        "clamp_min": low,
        "clamp_max": high,
        "rounding": ROUNDING,
        "dtype": output.dtype,
    }
    return [node.layer("requantize", (data,), output, **attrs)]


def _dequantize(node: Node) -> list[Layer]:
    data = _integer(node, node.input(0))
    attrs = {"input_scale": data.scale, "input_zero_point": data.zero_point}
    return [node.layer("dequantize", (data,), node.operator.outputs[0], **attrs)]


CONVERSIONS = {
    "QUANTIZE": Conversion(_quantize, (1, 1)),
    "DEQUANTIZE": Conversion(_dequantize, (1, 1)),
}
