"""ApplyRounding: the target's way of rounding products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .dataflow import Graph, graph_pass


def ApplyRounding(rounding: str) -> Any:  # noqa: N802
    """Needs nothing; guarantees that every call rounds as `rounding` says.

    "litert" keeps what the frontend found in LiteRT's reference kernels, which round differently from operator to
    operator; "tflm" makes every call with an attribute `rounding` round twice, as gemmlowp and TensorFlow Lite
    Micro do. It is the one pass that may change what a model computes. ValueError for another name.
    """
    if rounding not in _REWRITES:
        raise ValueError(f"no rounding {rounding!r}, known are {', '.join(_REWRITES)}")
    return graph_pass("ApplyRounding", _REWRITES[rounding])


def _keep(_graph: Graph) -> int:
    return 0


def _double(graph: Graph) -> int:
    changed = [node for node in graph.calls if node.attrs.get("rounding", "double") != "double"]
    for node in changed:
        node.attrs["rounding"] = "double"
    return len(changed)


_REWRITES: dict[str, Callable[[Graph], int]] = {"litert": _keep, "tflm": _double}
