"""`concat`: inputs laid one after the other along an axis (TFLite's CONCATENATION and, with reshapes, PACK).

Any element type and rank. The bytes are copied as they are: LiteRT refuses int8 inputs whose quantisation
differs from the output's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from .blocks import Part, assemble
from .bounds import InputBounds, Window
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    if not inputs:
        raise ValueError("concat needs at least one input")
    first, axis = inputs[0], attrs["axis"]
    if not 0 <= axis < len(first.shape):
        raise ValueError(f"concat axis {axis} is outside 0..{len(first.shape) - 1}")
    rest = (first.shape[:axis], first.shape[axis + 1 :])
    for position, other in enumerate(inputs):
        if other.dtype != first.dtype:
            raise ValueError(f"concat input {position} is {other.dtype}, input 0 is {first.dtype}")
        if (other.shape[:axis], other.shape[axis + 1 :]) != rest:
            raise ValueError(
                f"concat input {position} of shape {other.shape} does not fit {first.shape} along axis {axis}"
            )
    joined = sum(spec.shape[axis] for spec in inputs)
    return TensorSpec((*rest[0], joined, *rest[1]), first.dtype)


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    return np.concatenate(arrays, axis=attrs["axis"])


def _starts(shapes: Sequence[Sequence[int]], axis: int) -> list[int]:
    return [0, *accumulate(shape[axis] for shape in shapes[:-1])]


def _compute(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Inputs laid one after the other along an axis."""
    axis = attrs["axis"]
    shapes = [[int(extent) for extent in tensor.shape] for tensor in tensors]
    parts = []
    for source, (shape, start) in enumerate(zip(shapes, _starts(shapes, axis), strict=True)):
        origin = tuple(start if dimension == axis else 0 for dimension in range(len(shape)))
        region = tuple((begin, begin + extent) for begin, extent in zip(origin, shape, strict=True))
        parts.append(Part(f"copy_{source}", region, source, origin))
    joined = [*shapes[0]]
    joined[axis] = sum(shape[axis] for shape in shapes)
    return assemble(tensors, joined, parts, "concat")


def _bounds(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    axis = attrs["axis"]
    return tuple(
        InputBounds(
            tuple(
                Window(dimension, first=-start, last=-start) if dimension == axis else Window(dimension)
                for dimension in range(len(spec.shape))
            )
        )
        for spec, start in zip(inputs, _starts([spec.shape for spec in inputs], axis), strict=True)
    )


def _parts(inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[int, ...] | None:
    axis = attrs["axis"]
    if any(extent > 1 for extent in inputs[0].shape[:axis]):
        return None
    return tuple([0, *accumulate(spec.elements for spec in inputs[:-1])])


def _transposed(attrs: Attrs) -> Attrs:
    return {**attrs, "axis": {1: 2, 2: 1}.get(attrs["axis"], attrs["axis"])}


register(
    Operator(
        name="concat",
        inputs=("data", "..."),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
        parts=_parts,
        transposed=_transposed,
    )
)
