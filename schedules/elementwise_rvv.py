"""RVV schedule of products, minima and maxima of two tensors, either of which may be constant or repeat."""

from __future__ import annotations

from .intrinsics.rvv.elementwise import ExtremeTile, ProductTile
from .intrinsics.rvv.epilogue import Epilogue
from .kernel import Candidate, Problem
from .pairs_rvv import pair_candidate, rows_of

# Bytes of equal operands below which clang's own vectors of minima and maxima are better.
MIN_SPLAT = 64


def schedule_elementwise_rvv(problem: Problem) -> Candidate | None:
    """Schedule mul, minimum and maximum on int8 on cores with RVV; None for the rest and for other broadcasts."""
    if "rvv" not in problem.features or problem.operator not in ("mul", "minimum", "maximum"):
        return None
    rows = rows_of(problem)
    if rows is None or (problem.operator != "mul" and rows.splat is not None and rows.elements < MIN_SPLAT):
        return None
    make = _product if problem.operator == "mul" else _extreme
    tile = make(problem, rows.elements)
    return pair_candidate(problem, f"RVV {problem.operator}", tile, rows) if tile else None


def _extreme(problem: Problem, elements: int) -> ExtremeTile | None:
    types = {str(parameter.ty.dtype) for parameter in problem.compute().params}
    return ExtremeTile(elements, problem.operator == "maximum") if types == {"int8"} else None


def _product(problem: Problem, elements: int) -> ProductTile | None:
    attrs = problem.attrs
    rounding, low, high, zero_point = (
        attrs[name] for name in ("rounding", "clamp_min", "clamp_max", "zero_point")
    )
    right = -attrs["shift"] - (0 if rounding == "double" else 1)
    if not 1 <= right <= 31 or low >= high:
        return None
    correct_ties = rounding != "single" and low < zero_point
    if correct_ties and rounding == "away" and attrs["multiplier"] == 0:
        return None
    epilogue = Epilogue(rounding, correct_ties, zero_point, low, high)
    zero_points = attrs["a_zero_point"], attrs["b_zero_point"]
    return ProductTile(elements, *zero_points, attrs["multiplier"], right, epilogue)
