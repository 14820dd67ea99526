"""PyTorch's operators in the terms of ONNX: a row for each, by the name of its overload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..qdq.network import Value

Translated: TypeAlias = "tuple[str, Sequence[Value | None], Mapping[str, Any]] | Value"
SPATIAL = 2


@dataclass(frozen=True)
class Arguments:
    """Arguments of one node; the reader knows what its operands have become."""

    reader: Any
    node: Any

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """A plain argument, by position or name."""
        args = self.node.args
        return args[position] if position < len(args) else self.node.kwargs.get(name, default)

    def value(self, position: int, name: str = "") -> Value | None:
        """An operand; numbers become constants."""
        found: Value | None = self.reader.value(self.get(position, name), f"{self.node.name}:{position}")
        return found

    def constant(self, data: Any, dtype: str, what: str) -> Value:
        """A constant that the node only implies."""
        return Value.constant(f"{self.node.name}:{what}", np.asarray(data, dtype))

    def shape(self, position: int = 0) -> tuple[int, ...]:
        """Shape of an operand."""
        operand = self.value(position)
        if operand is None:
            raise ValueError("an operand is missing")
        return operand.shape

    @property
    def result_shape(self) -> list[int]:
        """Shape of the result."""
        return [int(extent) for extent in self.node.meta["val"].shape]


Translation: TypeAlias = Callable[[Arguments], Translated]


def _pair(value: Any) -> list[int]:
    found = [int(one) for one in value] if isinstance(value, (list, tuple)) else [int(value)]
    return found * SPATIAL if len(found) == 1 else found


def _conv(a: Arguments) -> Translated:
    dilations = _pair(a.get(5, "dilation", 1))
    attrs = {
        "strides": _pair(a.get(3, "stride", 1)),
        "pads": _conv_pads(a.get(4, "padding", 0), a.shape(1)[2:], dilations),
        "dilations": dilations,
        "group": int(a.get(6, "groups", 1)),
    }
    return "Conv", [a.value(0), a.value(1), a.value(2, "bias")], attrs


def _conv_pads(padding: Any, kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """Pads of every dimension, those before first; "same" puts an odd one behind."""
    if padding == "valid":
        return [0] * 2 * SPATIAL
    if padding == "same":
        total = [step * (extent - 1) for step, extent in zip(dilations, kernel, strict=True)]
        return [*(one // 2 for one in total), *(one - one // 2 for one in total)]
    return _pair(padding) * 2


def _linear(a: Arguments) -> Translated:
    return "Gemm", [a.value(0), a.value(1), a.value(2, "bias")], {"transB": 1}


def _quantize(a: Arguments) -> Translated:
    return "QuantizeLinear", [a.value(0), *_parameters(a, 1)], {}


def _dequantize(a: Arguments) -> Translated:
    return "DequantizeLinear", [a.value(0), *_parameters(a, 1)], {}


def _dequantize_channels(a: Arguments) -> Translated:
    return "DequantizeLinear", [a.value(0), *_parameters(a, 1)], {"axis": int(a.get(3, "axis", 0))}


def _parameters(a: Arguments, position: int) -> list[Value]:
    """Scale and zero point, the latter in the stored type, which is the node's last argument."""
    dtype = str(a.node.args[-1]).removeprefix("torch.")
    if dtype not in ("int8", "uint8", "int32"):
        raise ValueError(f"it quantises to {dtype or 'nothing'}, supported are int8 and uint8")
    scale, zero_point = a.value(position), a.value(position + 1)
    if scale is None or zero_point is None or scale.data is None or zero_point.data is None:
        raise ValueError("its scale or zero point is computed by the model, supported are constants")
    return [a.constant(scale.data, "float32", "scale"), a.constant(zero_point.data, dtype, "zero_point")]


def _same(kind: str, operands: int = 1) -> Translation:
    def translate(a: Arguments) -> Translated:
        return kind, [a.value(position) for position in range(operands)], {}

    return translate


def _sum(kind: str) -> Translation:
    def translate(a: Arguments) -> Translated:
        if float(a.get(2, "alpha", 1)) != 1.0:
            raise ValueError("its factor alpha is not 1")
        return kind, [a.value(0), a.value(1)], {}

    return translate


