"""`argmax`: index of the first maximum along an axis, which disappears (TFLite's ARG_MAX).

Value and index are packed into one 32-bit key, the value above the index counted from the end, so that the
largest key is the first maximum: one plain reduction, no branch and no second accumulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te, tirx

from .bounds import AxisBounds, InputBounds, Whole, Window
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec

_KEY_BITS = 31
_OUTPUT_TYPES = ("int32", "int64")


def _index_bits(extent: int) -> int:
    return (extent - 1).bit_length()


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data, axis = inputs[0], attrs["axis"]
    if data.dtype not in ("int8", "uint8", "int16"):
        raise ValueError(f"argmax takes int8, uint8 or int16, found {data.dtype}")
    if attrs["dtype"] not in _OUTPUT_TYPES:
        raise ValueError(f"argmax gives one of {_OUTPUT_TYPES}, not {attrs['dtype']}")
    if not 0 <= axis < len(data.shape):
        raise ValueError(f"argmax axis {axis} is outside 0..{len(data.shape) - 1}")
    limit = 2 ** (_KEY_BITS - 8 * np.dtype(data.dtype).itemsize)
    if data.shape[axis] > limit:
        raise ValueError(f"argmax over {data.shape[axis]} elements of {data.dtype}; the limit is {limit}")
    return TensorSpec((*data.shape[:axis], *data.shape[axis + 1 :]), attrs["dtype"])


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    return np.asarray(np.argmax(arrays[0], axis=attrs["axis"])).astype(attrs["dtype"])


def _compute(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Index of the first maximum along an axis."""
    (data,) = tensors
    axis = attrs["axis"]
    shape = [int(extent) for extent in data.shape]
    last, bits = shape[axis] - 1, _index_bits(shape[axis])
    position = te.reduce_axis((0, shape[axis]), "k")

    def key(*index: Any) -> Any:
        source = (*index[:axis], position, *index[axis:])
        value = data[source].astype("int32")
        return te.max(value * (1 << bits) + (last - position), axis=position)

    keys = te.compute([*shape[:axis], *shape[axis + 1 :]], key, name="largest")
    return te.compute(
        keys.shape,
        lambda *index: (last - tirx.bitwise_and(keys[index], (1 << bits) - 1)).astype(attrs["dtype"]),
        name="argmax",
    )


def _bounds(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    axes: list[AxisBounds] = [Window(axis) for axis in range(len(inputs[0].shape) - 1)]
    axes.insert(attrs["axis"], Whole())
    return (InputBounds(tuple(axes)),)


register(
    Operator(
        name="argmax",
        inputs=("data",),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
    )
)
