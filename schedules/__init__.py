"""TensorIR schedules: one rule per file, asked in order; a rule that does not apply returns None.

A rule sees a TensorIR function made from a dialect operator and the features of the core (`dsp`, `mve`,
`rvv`, ...). The most specific instruction set comes first; the plain schedule at the end always applies. Loops, tiles,
packing and fusion are decided here; what happens inside one register tile belongs to `intrinsics/`.
"""

from __future__ import annotations

from typing import Any

from tvm import s_tir

from . import convolution, dense, depthwise, plain
from .rule import OPERATOR_ATTR, Rule

RULES: tuple[Rule, ...] = (
    convolution.schedule_convolution,
    depthwise.schedule_depthwise,
    dense.schedule_dense,
    plain.schedule_plain,
)


def schedule(func: Any, operator: str, features: frozenset[str]) -> tuple[Any, str]:
    """Schedule the TensorIR function of one dialect operator for a core.

    Returns the scheduled function and the name of the rule that applied.
    """
    func = func.with_attr(OPERATOR_ATTR, operator)
    for rule in RULES:
        scheduled = rule(s_tir.Schedule(func), features)
        if scheduled is not None:
            return scheduled.mod["main"], rule.__name__.removeprefix("schedule_")
    raise AssertionError("the plain schedule refused a function")
