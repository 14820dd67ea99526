"""DropIdentity: calls that change nothing, and pairs of data movements that are one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dialect import operator
from . import unary
from .dataflow import Call, Constant, Graph, Value, graph_pass


def DropIdentity() -> Any:  # noqa: N802
    """Needs nothing; guarantees that no call repeats its input, but for copies, and that chains are one call.

    Chains are reshapes of reshapes, copies of copies and transposes of transposes. A transpose that moves only
    axes of one element becomes a reshape. A call that changes the quantisation stays, and so does one whose
    result is an output where the input is a parameter, a constant or an output too. Where an output goes, its
    producer takes over its name.
    """
    return graph_pass("DropIdentity", _rewrite)


def _rewrite(graph: Graph) -> int:
    changes = 0
    for node in list(graph.calls):
        if node not in graph.calls:
            continue
        if node.operator.name == "transpose":
            changes += _join_transposes(graph, node) + _reshape_for_transpose(node)
        if node.operator.name in ("reshape", "copy"):
            changes += _skip_same_operator(graph, node)
        changes += _drop(graph, node)
    return changes


def _source(node: Call) -> Call | None:
    """Input of `node` when a call of the same operator makes it under the same quantisation."""
    source = node.inputs[0]
    if not isinstance(source, Call) or source.operator is not node.operator:
        return None
    return source if source.quantization == node.quantization else None


def _skip_same_operator(graph: Graph, node: Call) -> int:
    source = _source(node)
    if source is None:
        return 0
    node.inputs = [source.inputs[0]]
    graph.remove_unused(source)
    return 1


def _join_transposes(graph: Graph, node: Call) -> int:
    """A second reader of the first transpose forbids it: the tensor behind would have to live longer."""
    source = _source(node)
    if source is None:
        return 0
    axes = tuple(source.attrs["axes"][axis] for axis in node.attrs["axes"])
    if graph.only_user(source) is None and axes != tuple(sorted(axes)):
        return 0
    node.inputs, node.attrs["axes"] = [source.inputs[0]], axes
    graph.remove_unused(source)
    return 1


def _reshape_for_transpose(node: Call) -> int:
    shape, axes = node.inputs[0].spec.shape, node.attrs["axes"]
    moved = [axis for axis in axes if shape[axis] > 1]
    if moved != sorted(moved):
        return 0
    node.attrs["shape"] = node.spec.shape
    node.operator = operator("reshape")
    del node.attrs["axes"]
    return 1


def _drop(graph: Graph, node: Call) -> int:
    repeated = _repeated(node)
    if repeated is None or isinstance(repeated, Constant) or repeated.quantization != node.quantization:
        return 0
    if graph.is_output(node):
        if not isinstance(repeated, Call) or graph.is_output(repeated):
            return 0
        repeated.become(node)
    source = node.inputs[0]
    graph.replace(node, repeated)
    graph.remove_unused(source)
    return 1


# Operators that only move elements, whatever the elements are.
_MOVEMENTS = ("concat", "pad", "reshape", "resize_nearest", "slice", "transpose")


def _repeated(node: Call) -> Value | None:
    """The value that `node` repeats element by element, or None."""
    if not node.inputs:
        return None
    source, spec = node.inputs[0], node.spec
    if node.operator.name == "quantize":
        return _round_trip(node)
    if source.spec != spec:
        return None
    if node.operator.name in _MOVEMENTS:
        positions = np.arange(spec.elements).reshape(spec.shape)
        unmoved = np.array_equal(node.operator.reference([positions], node.attrs), positions)
        return source if unmoved else None
    entries = unary.table(node)
    return source if entries is not None and np.array_equal(entries, unary.domain(spec.dtype)) else None


def _round_trip(quantize: Call) -> Value | None:
    """What a pair of dequantize and quantize repeats: its first input, when every value comes back."""
    dequantize = quantize.inputs[0]
    if not isinstance(dequantize, Call) or dequantize.operator.name != "dequantize":
        return None
    source = dequantize.inputs[0]
    if source.spec != quantize.spec:
        return None
    values = unary.domain(source.spec.dtype)
    real = dequantize.operator.reference([values], dequantize.attrs)
    back = quantize.operator.reference([real], quantize.attrs)
    return source if np.array_equal(back, values) else None
