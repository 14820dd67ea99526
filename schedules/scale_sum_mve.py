"""Sums of pixels under the quantisation of their mean on Arm MVE: four at a time."""

from __future__ import annotations

from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.scale_sum import SCALE_SUM, scale_instructions
from .kernel import Candidate, Kernel, Problem
from .tensorize_mve import tensorizable


def schedule_scale_sum_mve(problem: Problem) -> Candidate | None:
    """Schedule scale_sum that rounds twice and is not clamped beyond int8; None for everything else."""
    if problem.operator != "scale_sum" or "mve" not in problem.features:
        return None
    attrs = problem.attrs
    whole = (attrs["clamp_min"], attrs["clamp_max"]) == (-128, 127)
    if not whole or attrs["rounding"] != "double" or attrs["shift"] > 0:
        return None
    return Candidate(
        rule="mve scaled sums",
        instructions=scale_instructions(problem.outputs),
        build=lambda: _build(problem),
        micro_kernels=lambda: (PRELUDE, SCALE_SUM),
    )


def _build(problem: Problem) -> Kernel:
    count, attrs = problem.outputs, problem.attrs
    constants = -attrs["input_offset"], attrs["multiplier"], attrs["shift"], attrs["output_offset"]
    addend, multiplier, shift, zero_point = constants
    name = f"{SCALE_SUM.name}_of{count}_with_{'_'.join(map(str, constants))}"

    def tile(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def scaled(sums_handle: T.handle, output_handle: T.handle) -> None:
            sums = T.match_buffer(sums_handle, (count,), "int32", offset_factor=1)
            output = T.match_buffer(output_handle, (count,), "int8", offset_factor=1)
            with T.sblock("root"):
                if computes:
                    scale_stage(sums, output, constants, count)
                else:
                    T.reads(sums[0:count])
                    T.writes(output[0:count])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            SCALE_SUM.name,
                            sums.access_ptr("r"),
                            output.access_ptr("w"),
                            count,
                            addend,
                            multiplier,
                            shift,
                            1 if shift < 0 else 0,
                            zero_point,
                        )
                    )

        return scaled

    TensorIntrin.register(name, tile(True), tile(False), override=True)

    @script.prim_func(s_tir=True)
    def main(data_handle: T.handle, output_handle: T.handle) -> None:
        data = T.match_buffer(data_handle, (count,), "int32")
        output = T.match_buffer(output_handle, (count,), "int8")
        # Only blocks below the root can be tensorized.
        for _ in range(1):
            with T.sblock("all"):
                scale_stage(data, output, constants, count)

    sch = tensorizable(main)
    sch.tensorize(sch.get_sblock("all"), name)
    return Kernel(sch.mod["main"], {}, (PRELUDE, SCALE_SUM))


@script.macro
def scale_stage(sums: Any, output: Any, constants: Any, count: Any) -> None:
    """output[i] = clamp(requantize(sums[i] + addend) + zero point).

    constants: addend, multiplier, shift, zero point.
    """
    T.reads(sums[0:count])
    T.writes(output[0:count])
    for i in range(count):
        with T.sblock("scale"):
            vi = T.axis.spatial(count, i)
            output[vi] = T.Cast(
                "int8",
                T.max(
                    T.min(
                        T.call_pure_extern(
                            "int32",
                            "tinyml_requantize_double",
                            sums[vi] + constants[0],
                            constants[1],
                            constants[2],
                        )
                        + constants[3],
                        127,
                    ),
                    -128,
                ),
            )
