"""RVV schedule of add and sub: by one line where it reproduces the layer, else with the roundings of TFLite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .add import fit_sum
from .intrinsics.rvv.elementwise import LinearTile
from .intrinsics.rvv.epilogue import Epilogue
from .intrinsics.rvv.sums import Operand, SumTile
from .kernel import Candidate, Problem
from .pairs_rvv import pair_candidate, rows_of


def schedule_add_rvv(problem: Problem) -> Candidate | None:
    """Schedule add and sub on cores with RVV; None for the rest, for factors above 1 and other broadcasts."""
    if problem.operator not in ("add", "sub") or "rvv" not in problem.features:
        return None
    rows = rows_of(problem)
    if rows is None:
        return None
    tile = _linear(problem, rows.elements) or _tile(problem, rows.elements)
    if tile is None:
        return None
    kind = "linear " if isinstance(tile, LinearTile) else ""
    return pair_candidate(problem, f"RVV {kind}{problem.operator}", tile, rows)


def _linear(problem: Problem, elements: int) -> LinearTile | None:
    line, attrs = fit_sum(problem.operator, problem.attrs), problem.attrs
    if line is None:
        return None
    factors = line.factor_a, line.factor_b, line.addend, line.shift
    return LinearTile(elements, *factors, attrs["clamp_min"], attrs["clamp_max"])


def _tile(problem: Problem, elements: int) -> SumTile | None:
    attrs = problem.attrs
    a, b = _operand(attrs, "a"), _operand(attrs, "b")
    low, high, zero_point, right = (
        attrs["clamp_min"],
        attrs["clamp_max"],
        attrs["zero_point"],
        -attrs["shift"],
    )
    if a is None or b is None or not 1 <= right <= 31 or low >= high:
        return None
    epilogue = Epilogue("double", low < zero_point, zero_point, low, high)
    return SumTile(elements, problem.operator == "sub", a, b, attrs["multiplier"], right, epilogue)


def _operand(attrs: Mapping[str, Any], name: str) -> Operand | None:
    left, right = attrs["left_shift"], -attrs[f"{name}_shift"]
    # The operand, nine bits with its sign, is shifted within 32.
    if not (1 <= left <= 22 and 0 <= right <= 31):
        return None
    return Operand(attrs[f"{name}_zero_point"], left, attrs[f"{name}_multiplier"], right)
