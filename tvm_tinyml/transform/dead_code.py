"""DeadCode: calls no output depends on."""

from __future__ import annotations

from typing import Any

from .dataflow import Graph, Value, graph_pass


def DeadCode() -> Any:  # noqa: N802
    """Needs nothing; guarantees that every call contributes to an output."""
    return graph_pass("DeadCode", _remove)


def _remove(graph: Graph) -> int:
    needed: set[Value] = set(graph.outputs)
    for node in reversed(graph.calls):
        if node in needed:
            needed.update(node.inputs)
    before = len(graph.calls)
    graph.calls = [node for node in graph.calls if node in needed]
    return before - len(graph.calls)
