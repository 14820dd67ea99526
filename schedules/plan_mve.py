"""Ways to compute a layer on Arm MVE: candidates whose loops depend on shapes alone.

What the makers of functions build is remembered: networks repeat their blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .intrinsics.mve.assembly import PRELUDE
from .kernel import Array, Candidate, Kernel, MicroKernel
from .parts import Parts


def plan(
    *,
    rule: str,
    instructions: float,
    scratch: int,
    parts: Parts | None = None,
    waits: float = 0.0,
    function: Callable[[], Any],
    constants: Callable[[], Mapping[str, Array]],
    micro_kernels: Callable[[], tuple[MicroKernel, ...]],
) -> Candidate:
    """A candidate.

    parts: of the instructions, where they are told apart. waits: cycles, as `Candidate` has them.
    function, constants, micro_kernels: make what a `Kernel` has of these names.
    """

    def used() -> tuple[MicroKernel, ...]:
        return (PRELUDE, *micro_kernels())

    def build() -> Kernel:
        return Kernel(function(), constants(), used())

    return Candidate(rule, instructions, build, used, scratch, parts=parts, waits=waits)
