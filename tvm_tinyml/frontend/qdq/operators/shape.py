"""Operators that move elements: Reshape and its kin, Transpose, Pad and Resize."""

from __future__ import annotations

from collections.abc import Sequence

from ...tflite.graph import Tensor
from ..builder import Builder, Converter, reject
from ..layout import RANK, TO_FIRST, TO_LAST, axis_of, feature_order, keeps_order, shape_of
from ..network import Call, Value

_PRODUCTS = ("Gemm", "MatMul")
_ELEMENT_BY_ELEMENT = ("QuantizeLinear", "DequantizeLinear", "Relu", "Clip", "HardSwish", "Sigmoid", "Tanh")


def _reshape(builder: Builder, call: Call) -> None:
    """Any change of shape: the order of an image's elements is that of NCHW to the model."""
    data, value = builder.activation(call), call.outputs[0]
    source = call.inputs[0]
    assert source is not None
    if data in builder.orders:
        reject("it works on an image that was flattened, supported is a dense layer in between")
    moved = data
    if not keeps_order(source.shape):
        if _only_products_read(builder, value):
            flat = _shaped(builder, data, value.shape, value.name)
            builder.orders[flat] = feature_order(source.shape)
            builder.meaning[value] = flat
            return
        moved = _transposed(builder, data, TO_FIRST, f"{value.name}:NCHW")
    moved = _shaped(builder, moved, value.shape, value.name)
    if not keeps_order(value.shape):
        moved = _transposed(builder, moved, TO_LAST, f"{value.name}:NHWC")
    elif len(value.shape) == RANK:
        moved = _shaped(builder, moved, shape_of(value.shape), f"{value.name}:NHWC")
    builder.meaning[value] = moved


def _only_products_read(builder: Builder, value: Value) -> bool:
    """Whether a value, a batch of one in rows, only reaches dense layers, whose weights can be put in its order."""
    if len(value.shape) != 2 or value.shape[0] != 1 or value in builder.network.outputs:
        return False
    readers = builder.network.readers.get(value, ())
    return bool(readers) and all(
        (call.kind in _PRODUCTS and call.inputs[0] is value)
        or (call.kind in _ELEMENT_BY_ELEMENT and _only_products_read(builder, call.outputs[0]))
        for call in readers
    )


def _shaped(builder: Builder, data: Tensor, shape: Sequence[int], name: str) -> Tensor:
    if tuple(shape) == data.shape:
        return data
    made = builder.tensor(name, shape, data.quantization)
    return builder.operator("RESHAPE", (data,), made, new_shape=tuple(shape))


def _transposed(builder: Builder, data: Tensor, axes: Sequence[int], name: str) -> Tensor:
    made = builder.tensor(name, [data.shape[axis] for axis in axes], data.quantization)
    order = builder.constant(f"{name}:axes", list(axes), "int32")
    return builder.operator("TRANSPOSE", (data, order), made)


def _transpose(builder: Builder, call: Call) -> None:
    data, value = builder.activation(call), call.outputs[0]
    rank = len(data.shape)
    axes = [int(axis) for axis in call.attrs.get("perm", range(rank)[::-1])]
    if rank == RANK:
        axes = [axis_of(axes[axis], rank) for axis in TO_LAST]
    identity = axes == list(range(rank))
    builder.meaning[value] = data if identity else _transposed(builder, data, axes, value.name)


def _same(builder: Builder, call: Call) -> None:
    value = call.inputs[0]
    if value in builder.floats:
        builder.floats[call.outputs[0]] = builder.floats[value]
        return
    builder.meaning[call.outputs[0]] = builder.activation(call)


def _pad(builder: Builder, call: Call) -> None:
    data, value = builder.activation(call), call.outputs[0]
    if call.attrs.get("mode", "constant") != "constant":
        reject(f"its mode is {call.attrs['mode']}, supported is constant")
    widths, fill, axes = call.input(1), call.input(2), call.input(3)
    if widths is None or widths.data is None or axes is not None:
        reject(
            "its widths are computed by the model, or given for some dimensions; supported are constants for all"
        )
    if fill is not None and (fill.data is None or fill.data.any()):
        reject("it pads with another value than 0")
    rank = len(data.shape)
    logical = [int(width) for width in widths.data.reshape(-1)]
    if len(logical) != 2 * rank:
        reject(f"it has {len(logical)} widths for {rank} dimensions")
    pairs = [(0, 0)] * rank
    for axis in range(rank):
        pairs[axis_of(axis, rank)] = (logical[axis], logical[axis + rank])
    made, _ = builder.result(call, quantization=data.quantization)
    table = builder.constant(f"{value.name}:widths", pairs, "int32")
    builder.operator("PAD", (data, table), made)


def _resize(builder: Builder, call: Call) -> None:
    data = builder.activation(call)
    mode = call.attrs.get("mode", "nearest")
    place = call.attrs.get("coordinate_transformation_mode", "half_pixel")
    # (mode, place, rounding of nearest) -> operator and its two options.
    known = {
        ("nearest", "asymmetric", "floor"): ("RESIZE_NEAREST_NEIGHBOR", False, False),
        ("linear", "half_pixel", ""): ("RESIZE_BILINEAR", False, True),
        ("linear", "pytorch_half_pixel", ""): ("RESIZE_BILINEAR", False, True),
        ("linear", "align_corners", ""): ("RESIZE_BILINEAR", True, False),
        ("linear", "asymmetric", ""): ("RESIZE_BILINEAR", False, False),
    }
    rounding = call.attrs.get("nearest_mode", "round_prefer_floor") if mode == "nearest" else ""
    if (mode, place, rounding) not in known:
        reject(f"it resizes by {mode}, {place} {rounding}".rstrip() + ", which has no integer form")
    kind, align, half = known[mode, place, rounding]
    made, _ = builder.result(call, quantization=data.quantization)
    size = builder.constant(f"{call.outputs[0].name}:size", made.shape[1:3], "int32")
    builder.operator(kind, (data, size), made, align_corners=align, half_pixel_centers=half)


CONVERTERS: dict[str, Converter] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("Identity", "Dropout"), _same),
    "Transpose": _transpose,
    "Pad": _pad,
    "Resize": _resize,
}
