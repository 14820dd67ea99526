"""Functions of one element on Arm MVE: lookup and requantize by a table, quantize by the floating-point unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .elementwise import byte_table, byte_types
from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.elementwise import LOOKUP, LOOKUP_PER_VECTOR, QUANTIZE, QUANTIZE_PER_VECTOR
from .kernel import Candidate, Kernel, Problem
from .tensorize_mve import tensorizable

_CALL = 20.0


def schedule_lookup_mve(problem: Problem) -> Candidate | None:
    """Schedule lookup, and requantize between types of eight bits, by a table of all bytes; None for the rest."""
    types = byte_types(problem) if "mve" in problem.features else None
    if types is None:
        return None
    return Candidate(
        rule=f"mve {problem.operator} by table",
        instructions=_CALL + LOOKUP_PER_VECTOR * problem.outputs,
        build=lambda: _build_lookup(problem, *types),
        micro_kernels=lambda: (PRELUDE, LOOKUP),
    )


def _build_lookup(problem: Problem, source: str, target: str) -> Kernel:
    count = problem.outputs

    @script.prim_func(s_tir=True)
    def main(data_handle: T.handle, table_handle: T.handle, output_handle: T.handle) -> None:
        data = T.match_buffer(data_handle, (count,), source)
        table = T.match_buffer(table_handle, (256,), target)
        output = T.match_buffer(output_handle, (count,), target)
        # Tensorize does not compare indices that depend on data, so the call stands here.
        with T.sblock("lookup"):
            T.reads(data[0:count], table[0:256])
            T.writes(output[0:count])
            T.evaluate(
                T.call_extern(
                    "int32",
                    LOOKUP.name,
                    data.access_ptr("r"),
                    table.access_ptr("r"),
                    output.access_ptr("w"),
                    count,
                )
            )

    return Kernel(main, {"table": byte_table(problem, source)}, (PRELUDE, LOOKUP))


def schedule_quantize_mve(problem: Problem) -> Candidate | None:
    """Schedule quantize to int8 with the floating-point unit; None for everything else."""
    if problem.operator != "quantize" or not {"mve", "fpu"} <= problem.features:
        return None
    if problem.attrs["dtype"] != "int8":
        return None
    return Candidate(
        rule="mve quantize",
        instructions=_CALL + QUANTIZE_PER_VECTOR * problem.outputs,
        build=lambda: _build_quantize(problem),
        micro_kernels=lambda: (PRELUDE, QUANTIZE),
    )


def _build_quantize(problem: Problem) -> Kernel:
    count, zero_point = problem.outputs, problem.attrs["zero_point"]
    scale = int(np.float32(problem.attrs["scale"]).view(np.int32))
    name = f"{QUANTIZE.name}_{scale}_zero_{zero_point}_of{count}"

    def tile(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def quantize(data_handle: T.handle, output_handle: T.handle) -> None:
            data = T.match_buffer(data_handle, (count,), "float32", offset_factor=1)
            output = T.match_buffer(output_handle, (count,), "int8", offset_factor=1)
            with T.sblock("root"):
                if computes:
                    quantize_stage(data, output, scale, zero_point, count)
                else:
                    T.reads(data[0:count])
                    T.writes(output[0:count])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            QUANTIZE.name,
                            data.access_ptr("r"),
                            output.access_ptr("w"),
                            count,
                            zero_point,
                            scale,
                        )
                    )

        return quantize

    TensorIntrin.register(name, tile(True), tile(False), override=True)

    @script.prim_func(s_tir=True)
    def main(data_handle: T.handle, output_handle: T.handle) -> None:
        data = T.match_buffer(data_handle, (count,), "float32")
        output = T.match_buffer(output_handle, (count,), "int8")
        # Only blocks below the root can be tensorized.
        for _ in range(1):
            with T.sblock("all"):
                quantize_stage(data, output, scale, zero_point, count)

    sch = tensorizable(main)
    sch.tensorize(sch.get_sblock("all"), name)
    return Kernel(sch.mod["main"], {}, (PRELUDE, QUANTIZE))


@script.macro
def quantize_stage(data: Any, output: Any, scale: Any, zero_point: Any, count: Any) -> None:
    """output[i] = clamp(round(data[i] / scale) + zero_point)."""
    T.reads(data[0:count])
    T.writes(output[0:count])
    for i in range(count):
        with T.sblock("quantize"):
            vi = T.axis.spatial(count, i)
            output[vi] = T.Cast(
                "int8",
                T.max(
                    T.min(T.call_pure_extern("int32", "tinyml_quantize", data[vi], scale) + zero_point, 127),
                    -128,
                ),
            )
