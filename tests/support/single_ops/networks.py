"""Small networks: the graph shapes single operators cannot show.

Residual additions, branches that join, several inputs and outputs, tensors read more than once, float and uint8
edges, and operators a clean-up pass should fold or drop.
"""

from __future__ import annotations

from functools import cache

from ..tflite_writer import Options
from .activation import PROBABILITY
from .network_builder import Network, NetworkBuilder, Tensor
from .quantization import Quantization

INPUT = Quantization(0.02, -3)
HIDDEN = Quantization(0.047, -128)
SIGNED = Quantization(0.06, 4)
LAST_STEPS = {"begin": [0, -4, 0, 0], "end": [0, 0, 0, 0], "strides": [1, 1, 1, 1]}


@cache
def small_networks() -> tuple[Network, ...]:
    """Every network; each is a few thousand multiply-accumulates."""
    return (
        _residual(),
        _branches(),
        _split_and_pack(),
        _float_edges(),
        _uint8_edges(),
        _squeeze_and_excite(),
        _autoencoder(),
        _several_inputs_and_outputs(),
        _redundant_operators(),
        _keyword_columns(),
    )


def _residual() -> Network:
    net = NetworkBuilder("residual")
    data = net.input((1, 11, 9, 3), INPUT)
    padded = net.pad(data, [(0, 0), (0, 1), (1, 1), (0, 0)])
    stem = net.convolution(padded, (3, 3), 8, HIDDEN, stride=(2, 2), padding="valid", activation="relu6")
    wide = net.convolution(stem, (1, 1), 16, HIDDEN, activation="relu6")
    deep = net.convolution(wide, (3, 3), 1, HIDDEN, activation="relu6", depthwise=True)
    narrow = net.convolution(deep, (1, 1), 8, SIGNED)
    joined = net.binary("ADD", stem, narrow, Quantization(0.07, -20))
    pooled = net.pool(joined, "AVERAGE_POOL_2D", (5, 5), (5, 5))
    logits = net.dense(net.reshape(pooled, (1, 8)), 5, SIGNED)
    return net.finish(net.unary("SOFTMAX", logits, PROBABILITY, Options("SoftmaxOptions", {"beta": 1.0})))


def _branches() -> Network:
    net = NetworkBuilder("branches")
    data = net.input((1, 8, 7, 4), HIDDEN)
    left = net.convolution(data, (1, 1), 5, HIDDEN, activation="relu")
    middle = net.convolution(data, (3, 3), 6, HIDDEN, activation="relu")
    right = net.pool(data, "MAX_POOL_2D", (3, 3), (1, 1))
    joined = net.concatenation([left, middle, right])
    return net.finish(net.convolution(joined, (1, 1), 3, SIGNED))


def _split_and_pack() -> Network:
    net = NetworkBuilder("split_and_pack")
    data = net.input((1, 6, 8, 4), INPUT)
    axis = net.graph.constant("axis", 2)
    half = Tensor(-1, (1, 6, 4, 4), INPUT)
    first, second = net.parts("SPLIT", [axis, data], 2, half, Options("SplitOptions", {"num_splits": 2}))
    options = Options("PackOptions", {"values_count": 2, "axis": 1})
    rectified = net.unary("RELU", first)
    packed = net.layer("PACK", [rectified, second], (1, 2, 6, 4, 4), INPUT, options)
    unpacking = Options("UnpackOptions", {"num": 2, "axis": 1})
    top, bottom = net.parts("UNPACK", [packed], 2, half, unpacking)
    return net.finish(net.binary("SUB", top, bottom, SIGNED), packed)


def _float_edges() -> Network:
    net = NetworkBuilder("float_edges")
    data = net.input((1, 9, 10, 3), None, "float32")
    quantized = net.layer("QUANTIZE", [data], data.shape, INPUT, Options("QuantizeOptions"))
    stem = net.convolution(quantized, (3, 3), 6, HIDDEN, stride=(2, 2), activation="relu6")
    pooled = net.pool(stem, "AVERAGE_POOL_2D", (5, 5), (5, 5))
    logits = net.dense(net.reshape(pooled, (1, 6)), 4, SIGNED)
    result = net.layer("DEQUANTIZE", [logits], (1, 4), None, Options("DequantizeOptions"), dtype="float32")
    return net.finish(result)


def _uint8_edges() -> Network:
    net = NetworkBuilder("uint8_edges")
    data = net.input((1, 7, 7, 3), Quantization(1 / 255, 0), "uint8")
    quantized = net.layer(
        "QUANTIZE", [data], data.shape, Quantization(1 / 255, -128), Options("QuantizeOptions")
    )
    deep = net.convolution(quantized, (3, 3), 2, HIDDEN, activation="relu", depthwise=True)
    point = net.convolution(deep, (1, 1), 5, SIGNED)
    edge = Quantization(0.06, 132)
    result = net.layer("QUANTIZE", [point], point.shape, edge, Options("QuantizeOptions"), dtype="uint8")
    return net.finish(result)


