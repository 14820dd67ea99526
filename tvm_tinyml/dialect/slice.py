"""`slice`: a box of the input, read with a step per axis (TFLite's SLICE, SPLIT, UNPACK ...).

Any element type and rank. Output index `o` reads input index `begin + o * stride`; a negative stride reads
backwards. Masks, negative indices and removed axes are resolved by the frontends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import te

from .bounds import AxisBounds, InputBounds, Whole, Window
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data, rank = inputs[0], len(inputs[0].shape)
    for key in ("begin", "strides", "shape"):
        if len(attrs[key]) != rank:
            raise ValueError(f"slice {key} has {len(attrs[key])} entries, the input has rank {rank}")
    for axis, (begin, stride, count, extent) in enumerate(
        zip(attrs["begin"], attrs["strides"], attrs["shape"], data.shape, strict=True)
    ):
        last = begin + (count - 1) * stride
        if stride == 0 or count < 1 or not (0 <= begin < extent and 0 <= last < extent):
            raise ValueError(
                f"slice axis {axis}: {count} elements from {begin} in steps of {stride} leave 0..{extent - 1}"
            )
    return TensorSpec(tuple(attrs["shape"]), data.dtype)


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    box = []
    for begin, stride, count in zip(attrs["begin"], attrs["strides"], attrs["shape"], strict=True):
        end = begin + count * stride
        box.append(slice(begin, end if end >= 0 else None, stride))
    output: Array = arrays[0][tuple(box)].copy()
    return output


def _compute(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Box of the input, read with a step per axis."""
    (data,) = tensors

    def element(*index: Any) -> Any:
        return data[
            tuple(
                coordinate * stride + begin
                for coordinate, stride, begin in zip(index, attrs["strides"], attrs["begin"], strict=True)
            )
        ]

    return te.compute(attrs["shape"], element, name="slice")


def _bounds(_inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    """An axis read backwards is needed as a whole: windows only slide forwards."""
    axes: list[AxisBounds] = []
    for axis, (begin, stride) in enumerate(zip(attrs["begin"], attrs["strides"], strict=True)):
        axes.append(Whole() if stride < 0 else Window(axis, numerator=stride, first=begin, last=begin))
    return (InputBounds(tuple(axes)),)


def _window(inputs: Sequence[TensorSpec], attrs: Attrs) -> int | None:
    """Elements lie in a run when behind the outermost axis that has several, every axis is taken whole."""
    extents, whole = inputs[0].shape, True
    first, size = 0, 1
    for axis in reversed(range(len(extents))):
        begin, stride, count = (attrs[key][axis] for key in ("begin", "strides", "shape"))
        if count > 1 and (stride != 1 or not whole):
            return None
        whole = whole and count == extents[axis]
        first += begin * size
        size *= extents[axis]
    return first


register(
    Operator(
        name="slice",
        inputs=("data",),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
        window=_window,
    )
)
