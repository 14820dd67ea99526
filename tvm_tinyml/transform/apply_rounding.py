"""ApplyRounding: the target's way of rounding products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dialect.fixed_point import quantize_multiplier
from .dataflow import Call, Constant, Graph, graph_pass

# Inputs of a call that hold its multipliers and shifts.
_MULTIPLIER, _SHIFT = 3, 4


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
        if "effective_scale" in node.attrs:
            _use_nearest_multipliers(node)
    return len(changed)


def _use_nearest_multipliers(node: Call) -> None:
    """Undo the frontend's search for multipliers that match LiteRT's scaling in double precision."""
    pairs = [quantize_multiplier(scale) for scale in node.attrs["effective_scale"]]
    multipliers, shifts = np.array(pairs, np.int32).T
    node.inputs[_MULTIPLIER], node.inputs[_SHIFT] = Constant.of(multipliers), Constant.of(shifts)


_REWRITES: dict[str, Callable[[Graph], int]] = {"litert": _keep, "tflm": _double}
