"""Judge every operator of a graph before any work is done.

All operators are converted to layers first; those outside the supported set are collected and reported
together, each with its index, kind, output and reason.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...dialect import operator as operator_named
from ...dialect.relax_api import TensorSpec
from ...errors import ModelError, UnsupportedError
from .graph import ITEM_BYTES, Graph, Operator, Tensor
from .node import (
    ACTIVATION_DTYPE,
    Conversion,
    Layer,
    Node,
    RejectionError,
    Temporary,
    attributes_of,
    spec_of,
)

EDGE_DTYPES = frozenset({"float32", "uint8", "int16"})


def plan_layers(graph: Graph, conversions: Mapping[str, Conversion]) -> list[tuple[Operator, list[Layer]]]:
    """The layers of every operator, in order.

    Raises:
        UnsupportedError: one or more operators, or the graph as a whole, are outside the supported set.
        ModelError: all of them are inside, but one contradicts itself.
    """
    planned: list[tuple[Operator, list[Layer]]] = []
    refused: list[str] = []
    damage: list[ModelError] = []
    if graph.subgraphs > 1:
        refused.append(f"the model has {graph.subgraphs} subgraphs, supported is 1")
    refused.extend(_graph_obstacles(graph))
    edges = _edge_tensors(graph, conversions)
    for operator in graph.operators:
        try:
            planned.append((operator, _convert(operator, graph.source, conversions, edges)))
        except RejectionError as rejection:
            refused.append(f"{operator}: {rejection}")
        except ModelError as error:
            damage.append(error)
    if refused:
        count = "1 thing is" if len(refused) == 1 else f"{len(refused)} things are"
        raise UnsupportedError(
            f"{graph.source}: {count} outside the supported set (int8 models of batch 1; "
            "see `tvm-tinyml ops`):\n" + "\n".join(f"  {line}" for line in refused)
        )
    if damage:
        raise damage[0]
    return planned


def _convert(
    operator: Operator, source: str, conversions: Mapping[str, Conversion], edges: frozenset[int]
) -> list[Layer]:
    row = conversions.get(operator.kind)
    if row is None:
        raise RejectionError("the operator is not supported")
    node = Node(operator, source)
    fewest, most = row.inputs
    if not fewest <= len(operator.inputs) <= most:
        node.malformed(f"it has {len(operator.inputs)} inputs, expected {fewest} to {most}")
    if not operator.outputs or (row.outputs is not None and len(operator.outputs) != row.outputs):
        node.malformed(f"it has {len(operator.outputs)} outputs, expected {row.outputs or 'at least 1'}")
    for tensor in (*operator.inputs, *operator.outputs):
        if tensor is not None:
            _check_tensor(tensor, edges)
    layers = row.convert(node)
    _check_types(node, layers)
    return layers


def _check_types(node: Node, layers: list[Layer]) -> None:
    """Every layer fits its inputs and gives the shape and element type that the file states."""
    made: dict[Temporary, TensorSpec] = {}
    for layer in layers:
        specs = [made[value] if isinstance(value, Temporary) else spec_of(value) for value in layer.inputs]
        try:
            spec = operator_named(layer.operator).infer(specs, attributes_of(layer))
        except ValueError as error:
            raise RejectionError(str(error)) from error
        if isinstance(layer.output, Temporary):
            made[layer.output] = spec
        elif spec != spec_of(layer.output):
            node.malformed(
                f"it computes {spec.dtype}{list(spec.shape)}, the file states the output {layer.output}"
            )


def _check_tensor(tensor: Tensor, edges: frozenset[int]) -> None:
    if tensor.obstacle:
        raise RejectionError(f"{tensor} is {tensor.obstacle}")
    if tensor.dtype not in ITEM_BYTES:
        raise RejectionError(f"{tensor} is {tensor.dtype}, which is not supported")
    if not tensor.is_static and not tensor.is_empty_list:
        raise RejectionError(f"{tensor} has a dynamic or empty shape")
    if tensor.is_constant:
        return
    if tensor.dtype in EDGE_DTYPES and tensor.index not in edges:
        raise RejectionError(
            f"{tensor} is {tensor.dtype} inside the model, supported is {ACTIVATION_DTYPE} "
            "(other types only between a graph input and QUANTIZE, or DEQUANTIZE and a graph output)"
        )


def _graph_obstacles(graph: Graph) -> list[str]:
    """Graph inputs and outputs that no operator touches are judged here."""
    touched = {t.index for operator in graph.operators for t in (*operator.inputs, *operator.outputs) if t}
    edges = frozenset(t.index for t in graph.tensors)
    reasons = [] if graph.outputs else ["the model has no outputs"]
    for tensor in (*graph.inputs, *graph.outputs):
        if tensor.index in touched:
            continue
        try:
            _check_tensor(tensor, edges)
        except RejectionError as rejection:
            reasons.append(str(rejection))
    return reasons


def _edge_tensors(graph: Graph, conversions: Mapping[str, Conversion]) -> frozenset[int]:
    """Tensors reached from a graph input, or reaching a graph output, by operators that only move data."""

    def moves(operator: Operator) -> bool:
        row = conversions.get(operator.kind)
        return row is not None and row.moves_data

    front = {tensor.index for tensor in graph.inputs}
    for operator in graph.operators:
        if moves(operator) and any(t is not None and t.index in front for t in operator.inputs):
            front.update(tensor.index for tensor in operator.outputs)
    back = {tensor.index for tensor in graph.outputs}
    for operator in reversed(graph.operators):
        if moves(operator) and any(tensor.index in back for tensor in operator.outputs):
            back.update(t.index for t in operator.inputs if t is not None)
    return frozenset(front | back)