def _difference(a: Arguments) -> Translated:
    """The second operand less the first."""
    if float(a.get(2, "alpha", 1)) != 1.0:
        raise ValueError("its factor alpha is not 1")
    return "Sub", [a.value(1), a.value(0)], {}


def _with(kind: str, name: str, default: float) -> Translation:
    return lambda a: (kind, [a.value(0)], {name: float(a.get(1, name, default))})


def _clamped(low: float | None, high: float | None) -> Translation:
    def translate(a: Arguments) -> Translated:
        limits = (a.get(1, "min", low), a.get(2, "max", high))
        names = ("min", "max")
        bounds = [
            None if limit is None else a.constant(float(limit), "float32", name)
            for limit, name in zip(limits, names, strict=True)
        ]
        return "Clip", [a.value(0), *bounds], {}

    return translate


def _pool(kind: str) -> Translation:
    def translate(a: Arguments) -> Translated:
        kernel = _pair(a.get(1, "kernel_size"))
        padding = _pair(a.get(3, "padding", 0))
        attrs: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": _pair(a.get(2, "stride") or kernel),
            "pads": [*padding, *padding],
        }
        if kind == "MaxPool":
            attrs |= {
                "dilations": _pair(a.get(4, "dilation", 1)),
                "ceil_mode": int(a.get(5, "ceil_mode", False)),
            }
        else:
            attrs |= {
                "ceil_mode": int(a.get(4, "ceil_mode", False)),
                "count_include_pad": int(a.get(5, "count_include_pad", True)),
            }
            if a.get(6, "divisor_override") is not None:
                raise ValueError("it divides by another number than that of its elements (divisor_override)")
        return kind, [a.value(0)], attrs

    return translate


def _adaptive_average(a: Arguments) -> Translated:
    if _pair(a.get(1, "output_size")) != [1, 1]:
        raise ValueError("its output is larger than 1x1, supported is the global average")
    return "GlobalAveragePool", [a.value(0)], {}


def _mean(a: Arguments) -> Translated:
    axes = a.get(1, "dim") or list(range(len(a.shape())))
    places = [int(one) for one in (axes if isinstance(axes, (list, tuple)) else [axes])]
    return "ReduceMean", [a.value(0)], {"axes": places, "keepdims": int(bool(a.get(2, "keepdim", False)))}


def _reshape(a: Arguments) -> Translated:
    return "Reshape", [a.value(0), a.constant(a.result_shape, "int64", "shape")], {}


def _permute(a: Arguments) -> Translated:
    return "Transpose", [a.value(0)], {"perm": [int(one) % len(a.shape()) for one in a.get(1, "dims")]}


def _transpose(a: Arguments) -> Translated:
    rank = len(a.shape())
    one, other = (int(a.get(position, name)) % rank for position, name in ((1, "dim0"), (2, "dim1")))
    order = list(range(rank))
    order[one], order[other] = order[other], order[one]
    return "Transpose", [a.value(0)], {"perm": order}


def _concat(a: Arguments) -> Translated:
    parts = [a.reader.value(part, f"{a.node.name}:{k}") for k, part in enumerate(a.get(0, "tensors"))]
    return "Concat", parts, {"axis": int(a.get(1, "dim", 0))}


def _slice(a: Arguments) -> Translated:
    axis = int(a.get(1, "dim", 0)) % len(a.shape())
    extent = a.shape()[axis]
    numbers = (a.get(2, "start") or 0, min(a.get(3, "end") or extent, extent), axis, a.get(4, "step", 1))
    names = ("starts", "ends", "axes", "steps")
    listed = [a.constant([int(one)], "int64", name) for one, name in zip(numbers, names, strict=True)]
    return "Slice", [a.value(0), *listed], {}


