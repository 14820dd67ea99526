"""MaterializeOutputs: every output in a buffer of its own."""

from __future__ import annotations

from typing import Any

from ..dialect import operator
from .dataflow import Call, Graph, Parameter, Value, graph_pass


def MaterializeOutputs() -> Any:  # noqa: N802
    """Needs nothing; guarantees that outputs are distinct and share no bytes with inputs, constants or each other.

    An output that would is copied, and the copy takes over its name; the tensor that was copied gets a new one.
    """
    return graph_pass("MaterializeOutputs", _materialize)


def _materialize(graph: Graph) -> int:
    changes = 0
    written: set[Value] = set()
    for position, value in enumerate(graph.outputs):
        root = _root(value)
        if isinstance(root, Call) and root not in written:
            written.add(root)
            continue
        copy = _copy(graph, position)
        graph.calls.append(copy)
        graph.outputs[position] = copy
        changes += 1
    return changes


def _root(value: Value) -> Value:
    """The value whose bytes `value` shows."""
    while isinstance(value, Call) and value.operator.is_view:
        value = value.inputs[0]
    return value


def _copy(graph: Graph, position: int) -> Call:
    value, name = graph.outputs[position], graph.fresh("name", f"copy_output_{position}")
    tensor, quantization = graph.fresh("tensor", name), (0.0, 0)
    if isinstance(value, Call):
        quantization = value.quantization
        if graph.outputs.count(value) == 1:
            tensor, value.attrs["tensor"] = value.attrs["tensor"], tensor
    elif isinstance(value, Parameter) and value.quantization is not None:
        quantization = value.quantization
    attrs = {"name": name, "tensor": tensor, "scale": quantization[0], "zero_point": quantization[1]}
    return Call(operator("copy"), [value], attrs)
