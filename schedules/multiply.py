"""Scalar schedule of mul, broadcasts included: the product of two numbers in halves, proven on all pairs of operands.

With p the product of both operands less their zero points, which takes 17 bits, one line

    q = clamp((p * upper + (p * lower >> 14) + addend - (below if p < 0)) >> shift)

has a factor of 28 bits without a product of more than 32. Ties of TFLite's second rounding move away from zero, which
is what `below` is for; a result that is rounded once, or has a ReLU, does without. The result depends on 65,536 pairs
only; as in `add` they bound the addend from both sides, and factors next to the real one are tried until the bounds
leave room for an integer.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from tvm import tirx

from tvm_tinyml.dialect import operator

from .add import ALL_VALUES, addend_between
from .broadcast import Pairs, pairs_of
from .elementwise import UNROLL, clamped_expr
from .kernel import Candidate, Kernel, Problem

LOWER_BITS = 14
# Factors within this distance of the real one are tried.
SEARCH = 64
INSTRUCTIONS_PER_OUTPUT = 18.0


@dataclass(frozen=True)
class SplitProduct:
    """Constants of the line: factor = upper * 2**14 + lower."""

    factor: int
    addend: int
    shift: int
    below: int = 0

    @property
    def upper(self) -> int:
        """Bits of the factor from the fourteenth on."""
        return self.factor >> LOWER_BITS

    @property
    def lower(self) -> int:
        """The other bits."""
        return self.factor & ((1 << LOWER_BITS) - 1)


def schedule_multiply(problem: Problem) -> Candidate | None:
    """Schedule mul when a line fits; None otherwise, and on cores with RVV, where compilers have vectors."""
    if problem.operator != "mul" or "rvv" in problem.features:
        return None
    attrs = problem.attrs
    line = fit_product(*(attrs[name] for name in FACTORS))
    if line is None:
        return None
    pairs = pairs_of(problem)
    return Candidate(
        rule="scalar mul",
        instructions=INSTRUCTIONS_PER_OUTPUT * problem.outputs,
        build=lambda: _build(problem, pairs, line),
    )


def _build(problem: Problem, pairs: Pairs, line: SplitProduct) -> Kernel:
    attrs = problem.attrs

    def element(x: Any, y: Any) -> Any:
        product = (x.astype("int32") - attrs["a_zero_point"]) * (y.astype("int32") - attrs["b_zero_point"])
        fine = tirx.shift_right(product * line.lower, tirx.const(LOWER_BITS, "int32"))
        total = product * line.upper + line.addend + fine
        if line.below:
            total = total + tirx.shift_right(product, tirx.const(31, "int32")) * line.below
        shifted = tirx.shift_right(total, tirx.const(line.shift, "int32"))
        return clamped_expr(shifted, attrs["clamp_min"], attrs["clamp_max"])

    # Beside the addresses of a row that repeats, Armv6-M has no registers for four elements.
    unroll = 2 if "thumb1" in problem.features and not pairs.is_flat else UNROLL
    return Kernel(pairs.function(element, "mul", unroll), pairs.constants(problem))


FACTORS = (
    "a_zero_point",
    "b_zero_point",
    "zero_point",
    "multiplier",
    "shift",
    "rounding",
    "clamp_min",
    "clamp_max",
)
"""Attributes of the dialect's "mul" on which its results depend."""


@lru_cache(maxsize=256)
def fit_product(*values: int | str) -> SplitProduct | None:
    """A line equal to mul on all pairs of int8 operands, or None; values: of the attributes `FACTORS`."""
    attrs: Mapping[str, Any] = dict(zip(FACTORS, values, strict=True))
    outputs = operator("mul").reference(
        [ALL_VALUES.astype(np.int8)[:, None], ALL_VALUES.astype(np.int8)], attrs
    )
    products = (ALL_VALUES[:, None] - attrs["a_zero_point"]) * (ALL_VALUES - attrs["b_zero_point"])
    products, first = np.unique(products, return_index=True)
    outputs = outputs.reshape(-1)[first].astype(np.int64)
    real = attrs["multiplier"] * 2.0 ** (attrs["shift"] - 31)
    largest = float(np.abs(products).max()) * real + 2 * 256
    if real == 0.0:
        return None
    # The whole sum stays within 31 bits, the upper half of the factor within 14.
    shift = min(30 - int(np.ceil(np.log2(largest))), 27 - LOWER_BITS - int(np.floor(np.log2(real))))
    if shift < 1:
        return None
    nearest = round(real * 2.0 ** (shift + LOWER_BITS))
    factors = [nearest + step for step in sorted(range(-SEARCH, SEARCH + 1), key=abs) if nearest + step > 0]
    for below, factor in itertools.product(_below(attrs, shift), factors):
        line = SplitProduct(factor, 0, shift, below)
        sums = products * line.upper + (products * line.lower >> LOWER_BITS) - below * (products < 0)
        addend = addend_between(sums, outputs, shift, attrs["clamp_min"], attrs["clamp_max"])
        if addend is not None and np.abs(products * line.upper + addend).max() < 2**31:
            return replace(line, addend=addend)
    return None


def _below(attrs: Mapping[str, Any], shift: int) -> Sequence[int]:
    """What may come off sums of negative products: nothing, or a unit of what the second rounding divides."""
    divided = shift + attrs["shift"]
    return [0] if attrs["rounding"] != "double" or attrs["shift"] >= 0 or divided < 0 else [0, 1 << divided]