def _pad(a: Arguments) -> Translated:
    widths = [int(one) for one in a.get(1, "pad")]
    if a.get(2, "mode", "constant") not in ("constant", 0, 0.0):
        raise ValueError("it pads with something else than 0")
    rank = len(a.shape())
    # PyTorch names the last dimension first.
    pairs = [(0, 0)] * (rank - len(widths) // 2)
    pairs += [(widths[k], widths[k + 1]) for k in range(len(widths) - 2, -1, -2)]
    logical = [before for before, _ in pairs] + [after for _, after in pairs]
    return "Pad", [a.value(0), a.constant(logical, "int64", "widths")], {}


def _softmax(a: Arguments) -> Translated:
    return "Softmax", [a.value(0)], {"axis": int(a.get(1, "dim"))}


def _gelu(a: Arguments) -> Translated:
    return "Gelu", [a.value(0)], {"approximate": str(a.node.kwargs.get("approximate", "none"))}


def _itself(a: Arguments) -> Translated:
    operand = a.value(0)
    if operand is None:
        raise ValueError("its operand is missing")
    return operand


def _overloads(translation: Translation, *names: str) -> dict[str, Translation]:
    return dict.fromkeys(names, translation)


TRANSLATIONS: dict[str, Translation] = {
    "quantized_decomposed.quantize_per_tensor.default": _quantize,
    "quantized_decomposed.dequantize_per_tensor.default": _dequantize,
    "quantized_decomposed.dequantize_per_channel.default": _dequantize_channels,
    **_overloads(_conv, "aten.conv2d.default", "aten.conv2d.padding", "aten.convolution.default"),
    "aten.linear.default": _linear,
    **_overloads(_sum("Add"), "aten.add.Tensor", "aten.add_.Tensor"),
    **_overloads(_sum("Sub"), "aten.sub.Tensor", "aten.sub_.Tensor"),
    "aten.rsub.Scalar": _difference,
    **_overloads(_same("Mul", 2), "aten.mul.Tensor", "aten.mul_.Tensor"),
    **_overloads(_same("Div", 2), "aten.div.Tensor", "aten.div_.Tensor"),
    "aten.maximum.default": _same("Max", 2),
    "aten.minimum.default": _same("Min", 2),
    **_overloads(_same("Relu"), "aten.relu.default", "aten.relu_.default"),
    **_overloads(_clamped(-1.0, 1.0), "aten.hardtanh.default", "aten.hardtanh_.default"),
    **_overloads(_clamped(None, None), "aten.clamp.default", "aten.clamp_.default"),
    **_overloads(_clamped(0.0, 6.0), "aten.relu6.default", "aten.relu6_.default"),
    **_overloads(_same("HardSwish"), "aten.hardswish.default", "aten.hardswish_.default"),
    **_overloads(
        lambda a: ("HardSigmoid", [a.value(0)], {"alpha": 1 / 6, "beta": 0.5}),
        "aten.hardsigmoid.default",
        "aten.hardsigmoid_.default",
    ),
    **_overloads(_same("Sigmoid"), "aten.sigmoid.default", "aten.sigmoid_.default"),
    **_overloads(_same("Tanh"), "aten.tanh.default", "aten.tanh_.default"),
    **_overloads(_same("Silu"), "aten.silu.default", "aten.silu_.default"),
    "aten.gelu.default": _gelu,
    **_overloads(_with("Elu", "alpha", 1.0), "aten.elu.default", "aten.elu_.default"),
    **_overloads(
        lambda a: ("LeakyRelu", [a.value(0)], {"alpha": float(a.get(1, "negative_slope", 0.01))}),
        "aten.leaky_relu.default",
        "aten.leaky_relu_.default",
    ),
    "aten.max_pool2d.default": _pool("MaxPool"),
    "aten.avg_pool2d.default": _pool("AveragePool"),
    "aten.adaptive_avg_pool2d.default": _adaptive_average,
    "aten.mean.dim": _mean,
    **_overloads(
        _reshape,
        "aten.flatten.using_ints",
        "aten.view.default",
        "aten.reshape.default",
        "aten.squeeze.default",
        "aten.squeeze.dim",
        "aten.squeeze.dims",
        "aten.unsqueeze.default",
    ),
    "aten.permute.default": _permute,
    "aten.transpose.int": _transpose,
    "aten.cat.default": _concat,
    "aten.slice.Tensor": _slice,
    **_overloads(_pad, "aten.pad.default", "aten.constant_pad_nd.default"),
    **_overloads(_softmax, "aten.softmax.int", "aten._softmax.default"),
    **_overloads(
        _itself,
        "aten.dropout.default",
        "aten.clone.default",
        "aten.contiguous.default",
        "aten.alias.default",
        "aten.detach.default",
        "aten.detach_.default",
    ),
}
