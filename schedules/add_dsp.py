"""Arm DSP schedule of add and sub: a line of two fractional products, proven on all pairs of operands.

As in `add.py` the result depends on 65,536 pairs only, and for given factors each pair bounds the addend from both
sides; here the products are rounded down to the bits that the instructions keep.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from tvm_tinyml.dialect import operator

from . import script
from .intrinsics import dsp
from .kernel import Candidate, Kernel, Problem

# Factors within this distance of the real ones, in steps of 2^8, are tried.
SEARCH = 12
VALUES = np.arange(-128, 128, dtype=np.int64)
UNBOUNDED = 2**40


# Factors of a and b in Q16, addend and right shift.
Line: TypeAlias = tuple[int, int, int, int]


def schedule_add_dsp(problem: Problem) -> Candidate | None:
    """Schedule add and sub of two activations of one shape when a line fits; None otherwise."""
    if problem.operator not in ("add", "sub") or "dsp" not in problem.features or problem.constants:
        return None
    if len({*problem.shapes.values(), problem.output_shape}) > 1:
        return None
    line = _fit(problem.operator, problem.attrs)
    if line is None:
        return None
    total = dsp.sum_vectors(problem.outputs, line)
    return Candidate(
        rule=f"dsp {problem.operator}",
        instructions=dsp.SUM_CALL_INSTRUCTIONS + dsp.SUM_INSTRUCTIONS * problem.outputs,
        build=lambda: _build(problem.outputs, line, total),
        micro_kernels=lambda: (total.micro_kernel,),
    )


def _build(count: int, line: Line, total: dsp.Intrinsic) -> Kernel:
    sch = dsp.schedule(_function(count, line))
    sch.tensorize(sch.get_sblock("sum"), total.register())
    return Kernel(sch.mod["main"], constants={}, micro_kernels=(total.micro_kernel,))


def _function(count: int, line: Line) -> Any:
    @script.prim_func(s_tir=True)
    def main(x: T.handle, y: T.handle, o: T.handle) -> None:
        a = T.match_buffer(x, (count,), "int8")
        b = T.match_buffer(y, (count,), "int8")
        output = T.match_buffer(o, (count,), "int8")
        # Only blocks below the root can be tensorized.
        with T.sblock("layer"):
            T.reads(a[0:count], b[0:count])
            T.writes(output[0:count])
            with T.sblock("sum"):
                dsp.sum_stage(a, b, output, count, line)

    return main


def _fit(name: str, attrs: Mapping[str, Any]) -> Line | None:
    """A line equal to the operator on all pairs of operands, or None."""
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
                return factor_a, factor_b, addend, shift
    return None
