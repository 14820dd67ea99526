"""FoldConstants: calls of which everything is known at compile time."""

from __future__ import annotations

from typing import Any

from ..dialect import operator
from .dataflow import Call, Constant, Graph, graph_pass


def FoldConstants() -> Any:  # noqa: N802
    """Needs nothing; guarantees that no call has only constant inputs, but for copies that are outputs."""
    return graph_pass("FoldConstants", _fold)


def _fold(graph: Graph) -> int:
    changes = 0
    for node in list(graph.calls):
        value = _value(node)
        if value is None:
            continue
        is_copied_output = node.operator.name == "copy" and graph.is_output(node)
        changes += not is_copied_output or bool(graph.users(node))
        graph.redirect(node, value)
        if not graph.is_output(node):
            graph.replace(node, value)
        elif not is_copied_output:
            # An output stays a tensor that the model writes, under its own name.
            common = {key: node.attrs[key] for key in ("name", "tensor", "scale", "zero_point")}
            graph.replace(node, Call(operator("copy"), [value], common))
    return changes


def _value(node: Call) -> Constant | None:
    arrays = [value.array for value in node.inputs if isinstance(value, Constant)]
    if len(arrays) < len(node.inputs):
        return None
    return Constant.of(node.operator.reference(arrays, node.attrs))
