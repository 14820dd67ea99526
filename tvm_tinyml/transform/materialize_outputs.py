"""MaterializeOutputs: every output in a buffer of its own."""

from __future__ import annotations

from typing import Any

from .dataflow import Call, Graph, Value, graph_pass
from .storage import Storage


def MaterializeOutputs() -> Any:  # noqa: N802
    """Needs nothing; guarantees that outputs are distinct and share no bytes with inputs, constants or each other.

    An output that would is copied, and the copy takes over its name; the tensor that was copied gets a new one.
    """
    return graph_pass("MaterializeOutputs", _materialize)


def _materialize(graph: Graph) -> int:
    changes = 0
    storage = Storage(graph)
    written: set[Value] = set()
    for position, value in enumerate(graph.outputs):
        root = storage.root(value)
        if isinstance(root, Call) and root not in written:
            written.add(root)
            continue
        copy = graph.copy_of(value, f"copy_output_{position}")
        if isinstance(value, Call) and graph.outputs.count(value) == 1:
            copy.attrs["tensor"], value.attrs["tensor"] = value.attrs["tensor"], copy.attrs["tensor"]
        graph.calls.append(copy)
        graph.outputs[position] = copy
        changes += 1
    return changes
