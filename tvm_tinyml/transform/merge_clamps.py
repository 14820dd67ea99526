"""MergeClamps: an activation of its own becomes the clamp of the operator it follows."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import unary
from .dataflow import Call, Graph, graph_pass


def MergeClamps() -> Any:  # noqa: N802
    """Needs nothing; guarantees that no call only clamps what its producer, read by nothing else, could clamp.

    The scale must stay; a clamp may move the zero point where the producer adds that itself. The producer takes over
    the name of the clamped tensor.
    """
    return graph_pass("MergeClamps", _merge)


def _merge(graph: Graph) -> int:
    changes = 0
    for clamp in list(graph.calls):
        producer = clamp.inputs[0] if clamp.inputs else None
        if not isinstance(producer, Call) or graph.only_user(producer) is not clamp:
            continue
        limits = _merged_limits(producer, clamp)
        if limits is not None:
            producer.attrs["clamp_min"], producer.attrs["clamp_max"] = limits
            producer.become(clamp)
            graph.replace(clamp, producer)
            changes += 1
    return changes


def _merged_limits(producer: Call, clamp: Call) -> tuple[int, int] | None:
    """Clamp of `producer` that has the effect of both under the quantisation of `clamp`; None when there is none."""
    entries = unary.table(clamp)
    if entries is None or "clamp_min" not in producer.attrs or producer.spec != clamp.spec:
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
