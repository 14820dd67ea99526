"""AccumulatePixels: means, averages and maxima over a whole image become operators that can take in rows one by one.

A streamed region may end in such an operator (`Operator.accumulates`): of the image it reduces only a few rows are ever
in memory, and one sum per channel. Sums of integers are exact in any order, and the one requantisation of a mean or an
average follows by itself.
"""

from __future__ import annotations

from typing import Any

from ..dialect import operator
from ..dialect.fixed_point import MAX_DIVISOR, division_multiplier
from .dataflow import Call, Graph, graph_pass

_COMMON = ("name", "tensor", "scale", "zero_point")


def AccumulatePixels() -> Any:  # noqa: N802
    """Needs nothing; guarantees that no mean, average or maximum reduces whole images of several pixels.

    They become `sum_pixels` and `scale_sum`, or `max_pixels`. Poolings with padding stay.
    """
    return graph_pass(
        "AccumulatePixels", lambda graph: sum(_split(graph, node) for node in list(graph.calls))
    )


def _split(graph: Graph, node: Call) -> bool:
    if not node.inputs or not _reduces_images(node):
        return False
    common = {key: node.attrs[key] for key in _COMMON}
    keepdims = {"keepdims": int(len(node.spec.shape) == 4)}
    if node.operator.name == "max_pool2d":
        limits = {key: node.attrs[key] for key in ("clamp_min", "clamp_max")}
        graph.replace(node, Call(operator("max_pixels"), [*node.inputs], common | keepdims | limits))
        return True
    total = Call(
        operator("sum_pixels"),
        [*node.inputs],
        {
            "name": graph.fresh("name", f"{node.attrs['name']}_sum"),
            "tensor": graph.fresh("tensor", f"{node.attrs['tensor']}#sum"),
            # A sum is worth what its mean is: the scale holds the number of pixels.
            "scale": node.attrs["scale"] / _pixels(node),
            "zero_point": _pixels(node) * node.attrs["zero_point"],
            **keepdims,
        },
    )
    graph.calls.insert(graph.calls.index(node), total)
    graph.replace(node, Call(operator("scale_sum"), [total], common | _scaling(node)))
    return True


def _pixels(node: Call) -> int:
    _, height, width, _ = node.inputs[0].spec.shape
    return height * width


def _reduces_images(node: Call) -> bool:
    shape, attrs = node.inputs[0].spec.shape, node.attrs
    if len(shape) != 4 or not 1 < shape[1] * shape[2] <= MAX_DIVISOR:
        return False
    if node.operator.name == "mean":
        return sorted({axis % 4 for axis in attrs["axes"]}) == [1, 2]
    if node.operator.name not in ("avg_pool2d", "max_pool2d"):
        return False
    return tuple(attrs["pool"]) == shape[1:3] and not any(attrs["padding"])


def _scaling(node: Call) -> dict[str, Any]:
    """Attributes of the `scale_sum` that makes the result of `node` out of sums."""
    attrs = node.attrs
    if node.operator.name == "mean":
        return {
            "input_offset": _pixels(node) * attrs["input_zero_point"],
            "output_offset": attrs["zero_point"],
            "multiplier": attrs["multiplier"],
            "shift": attrs["shift"],
            "rounding": "double",
            "clamp_min": -128,
            "clamp_max": 127,
        }
    multiplier, shift = division_multiplier(_pixels(node))
    return {
        "input_offset": 0,
        "output_offset": 0,
        "multiplier": multiplier,
        "shift": shift,
        "rounding": "away",
        "clamp_min": attrs["clamp_min"],
        "clamp_max": attrs["clamp_max"],
    }
