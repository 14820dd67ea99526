"""Scalar schedule of dense: up to four outputs in registers, the input vector read once for all of them."""

from __future__ import annotations

from typing import Any

from .rule import accumulators, extent_of, inline_injective, largest_divisor, operator_name


def schedule_dense(sch: Any, features: frozenset[str]) -> Any | None:
    """Schedule dense; None for every other operator."""
    if operator_name(sch) != "dense":
        return None
    inline_injective(sch)
    accumulate, requantize = sch.get_sblock("accumulate"), sch.get_sblock("requantize")
    unit = sch.get_loops(requantize)[-1]
    tile = largest_divisor(extent_of(sch, unit), accumulators(features))
    outer, inner = sch.split(unit, [None, tile])
    sch.compute_at(accumulate, outer, preserve_unit_loops=True)
    *_, tile_unit, depth = sch.get_loops(accumulate)
    sch.reorder(depth, tile_unit)
    initial = sch.decompose_reduction(accumulate, depth)
    for loop in (tile_unit, inner, sch.get_loops(initial)[-1]):
        sch.unroll(loop)
    return sch
