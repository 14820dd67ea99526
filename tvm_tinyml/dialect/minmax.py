"""Elementwise `maximum` and `minimum` of two tensors of equal quantisation, with NumPy broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import tirx

from .broadcasting import broadcast_bounds, broadcast_shape, compute_elementwise
from .registry import Operator, by_element, register
from .relax_api import Array, Attrs, TensorSpec


def _infer(inputs: Sequence[TensorSpec], _attrs: Attrs) -> TensorSpec:
    a, b = inputs
    if a.dtype != b.dtype:
        raise ValueError(f"operands have different types, {a.dtype} and {b.dtype}")
    return TensorSpec(broadcast_shape(inputs), a.dtype)


def _reference_maximum(arrays: Sequence[Array], _attrs: Attrs) -> Array:
    return np.asarray(np.maximum(*arrays))


def _reference_minimum(arrays: Sequence[Array], _attrs: Attrs) -> Array:
    return np.asarray(np.minimum(*arrays))


def _compute_maximum(tensors: Sequence[Any], _attrs: Attrs) -> Any:
    """The larger of two elements."""
    return compute_elementwise(tensors, tirx.max, "maximum")


def _compute_minimum(tensors: Sequence[Any], _attrs: Attrs) -> Any:
    """The smaller of two elements."""
    return compute_elementwise(tensors, tirx.min, "minimum")


for _name, _reference, _compute in (
    ("maximum", _reference_maximum, _compute_maximum),
    ("minimum", _reference_minimum, _compute_minimum),
):
    register(
        Operator(
            name=_name,
            inputs=("a", "b"),
            infer=_infer,
            reference=_reference,
            compute=_compute,
            bounds=broadcast_bounds,
            transposed=by_element,
        )
    )