def _squeeze_and_excite() -> Network:
    net = NetworkBuilder("squeeze_and_excite")
    data = net.input((1, 6, 5, 4), INPUT)
    stem = net.convolution(data, (3, 3), 8, SIGNED)
    active = net.unary("HARD_SWISH", stem, Quantization(0.035, -117))
    axes = net.graph.constant("axes", [1, 2])
    options = Options("ReducerOptions", {"keep_dims": True})
    squeezed = net.layer("MEAN", [active, axes], (1, 1, 1, 8), Quantization(0.02, -100), options)
    reduced = net.convolution(squeezed, (1, 1), 3, HIDDEN, activation="relu")
    gate = net.unary("LOGISTIC", net.convolution(reduced, (1, 1), 8, SIGNED), PROBABILITY)
    return net.finish(net.binary("MUL", active, gate, Quantization(0.03, -120)))


def _autoencoder() -> Network:
    net = NetworkBuilder("autoencoder")
    data = net.input((1, 8, 8, 2), INPUT)
    code = net.convolution(data, (3, 3), 6, HIDDEN, stride=(2, 2), activation="relu")
    doubled = net.transpose_convolution(code, 4, SIGNED)
    leaky = net.unary("LEAKY_RELU", doubled, SIGNED, Options("LeakyReluOptions", {"alpha": 0.2}))
    size = net.graph.constant("size", [12, 12])
    resize = Options("ResizeBilinearOptions", {"half_pixel_centers": True})
    larger = net.layer("RESIZE_BILINEAR", [leaky, size], (1, 12, 12, 4), SIGNED, resize)
    narrow = net.convolution(larger, (1, 1), 1, INPUT)
    return net.finish(net.unary("TANH", narrow, Quantization(1 / 128, 0)))


def _several_inputs_and_outputs() -> Network:
    net = NetworkBuilder("several_inputs_and_outputs")
    first = net.input((1, 5, 6, 3), INPUT)
    second = net.input((1, 5, 6, 3), SIGNED)
    third = net.input((1, 1, 1, 3), SIGNED)
    total = net.binary("ADD", first, second, Quantization(0.06, -70), activation="relu6")
    scaled = net.binary("MUL", total, third, Quantization(0.3, -11))
    squared = net.binary("MUL", scaled, scaled, Quantization(3.0, -120))
    difference = net.binary("SUB", scaled, first, Quantization(0.3, 2))
    axis = net.graph.constant("axis", 3)
    classes = net.layer(
        "ARG_MAX",
        [difference, axis],
        (1, 5, 6),
        None,
        Options("ArgMaxOptions", {"output_type": 2}),
        dtype="int32",
    )
    return net.finish(difference, total, squared, classes)


def _redundant_operators() -> Network:
    """Each operator but the convolutions can be folded into a neighbour or dropped."""
    net = NetworkBuilder("redundant_operators")
    data = net.input((1, 6, 6, 3), INPUT)
    same = net.layer("QUANTIZE", [data], data.shape, INPUT, Options("QuantizeOptions"))
    reshaped = net.reshape(same, (1, 6, 6, 3))
    identity = net.graph.constant("permutation", [0, 1, 2, 3])
    transposed = net.layer(
        "TRANSPOSE", [reshaped, identity], reshaped.shape, INPUT, Options("TransposeOptions")
    )
    padded = net.pad(transposed, [(0, 0), (1, 1), (1, 1), (0, 0)])
    stem = net.convolution(padded, (3, 3), 5, SIGNED, padding="valid")
    clamped = net.unary("RELU6", stem)
    net.unary("RELU", clamped)
    result = net.convolution(clamped, (1, 1), 4, SIGNED)
    return net.finish(net.reshape(net.reshape(result, (1, 36, 4)), (1, 144)))


def _keyword_columns() -> Network:
    """Convolutions along one axis, as keyword models have, with a strided slice and an expanded axis."""
    net = NetworkBuilder("keyword_columns")
    data = net.input((1, 16, 5), INPUT)
    axis = net.graph.constant("axis", 2)
    expanded = net.layer("EXPAND_DIMS", [data, axis], (1, 16, 1, 5), INPUT, Options("ExpandDimsOptions"))
    deep = net.convolution(expanded, (5, 1), 1, HIDDEN, stride=(2, 1), activation="relu", depthwise=True)
    point = net.convolution(deep, (1, 1), 7, HIDDEN, activation="relu")
    bounds = [net.graph.constant(name, values) for name, values in LAST_STEPS.items()]
    options = Options("StridedSliceOptions", {"begin_mask": 1, "end_mask": 15})
    recent = net.layer("STRIDED_SLICE", [point, *bounds], (1, 4, 1, 7), HIDDEN, options)
    squeezing = Options("SqueezeOptions", {"squeeze_dims": (2,)})
    squeezed = net.layer("SQUEEZE", [recent], (1, 4, 7), HIDDEN, squeezing)
    return net.finish(net.dense(net.reshape(squeezed, (1, 28)), 3, SIGNED))
