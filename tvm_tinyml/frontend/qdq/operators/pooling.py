"""Poolings, global ones and means."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...tflite.graph import Tensor
from ..builder import NO_LIMITS, Builder, Converter, reject
from ..layout import axis_of, shape_of
from ..network import Call
from .windows import window_options

_OPTIONS = ("stride_h", "stride_w", "", "")
SPATIAL = (1, 2)


def _pool(builder: Builder, call: Call, kind: str) -> None:
    data = builder.activation(call)
    kernel = [int(one) for one in call.attrs["kernel_shape"]]
    if any(int(one) != 1 for one in call.attrs.get("dilations", (1, 1))):
        reject("its window is dilated, supported are windows without gaps")
    options = window_options(call, data.shape[1:3], kernel, _OPTIONS)
    if int(call.attrs.get("ceil_mode", 0)):
        reject("it rounds its size up (ceil_mode), supported is rounding down")
    if kind == "AVERAGE_POOL_2D" and int(call.attrs.get("count_include_pad", 0)) and any(options["padding"]):
        reject("it counts padding (count_include_pad), supported are averages of the image alone")
    output = _of_equal_scale(builder, call)
    builder.operator(
        kind,
        (data,),
        output,
        filter_height=kernel[0],
        filter_width=kernel[1],
        fused_activation_function=NO_LIMITS,
        **options,
    )


def _of_equal_scale(builder: Builder, call: Call) -> Tensor:
    """The result, in the quantisation of the operand; another one that follows is an operator of its own."""
    data = builder.activation(call)
    output, _ = builder.result(call, quantization=data.quantization)
    return output


def _global_average(builder: Builder, call: Call) -> None:
    _mean(builder, call, SPATIAL, keep=True)


def _global_maximum(builder: Builder, call: Call) -> None:
    data = builder.activation(call)
    _, height, width, _ = data.shape
    builder.operator(
        "MAX_POOL_2D",
        (data,),
        _of_equal_scale(builder, call),
        filter_height=height,
        filter_width=width,
        stride_h=1,
        stride_w=1,
        padding=(0, 0, 0, 0),
        fused_activation_function=NO_LIMITS,
    )


def _reduce_mean(builder: Builder, call: Call) -> None:
    data = builder.activation(call)
    rank = len(data.shape)
    given = call.input(1)
    axes = given.data if given is not None else np.asarray(call.attrs.get("axes", range(rank)))
    if axes is None:
        reject("its axes are computed by the model, supported are constants")
    places = sorted({axis_of(int(axis) % rank, rank) for axis in axes})
    keep = bool(call.attrs.get("keepdims", 1))
    if rank > 3 and not keep and tuple(places) != SPATIAL:
        reject(f"it drops dimensions {list(axes)} of an image, supported are height and width")
    _mean(builder, call, places, keep=keep)


def _mean(builder: Builder, call: Call, axes: tuple[int, ...] | list[int], *, keep: bool) -> None:
    data = builder.activation(call)
    if data in builder.orders:
        reject("it works on an image that was flattened, supported is a dense layer in between")
    value = call.outputs[0]
    output, limits = builder.result(call, shape=shape_of(value.shape))
    if limits != NO_LIMITS:
        reject("an activation follows it, supported is none")
    places = builder.constant(f"{value.name}:axes", list(axes), "int32")
    builder.operator("MEAN", (data, places), output, keep_dims=keep)


CONVERTERS: dict[str, Converter] = {
    "AveragePool": partial(_pool, kind="AVERAGE_POOL_2D"),
    "MaxPool": partial(_pool, kind="MAX_POOL_2D"),
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_maximum,
    "ReduceMean": _reduce_mean,
}
