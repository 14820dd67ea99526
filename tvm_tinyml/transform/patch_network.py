"""The graph as the patch planner sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..dialect.relax_api import Array
from ..patch.network import Network
from ..patch.region import Node
from .dataflow import Constant, Graph, Value


def network_of(graph: Graph, *, keeps_inputs: bool = False) -> Network:
    """Network of a graph whose outputs are calls (see MaterializeOutputs); tensors carry the names of the model.

    keeps_inputs: as in `Network`.
    """
    names: dict[Value, str] = {}
    for index, parameter in enumerate(graph.parameters):
        names[parameter] = parameter.tensor or f"input_{index}"
    names |= {node: node.attrs["tensor"] for node in graph.calls}
    nodes = tuple(
        Node(
            operator=node.operator,
            attrs=node.attrs,
            inputs=tuple(None if isinstance(value, Constant) else names[value] for value in node.inputs),
            specs=tuple(value.spec for value in node.inputs),
            output=node.spec,
        )
        for node in graph.calls
    )
    return Network(
        inputs={names[parameter]: parameter.spec for parameter in graph.parameters},
        nodes=nodes,
        outputs=tuple(names[value] for value in graph.outputs),
        keeps_inputs=keeps_inputs,
    )


def constants_of(graph: Graph) -> Mapping[str, Sequence[Array | None]]:
    """Contents of the constant inputs of every call, None for the others, by the name of the call."""
    return {
        call.attrs["name"]: [value.array if isinstance(value, Constant) else None for value in call.inputs]
        for call in graph.calls
    }
