"""Single-operator models for every operator the compiler supports, over their attribute combinations.

One module per operator family; each has `cases()`, whose first case of an operator is the plain one that
`one_case_per_operator` picks for slow runners.
"""

from __future__ import annotations

from functools import cache

from . import (
    activation,
    arithmetic,
    conversion,
    convolution,
    fully_connected,
    joining,
    padding,
    pooling,
    reduction,
    resize,
    shaping,
    slicing,
    transpose_conv,
)
from .case import Case
from .network_builder import Network
from .networks import small_networks

__all__ = ["Case", "Network", "all_cases", "one_case_per_operator", "small_networks"]

FAMILIES = (
    convolution,
    transpose_conv,
    fully_connected,
    pooling,
    reduction,
    arithmetic,
    padding,
    shaping,
    joining,
    slicing,
    activation,
    resize,
    conversion,
)


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case of every family."""
    return tuple(case for family in FAMILIES for case in family.cases())


def one_case_per_operator() -> tuple[Case, ...]:
    """The representative case of each operator."""
    representatives: dict[str, Case] = {}
    for case in all_cases():
        representatives.setdefault(case.operator, case)
    return tuple(representatives.values())
