"""Scalar schedule of add and sub, broadcasts included: two multiplications, one shift, proven on all pairs of operands.

TFLite scales each operand to a common grid, adds and scales the sum, with three roundings. The result depends on 65,536
pairs only, so one line

    q = clamp((a * factor_a + b * factor_b + addend) >> shift)

can be checked on every one of them. For given factors each pair bounds the addend from both sides; factors next to
the real ones are tried until the bounds leave room for an integer.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from tvm import tirx

from tvm_tinyml.dialect import operator

from .broadcast import Pairs, pairs_of
from .elementwise import clamped_expr
from .kernel import Array, Candidate, Kernel, Problem
from .requantize import REMEMBERED

# Factors within this distance of the real ones are tried.
SEARCH = 16
INSTRUCTIONS_PER_OUTPUT = 20.0
ALL_VALUES = np.arange(-128, 128, dtype=np.int64)


@dataclass(frozen=True)
class LinearSum:
    """Constants of the line."""

    factor_a: int
    factor_b: int
    addend: int
    shift: int


def line_of(problem: Problem) -> LinearSum | None:
    """The line of an add or sub; None for other operators and without one."""
    return fit_sum(problem.operator, problem.attrs) if problem.operator in ("add", "sub") else None


def schedule_add(problem: Problem) -> Candidate | None:
    """Schedule add and sub when a line fits; None otherwise."""
    line = line_of(problem)
    if line is None:
        return None
    pairs = pairs_of(problem)
    return Candidate(
        rule=f"linear {problem.operator}",
        instructions=INSTRUCTIONS_PER_OUTPUT * problem.outputs,
        build=lambda: _build(problem, pairs, line),
    )


def _build(problem: Problem, pairs: Pairs, line: LinearSum) -> Kernel:
    low, high = problem.attrs["clamp_min"], problem.attrs["clamp_max"]

    def element(x: Any, y: Any) -> Any:
        total = x.astype("int32") * line.factor_a + y.astype("int32") * line.factor_b + line.addend
        return clamped_expr(tirx.shift_right(total, tirx.const(line.shift, "int32")), low, high)

    return Kernel(pairs.function(element, "add"), pairs.constants(problem))


def fit_sum(name: str, attrs: Mapping[str, Any]) -> LinearSum | None:
    """A line equal to the operator on all pairs of int8 operands, or None.

    attrs: attributes of the dialect's "add" or "sub".
    """
    return _fit_sum(name, arithmetic(attrs))


def arithmetic(attrs: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What a layer computes with, for caches: rules ask about a layer again for every shape of its calls."""
    return tuple(
        sorted((key, value) for key, value in attrs.items() if key not in ("name", "tensor", "scale"))
    )


@lru_cache(maxsize=REMEMBERED)
def _fit_sum(name: str, values: tuple[tuple[str, Any], ...]) -> LinearSum | None:
    attrs = dict(values)
    exact = operator(name).reference([ALL_VALUES.astype(np.int8)[:, None], ALL_VALUES.astype(np.int8)], attrs)
    output = attrs["multiplier"] * 2.0 ** (attrs["shift"] - 31 + attrs["left_shift"])
    real_a, real_b = (
        attrs[f"{operand}_multiplier"] * 2.0 ** (attrs[f"{operand}_shift"] - 31) * output for operand in "ab"
    )
    real_b = -real_b if name == "sub" else real_b
    centre = attrs["zero_point"] - attrs["a_zero_point"] * real_a - attrs["b_zero_point"] * real_b
    widest = 128 * (abs(real_a) + abs(real_b)) + abs(centre) + 2
    shift = 30 - int(np.ceil(np.log2(widest)))
    if shift < 1:
        return None
    nearest = round(real_a * 2**shift), round(real_b * 2**shift)
    for step_a, step_b in sorted(itertools.product(range(-SEARCH, SEARCH + 1), repeat=2), key=_distance):
        factors = nearest[0] + step_a, nearest[1] + step_b
        addend = _addend(exact, factors, shift, attrs)
        if addend is not None:
            return LinearSum(*factors, addend, shift)
    return None


def _distance(steps: tuple[int, ...]) -> int:
    return max(abs(step) for step in steps)


def _addend(exact: Array, factors: tuple[int, int], shift: int, attrs: Mapping[str, Any]) -> int | None:
    """An addend for which the line is exact on all pairs."""
    sums = ALL_VALUES[:, None] * factors[0] + ALL_VALUES * factors[1]
    addend = addend_between(sums, exact.astype(np.int64), shift, attrs["clamp_min"], attrs["clamp_max"])
    return addend if addend is not None and np.abs(sums).max() < 2**31 else None


def addend_between(sums: Array, outputs: Array, shift: int, low: int, high: int) -> int | None:
    """An addend with `outputs == clip((sums + addend) >> shift, low, high)`, with sums within int32; None without one.

    The proof is the intersection of the bounds of all sums: what must reach an output, what must not reach the next.
    """
    lowest = ((outputs << shift) - sums)[outputs > low].max(initial=-(2**40))
    below = (((outputs + 1) << shift) - sums)[outputs < high].min(initial=2**40)
    if lowest >= below:
        return None
    addend = int(lowest if below == 2**40 else (lowest + below) // 2 if lowest > -(2**40) else below - 1)
    return addend if np.abs(sums + addend).max() < 2**31 else None
