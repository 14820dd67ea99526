"""MergeClamps: an activation of its own becomes the clamp of the operator it follows."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import unary
from .dataflow import Call, Graph, graph_pass

# Operators that give every element another place and no other value: a function of one element may come before them.
_MOVEMENTS = ("reshape", "transpose")


def MergeClamps() -> Any:  # noqa: N802
    """Needs nothing; guarantees that no call only clamps what its producer, read by nothing else, could clamp.

    Reshapes and transposes may lie between the two. The scale must stay; a clamp may move the zero point where the
    producer adds that itself. Whose result the clamp read makes the clamped tensor and takes over its name; a producer
    behind that makes a tensor that the source model does not have, under a new name.
    """
    return graph_pass("MergeClamps", _merge)


def _merge(graph: Graph) -> int:
    changes = 0
    for clamp in list(graph.calls):
        chain = _chain(graph, clamp)
        if not chain:
            continue
        *moved, producer = chain
        limits = _merged_limits(producer, clamp)
        if limits is not None:
            producer.attrs["clamp_min"], producer.attrs["clamp_max"] = limits
            for node in (*moved[1:], producer) if moved else ():
                node.become(clamp)
                node.attrs["tensor"] = graph.fresh("tensor", node.attrs["name"])
            chain[0].become(clamp)
            graph.replace(clamp, chain[0])
            changes += 1
    return changes


def _chain(graph: Graph, clamp: Call) -> list[Call]:
    """Movements before `clamp`, the last one first, then their producer; each read by the next alone.

    Empty when there is no such producer.
    """
    chain: list[Call] = []
    reader = clamp
    while reader.inputs:
        source = reader.inputs[0]
        if not isinstance(source, Call) or graph.only_user(source) is not reader:
            return []
        if chain and source.quantization != chain[-1].quantization:
            return []
        chain.append(source)
        if source.operator.name not in _MOVEMENTS:
            return chain
        reader = source
    return []


def _merged_limits(producer: Call, clamp: Call) -> tuple[int, int] | None:
    """Clamp of `producer` that has the effect of both under the quantisation of `clamp`; None when there is none."""
    entries = unary.table(clamp)
    if entries is None or "clamp_min" not in producer.attrs or producer.spec.dtype != clamp.spec.dtype:
        return None
    offset = 0
    if producer.quantization != clamp.quantization:
        if not producer.operator.adds_zero_point or producer.attrs["scale"] != clamp.attrs["scale"]:
            return None
        offset = clamp.attrs["zero_point"] - producer.attrs["zero_point"]
    values = unary.domain(producer.spec.dtype)
    reached = (values >= producer.attrs["clamp_min"]) & (values <= producer.attrs["clamp_max"])
    inputs, outputs = values[reached].astype(int) + offset, entries[reached]
    if not inputs.size or (outputs != np.clip(inputs, outputs[0], outputs[-1])).any():
        return None
    return int(outputs[0]), int(outputs[-1])
