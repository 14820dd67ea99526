"""FoldInputZeroPoint: products of weights with the input's zero point are constant, so they move into the bias.

`sum((x - z) * w) + b` is `sum(x * w) + (b - z * sum(w))`: one subtraction per loaded input value less in the inner
loop. With padding the sum runs over fewer taps at the border and the identity fails there, so padded convolutions
are left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .dataflow import Call, Constant, Graph, graph_pass

# Axes of the weights that one output sums over.
_SUMMED_AXES = {"conv2d": (1, 2, 3), "depthwise_conv2d": (0, 1, 2), "dense": (1,)}


def FoldInputZeroPoint() -> Any:  # noqa: N802
    """Needs constant weights and bias; guarantees an input zero point of 0 for every sum without padding."""
    return graph_pass("FoldInputZeroPoint", _fold)


def _fold(graph: Graph) -> int:
    changed = [node for node in graph.calls if _applies(node)]
    for node in changed:
        weight, bias = node.inputs[1], node.inputs[2]
        assert isinstance(weight, Constant)
        assert isinstance(bias, Constant)
        sums = weight.array.sum(axis=_SUMMED_AXES[node.operator.name], dtype=np.int64)
        # Accumulators wrap at 32 bits, and so does the bias that stands for a part of their sum.
        folded = (bias.array - node.attrs["input_zero_point"] * sums).astype(np.int32)
        node.inputs[2] = Constant.of(folded)
        node.attrs["input_zero_point"] = 0
    return len(changed)


def _applies(node: Call) -> bool:
    return (
        node.operator.name in _SUMMED_AXES
        and node.attrs["input_zero_point"] != 0
        and not any(node.attrs.get("padding", ()))
        and all(isinstance(value, Constant) for value in node.inputs[1:3])
    )
