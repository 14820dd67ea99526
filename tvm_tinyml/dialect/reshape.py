"""`reshape` and `copy`: the same elements in the same order, under another shape or in another buffer.

`reshape` stands for TFLite's RESHAPE, SQUEEZE and EXPAND_DIMS. It never moves data: the lowering makes the
output a view of the input. `copy` is the opposite: it forces a separate buffer where a view is not allowed.
Both accept every element type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import te

from .bounds import InputBounds, Whole, Window, elementwise
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec


def _infer_reshape(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data = inputs[0]
    output = TensorSpec(tuple(attrs["shape"]), data.dtype)
    if any(extent < 1 for extent in output.shape):
        raise ValueError(f"reshape needs positive extents, found {output.shape}")
    if output.elements != data.elements:
        raise ValueError(
            f"{data.elements} elements of shape {data.shape} do not fill {output.shape} ({output.elements})"
        )
    return output


def _reference_reshape(arrays: Sequence[Array], attrs: Attrs) -> Array:
    output: Array = arrays[0].reshape(attrs["shape"]).copy()
    return output


def _compute_reshape(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """The input's bytes under another shape."""
    (data,) = tensors
    source, target = [int(extent) for extent in data.shape], attrs["shape"]

    def element(*index: Any) -> Any:
        flat: Any = 0
        for coordinate, extent in zip(index, target, strict=True):
            flat = flat * extent + coordinate
        coordinates = []
        for extent in reversed(source):
            coordinates.append(te.indexmod(flat, extent))
            flat = te.indexdiv(flat, extent)
        return data[tuple(reversed(coordinates))]

    return te.compute(target, element, name="reshape")


def _bounds_reshape(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    """An axis survives when the axes in front of it hold as many elements on both sides; the others mix."""
    survivors: dict[tuple[int, int], int] = {}
    size = 1
    for axis, extent in enumerate(attrs["shape"]):
        survivors[size, extent] = axis
        size *= extent
    axes: list[Window | Whole] = []
    size = 1
    for extent in inputs[0].shape:
        match = survivors.get((size, extent))
        axes.append(Whole() if match is None else Window(match))
        size *= extent
    return (InputBounds(tuple(axes)),)


def _infer_copy(inputs: Sequence[TensorSpec], _attrs: Attrs) -> TensorSpec:
    return inputs[0]


def _reference_copy(arrays: Sequence[Array], _attrs: Attrs) -> Array:
    output: Array = arrays[0].copy()
    return output


def _compute_copy(tensors: Sequence[Any], _attrs: Attrs) -> Any:
    """The input in a buffer of its own."""
    (data,) = tensors
    return te.compute(data.shape, lambda *index: data[index], name="copy")


def _bounds_copy(inputs: Sequence[TensorSpec], _attrs: Attrs) -> tuple[InputBounds, ...]:
    return (elementwise(inputs[0].shape, len(inputs[0].shape)),)


register(
    Operator(
        name="reshape",
        inputs=("data",),
        infer=_infer_reshape,
        reference=_reference_reshape,
        compute=_compute_reshape,
        bounds=_bounds_reshape,
        is_view=True,
    )
)
register(
    Operator(
        name="copy",
        inputs=("data",),
        infer=_infer_copy,
        reference=_reference_copy,
        compute=_compute_copy,
        bounds=_bounds_copy,
    )
)
