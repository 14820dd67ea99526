"""Arm DSP schedule of products, maxima and minima of two tensors, either of which may be constant or repeat by rows."""

from __future__ import annotations

from .intrinsics import dsp
from .kernel import Candidate, Problem
from .pairs_dsp import pair_candidate, rows_of


def schedule_product_dsp(problem: Problem) -> Candidate | None:
    """Schedule mul on cores with DSP; None for the rest, and for factors above 1/2."""
    if "dsp" not in problem.features or problem.operator != "mul" or problem.attrs["rounding"] == "away":
        return None
    pairs, epilogue = rows_of(problem), dsp.factor_epilogue(problem.attrs)
    if pairs is None or epilogue is None:
        return None
    zero_points = problem.attrs["a_zero_point"], problem.attrs["b_zero_point"]
    return pair_candidate(problem, pairs, "dsp mul", dsp.ProductVector(pairs.elements, zero_points, epilogue))


def schedule_extreme_dsp(problem: Problem) -> Candidate | None:
    """Schedule maximum and minimum of int8 on cores with DSP; None for the rest; with MVE gcc makes vectors."""
    if problem.operator not in ("maximum", "minimum") or {"dsp", "mve"} & problem.features != {"dsp"}:
        return None
    pairs = rows_of(problem)
    if pairs is None or {str(parameter.ty.dtype) for parameter in problem.compute().params} != {"int8"}:
        return None
    extreme = dsp.ExtremeVector(pairs.elements, problem.operator == "maximum")
    return pair_candidate(problem, pairs, f"dsp {problem.operator}", extreme)
