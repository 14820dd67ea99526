"""MergeEqualCalls: what is computed twice is computed once (common subexpression elimination)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from .dataflow import Call, Constant, Graph, Value, graph_pass


def MergeEqualCalls() -> Any:  # noqa: N802
    """Needs nothing; guarantees that no two calls compute the same from the same inputs, but for copies.

    Equal are operators, attributes, inputs and the contents of constants; names may differ. The first call stays. It
    takes over the name of the second when that alone is an output.
    """
    return graph_pass("MergeEqualCalls", _merge)


def _merge(graph: Graph) -> int:
    changes = 0
    kept: dict[Hashable, Call] = {}
    for node in list(graph.calls):
        first = kept.setdefault(_key(node), node)
        # A copy is an output that must not be another one.
        if first is node or node.operator.name == "copy":
            continue
        if graph.is_output(node) and not graph.is_output(first):
            first.become(node)
        graph.replace(node, first)
        changes += 1
    return changes


def _key(node: Call) -> Hashable:
    attrs = {key: value for key, value in node.attrs.items() if key not in ("name", "tensor")}
    return node.operator.name, tuple(sorted(attrs.items())), tuple(_identity(value) for value in node.inputs)


def _identity(value: Value) -> Hashable:
    if not isinstance(value, Constant):
        return value
    array = value.array
    return str(array.dtype), array.shape, array.tobytes()
