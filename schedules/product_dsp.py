"""Arm DSP schedule of products of two tensors of one shape, either of which may be constant."""

from __future__ import annotations

from typing import Any

from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics import dsp
from .kernel import Candidate, Kernel, Problem
from .tensor_ir import drop_unit_loops


def schedule_product_dsp(problem: Problem) -> Candidate | None:
    """Schedule mul of one shape on cores with DSP; None for the rest, broadcasts, and factors above 1/2."""
    if "dsp" not in problem.features or problem.operator != "mul" or problem.attrs["rounding"] == "away":
        return None
    epilogue = dsp.factor_epilogue(problem.attrs)
    if epilogue is None or len({*problem.shapes.values(), problem.output_shape}) > 1:
        return None
    zero_points = problem.attrs["a_zero_point"], problem.attrs["b_zero_point"]
    product = dsp.ProductVector(problem.outputs, zero_points, epilogue)
    return Candidate(
        rule="dsp mul",
        instructions=product.instructions,
        build=lambda: _build(problem, product),
        micro_kernels=lambda: (product.micro_kernel(),),
    )


def _build(problem: Problem, product: dsp.ProductVector) -> Kernel:
    sch = dsp.schedule(drop_unit_loops(_function(product)))
    sch.tensorize(sch.get_sblock("product_vector"), product.register())
    constants = {name: value.reshape(-1) for name, value in problem.constants.items()}
    return Kernel(sch.mod["main"], constants, (product.micro_kernel(),))


def _function(product: dsp.ProductVector) -> Any:
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        a, b, output = (T.arg(name, T.buffer((product.elements,), "int8")) for name in ("a", "b", "output"))
        with T.sblock("root"), T.sblock("layer"):
            # Only blocks below the root can be tensorized.
            T.reads(a[0 : product.elements], b[0 : product.elements])
            T.writes(output[0 : product.elements])
            with T.sblock("product_vector"):
                product.describe(a, b, output)
    return builder.get()
