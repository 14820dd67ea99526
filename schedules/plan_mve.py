"""Ways to compute a layer on Arm MVE, compared before anything is built.

Writing and binding TensorIR takes far longer than estimating, so a rule collects plans and builds the cheapest. What it
builds depends on shapes alone and is remembered: networks repeat their blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .intrinsics.mve.assembly import PRELUDE
from .kernel import Array, Kernel, MicroKernel


@dataclass(frozen=True)
class Plan:
    """A way to compute a layer. function, constants, micro_kernels: make what a `Kernel` has of these names."""

    rule: str
    instructions: float
    function: Callable[[], Any]
    constants: Callable[[], Mapping[str, Array]]
    micro_kernels: Callable[[], tuple[MicroKernel, ...]]


def cheapest(plans: Iterable[Plan | None]) -> Kernel | None:
    """The kernel of the plan with the fewest instructions; None without a plan."""
    found = [plan for plan in plans if plan is not None]
    if not found:
        return None
    plan = min(found, key=lambda plan: plan.instructions)
    return Kernel(
        rule=plan.rule,
        function=plan.function(),
        constants=plan.constants(),
        instructions=plan.instructions,
        micro_kernels=(PRELUDE, *plan.micro_kernels()),
    )
