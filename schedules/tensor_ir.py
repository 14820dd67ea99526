"""Questions and transformations that schedules of a dialect operator's own TensorIR share."""

from __future__ import annotations

from typing import Any

# Loops with this annotation are shortened to the iterations inside the image (codegen's ClampWindows).
CLAMP_WINDOW = "tinyml.clamp_window"


def blocks(sch: Any) -> list[Any]:
    """Computing blocks of the function, producers before consumers."""
    return list(sch.get_child_blocks(sch.get_sblock("root")))


def is_reduction(sch: Any, block: Any) -> bool:
    """Whether a block carries a reduction axis."""
    return any(int(axis.iter_type) == 2 for axis in sch.get(block).iter_vars)


def inline_injective(sch: Any) -> None:
    """Inline every stage without a reduction into its consumers, so that it takes no memory."""
    for block in blocks(sch)[:-1]:
        if not is_reduction(sch, block):
            sch.compute_inline(block)


def largest_divisor(extent: int, limit: int) -> int:
    """Largest divisor of `extent` that is at most `limit`."""
    return max(factor for factor in range(1, limit + 1) if extent % factor == 0)


def extent_of(sch: Any, loop: Any) -> int:
    """Constant extent of a loop."""
    return int(sch.get(loop).extent)


def accumulators(features: frozenset[str]) -> int:
    """How many accumulators of a scalar tile stay in registers beside operands and addresses."""
    return 2 if "thumb1" in features else 4
