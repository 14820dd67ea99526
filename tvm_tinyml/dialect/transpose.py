"""`transpose`: a permutation of the axes, for any element type and rank.

Output axis `i` is input axis `axes[i]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te

from .bounds import InputBounds, Window
from .registry import Operator, register
from .relax_api import Array, Attrs, TensorSpec


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    data, axes = inputs[0], attrs["axes"]
    if sorted(axes) != list(range(len(data.shape))):
        raise ValueError(f"axes {tuple(axes)} do not permute the axes of rank {len(data.shape)}")
    return TensorSpec(tuple(data.shape[axis] for axis in axes), data.dtype)


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    return np.ascontiguousarray(arrays[0].transpose(attrs["axes"]))


def _positions(axes: Sequence[int]) -> list[int]:
    """Output axis of each input axis."""
    return [int(position) for position in np.argsort(axes)]


def _compute(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Permutation of the axes."""
    (data,) = tensors
    positions = _positions(attrs["axes"])
    return te.compute(
        [data.shape[axis] for axis in attrs["axes"]],
        lambda *index: data[tuple(index[position] for position in positions)],
        name="transpose",
    )


def _bounds(_inputs: Sequence[TensorSpec], attrs: Attrs) -> tuple[InputBounds, ...]:
    return (InputBounds(tuple(Window(position) for position in _positions(attrs["axes"]))),)


register(
    Operator(
        name="transpose",
        inputs=("data",),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
    )
)
