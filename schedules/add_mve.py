"""Addition and subtraction on Arm MVE: the line proven in `add.py`, eight elements at a time, row by row."""

from __future__ import annotations

import math
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .add import LinearSum, fit_sum
from .broadcast import Pairs, pairs_of
from .intrinsics.mve.add import INSTRUCTIONS_PER_VECTOR, SHIFTS, add_kernel, rounding_of
from .intrinsics.mve.assembly import PRELUDE
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .tensorize_mve import tensorizable

# Of a call and of what is left after whole vectors.
_FRAME, _SINGLE = 40.0, 14.0


def schedule_add_mve(problem: Problem) -> Candidate | None:
    """Schedule add and sub of operands whose innermost axes are the same when a line fits; None otherwise."""
    if problem.operator not in ("add", "sub") or "mve" not in problem.features:
        return None
    pairs = pairs_of(problem)
    if not (pairs.axes[-1].in_a and pairs.axes[-1].in_b):
        return None
    line = fit_sum(problem.operator, problem.attrs)
    if line is None or line.shift not in SHIFTS or _lowest(line) < -(2**31):
        return None
    count, limits = pairs.elements, (problem.attrs["clamp_min"], problem.attrs["clamp_max"])
    micro_kernel = add_kernel(line.shift, *limits)
    vectors, rest = divmod(count, 8)
    return Candidate(
        rule=f"mve linear {problem.operator}",
        instructions=problem.outputs // count * (_FRAME + vectors * INSTRUCTIONS_PER_VECTOR + rest * _SINGLE),
        build=lambda: _build(problem, pairs, line, limits, micro_kernel),
        micro_kernels=lambda: (PRELUDE, micro_kernel),
    )


def _build(
    problem: Problem, pairs: Pairs, line: LinearSum, limits: tuple[int, int], micro_kernel: MicroKernel
) -> Kernel:
    count = pairs.elements
    name = f"{micro_kernel.name}_{line.factor_a}_{line.factor_b}_{line.addend}_of{count}"
    TensorIntrin.register(
        name,
        _tile(line, limits, count, micro_kernel.name, computes=True),
        _tile(line, limits, count, micro_kernel.name, computes=False),
        override=True,
    )
    sizes = {operand: math.prod(pairs.shape(operand)) for operand in "ab"}
    outputs = problem.outputs
    rows = outputs // count

    @script.prim_func(s_tir=True)
    def main(a_handle: T.handle, b_handle: T.handle, output_handle: T.handle) -> None:
        a = T.match_buffer(a_handle, (sizes["a"],), "int8")
        b = T.match_buffer(b_handle, (sizes["b"],), "int8")
        output = T.match_buffer(output_handle, (outputs,), "int8")
        # Only blocks below the root can be tensorized.
        for r in range(rows):
            with T.sblock("sum"):
                vr = T.axis.spatial(rows, r)
                add_stage(
                    a, b, output, line, limits, count, (pairs.row("a", vr), pairs.row("b", vr), vr * count)
                )

    sch = tensorizable(main)
    sch.tensorize(sch.get_sblock("sum"), name)
    constants = {role: value.reshape(-1) for role, value in problem.constants.items()}
    return Kernel(sch.mod["main"], constants, (PRELUDE, micro_kernel))


def _lowest(line: LinearSum) -> int:
    """Bound of the sums in the micro-kernel, whose addend is lower."""
    return line.addend - rounding_of(line.shift) - 128 * (abs(line.factor_a) + abs(line.factor_b))


@script.macro
def add_stage(a: Any, b: Any, output: Any, line: Any, limits: Any, count: Any, offsets: Any) -> None:
    """output[i] = clamp((a[i] * factor_a + b[i] * factor_b + addend) >> shift), from their offsets on."""
    T.reads(a[offsets[0] : offsets[0] + count], b[offsets[1] : offsets[1] + count])
    T.writes(output[offsets[2] : offsets[2] + count])
    for i in range(count):
        with T.sblock("add"):
            vi = T.axis.spatial(count, i)
            output[offsets[2] + vi] = T.Cast(
                "int8",
                T.max(
                    T.min(
                        T.shift_right(
                            T.Cast("int32", a[offsets[0] + vi]) * line.factor_a
                            + T.Cast("int32", b[offsets[1] + vi]) * line.factor_b
                            + line.addend,
                            line.shift,
                        ),
                        limits[1],
                    ),
                    limits[0],
                ),
            )


def _tile(line: LinearSum, limits: tuple[int, int], count: int, micro_kernel: str, *, computes: bool) -> Any:
    addend = line.addend - rounding_of(line.shift)

    @script.prim_func(s_tir=True)
    def add(a_handle: T.handle, b_handle: T.handle, output_handle: T.handle) -> None:
        a = T.match_buffer(a_handle, (count,), "int8", offset_factor=1)
        b = T.match_buffer(b_handle, (count,), "int8", offset_factor=1)
        output = T.match_buffer(output_handle, (count,), "int8", offset_factor=1)
        with T.sblock("root"):
            if computes:
                add_stage(a, b, output, line, limits, count, (0, 0, 0))
            else:
                T.reads(a[0:count], b[0:count])
                T.writes(output[0:count])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        micro_kernel,
                        a.access_ptr("r"),
                        b.access_ptr("r"),
                        output.access_ptr("w"),
                        count,
                        line.factor_a,
                        line.factor_b,
                        addend,
                    )
                )

    return add
