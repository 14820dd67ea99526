"""The functions of one element that calls compute, as tables: what passes ask to recognise identities and clamps."""

from __future__ import annotations

import numpy as np

from ..dialect.relax_api import Array
from .dataflow import Call, Constant

_UNARY = ("lookup", "requantize")


def domain(dtype: str) -> Array:
    """Every value of an integer type, ascending."""
    limits = np.iinfo(dtype)
    return np.arange(limits.min, limits.max + 1).astype(dtype)


def table(node: Call) -> Array | None:
    """What `node` computes for every value of its input's type; None when it is no function of one element."""
    if node.operator.name not in _UNARY or not all(isinstance(v, Constant) for v in node.inputs[1:]):
        return None
    constants = [value.array for value in node.inputs[1:] if isinstance(value, Constant)]
    return node.operator.reference([domain(node.inputs[0].spec.dtype), *constants], node.attrs)
