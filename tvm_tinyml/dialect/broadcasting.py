"""NumPy broadcasting of two operands: shapes, index expressions and bounds, shared by the binary families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tvm import te

from .bounds import InputBounds, elementwise
from .relax_api import Attrs, TensorSpec


def broadcast_shape(inputs: Sequence[TensorSpec]) -> tuple[int, ...]:
    """Common shape of the operands; ValueError when they do not broadcast."""
    shapes = [spec.shape for spec in inputs]
    try:
        return tuple(int(extent) for extent in np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise ValueError(f"shapes {' and '.join(map(str, shapes))} do not broadcast") from error


def broadcast_bounds(inputs: Sequence[TensorSpec], _attrs: Attrs) -> tuple[InputBounds, ...]:
    """Bounds maps of the operands."""
    rank = len(broadcast_shape(inputs))
    return tuple(elementwise(spec.shape, rank) for spec in inputs)


def compute_elementwise(tensors: Sequence[Any], combine: Callable[..., Any], name: str) -> Any:
    """TE stage `name`: `combine` of the broadcast elements of `tensors`, one argument each."""
    specs = [TensorSpec(tuple(int(extent) for extent in tensor.shape), tensor.dtype) for tensor in tensors]

    def element(tensor: Any, spec: TensorSpec, indices: tuple[Any, ...]) -> Any:
        own = indices[len(indices) - len(spec.shape) :]
        return tensor[
            tuple(0 if extent == 1 else index for index, extent in zip(own, spec.shape, strict=True))
        ]

    return te.compute(
        broadcast_shape(specs),
        lambda *indices: combine(
            *(element(tensor, spec, indices) for tensor, spec in zip(tensors, specs, strict=True))
        ),
        name=name,
    )
