"""Arm DSP schedule of add and sub: a line of two fractional products, proven on all pairs of operands.

As in `add.py` the result depends on 65,536 pairs only, and for given factors each pair bounds the addend from both
sides; here the products are rounded down to the bits that the instructions keep.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np

from tvm_tinyml.dialect import operator

from .add import arithmetic
from .intrinsics import dsp
from .kernel import Candidate, Problem
from .pairs_dsp import pair_candidate, rows_of
from .requantize import REMEMBERED

# Factors within this distance of the real ones, in steps of 2^8, are tried.
SEARCH = 12
VALUES = np.arange(-128, 128, dtype=np.int64)
UNBOUNDED = 2**40


def schedule_add_dsp(problem: Problem) -> Candidate | None:
    """Schedule add and sub when a line fits; None otherwise, and where an operand repeats other than by rows."""
    if problem.operator not in ("add", "sub") or "dsp" not in problem.features:
        return None
    pairs = rows_of(problem)
    if pairs is None:
        return None
    total = _fit(problem.operator, arithmetic(problem.attrs), pairs.elements)
    return None if total is None else pair_candidate(problem, pairs, f"dsp {problem.operator}", total)


@lru_cache(maxsize=REMEMBERED)
def _fit(name: str, values: tuple[tuple[str, Any], ...], elements: int) -> dsp.SumVector | None:
    """A line equal to the operator on all pairs of operands, or None; values: attributes, elements: of a vector."""
    attrs = dict(values)
    if (attrs["clamp_min"], attrs["clamp_max"]) != (-128, 127):
        return None
    exact = operator(name).reference([VALUES.astype(np.int8)[:, None], VALUES.astype(np.int8)], attrs)
    outputs = exact.astype(np.int64)
    scale = attrs["multiplier"] * 2.0 ** (attrs["shift"] - 31 + attrs["left_shift"])
    real_a, real_b = (
        attrs[f"{side}_multiplier"] * 2.0 ** (attrs[f"{side}_shift"] - 31) * scale for side in "ab"
    )
    real_b = -real_b if name == "sub" else real_b
    # As many fractional bits as leave the factors, and the sums with the saturated part, within 32 bits.
    shift = min(15 - int(np.ceil(np.log2(max(abs(real_a), abs(real_b))))), 16)
    if shift < 1:
        return None
    unit = 2.0 ** (16 + shift)
    steps = sorted(
        itertools.product(range(-SEARCH, SEARCH + 1), repeat=2), key=lambda pair: max(map(abs, pair))
    )
    for step_a, step_b in steps:
        factor_a, factor_b = round(real_a * unit) + 256 * step_a, round(real_b * unit) + 256 * step_b
        sums = (VALUES[:, None] * factor_a >> 16) + (VALUES * factor_b >> 16)
        lowest = int(((outputs << shift) - sums)[outputs > -128].max(initial=-UNBOUNDED))
        below = int((((outputs + 1) << shift) - sums)[outputs < 127].min(initial=UNBOUNDED))
        if -UNBOUNDED < lowest < below < UNBOUNDED:
            addend = (lowest + below) // 2
            if np.abs(sums).max() + abs(addend) < 2**31 and max(abs(factor_a), abs(factor_b)) < 2**31:
                return dsp.SumVector(elements, factor_a, factor_b, addend, shift)
    return None
