"""JoinUnary: functions of one element that follow each other are one function."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dialect import operator
from ..dialect.fixed_point import quantize_multiplier
from ..dialect.relax_api import Array
from . import unary
from .dataflow import Call, Constant, Graph, graph_pass

_COMMON = ("name", "tensor", "scale", "zero_point")


def JoinUnary() -> Any:  # noqa: N802
    """Needs nothing; guarantees that no int8 requantisation or lookup follows another one that nothing else reads.

    The pair becomes one requantisation where that gives the same for every value of the input's type, otherwise a
    lookup in the table of both; where the types allow neither, it stays.
    """
    return graph_pass("JoinUnary", _join)


def _join(graph: Graph) -> int:
    changes = 0
    for second in list(graph.calls):
        first = second.inputs[0] if second.inputs else None
        if not isinstance(first, Call) or graph.only_user(first) is not second:
            continue
        entries = _composed(first, second)
        if entries is not None and (_requantize(first, second, entries) or _look_up(first, second, entries)):
            graph.remove_unused(first)
            changes += 1
    return changes


def _composed(first: Call, second: Call) -> Array | None:
    """The table of both, by the values of the first one's input type in ascending order."""
    inner, outer = unary.table(first), unary.table(second)
    if inner is None or outer is None:
        return None
    found: Array = outer[inner.astype(np.int64) - np.iinfo(inner.dtype).min]
    return found


def _requantize(first: Call, second: Call, entries: Array) -> bool:
    """Make `second` the requantisation by both factors if that has exactly these entries."""
    if {first.operator.name, second.operator.name} != {"requantize"}:
        return False
    multiplier, shift = quantize_multiplier(_ratio(first) * _ratio(second))
    changed = second.attrs | {
        "input_zero_point": first.attrs["input_zero_point"],
        "multiplier": multiplier,
        "shift": shift,
        "clamp_min": int(entries.min()),
        "clamp_max": int(entries.max()),
    }
    values = unary.domain(first.inputs[0].spec.dtype)
    for rounding in dict.fromkeys((second.attrs["rounding"], first.attrs["rounding"])):
        changed["rounding"] = rounding
        if np.array_equal(second.operator.reference([values], changed), entries):
            second.inputs, second.attrs = [first.inputs[0]], changed
            return True
    return False


def _ratio(requantize: Call) -> float:
    return float(np.ldexp(requantize.attrs["multiplier"], requantize.attrs["shift"] - 31))


def _look_up(first: Call, second: Call, entries: Array) -> bool:
    if first.inputs[0].spec.dtype != "int8" or entries.dtype != np.int8:
        return False
    second.operator = operator("lookup")
    second.inputs = [first.inputs[0], Constant.of(entries)]
    second.attrs = {key: second.attrs[key] for key in _COMMON} | {"function": "table"}
    return True
