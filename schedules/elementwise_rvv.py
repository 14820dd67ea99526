"""RVV schedule of products, minima and maxima of two tensors of one shape, either of which may be constant."""

from __future__ import annotations

from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.rvv.elementwise import ExtremeTile, ProductTile
from .intrinsics.rvv.epilogue import Epilogue
from .kernel import Candidate, Kernel, Problem


def schedule_elementwise_rvv(problem: Problem) -> Candidate | None:
    """Schedule mul, minimum and maximum on int8 on cores with RVV; None for the rest and for broadcasts."""
    if "rvv" not in problem.features or problem.operator not in ("mul", "minimum", "maximum"):
        return None
    if len({*problem.shapes.values(), problem.output_shape}) > 1:
        return None
    tile = _product(problem) if problem.operator == "mul" else _extreme(problem)
    if tile is None:
        return None
    return Candidate(
        rule=f"RVV {problem.operator}",
        instructions=tile.assemble().executed,
        build=lambda: _build(problem, tile),
        micro_kernels=lambda: (tile.micro_kernel(),),
    )


def _extreme(problem: Problem) -> ExtremeTile | None:
    types = {str(parameter.ty.dtype) for parameter in problem.compute().params}
    return ExtremeTile(problem.outputs, problem.operator == "maximum") if types == {"int8"} else None


def _product(problem: Problem) -> ProductTile | None:
    attrs = problem.attrs
    rounding, low, high, zero_point = (
        attrs[name] for name in ("rounding", "clamp_min", "clamp_max", "zero_point")
    )
    right = -attrs["shift"] - (0 if rounding == "double" else 1)
    if not 1 <= right <= 31 or low >= high:
        return None
    correct_ties = rounding != "single" and low < zero_point
    if correct_ties and rounding == "away" and attrs["multiplier"] == 0:
        return None
    epilogue = Epilogue(rounding, correct_ties, zero_point, low, high)
    zero_points = attrs["a_zero_point"], attrs["b_zero_point"]
    return ProductTile(problem.outputs, *zero_points, attrs["multiplier"], right, epilogue)


def _build(problem: Problem, tile: ExtremeTile | ProductTile) -> Kernel:
    row = (1, tile.elements)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        a, b, output = (T.arg(name, T.buffer(row, "int8")) for name in ("a", "b", "output"))
        with T.sblock("root"), T.sblock("tile"):
            tile.block(a, b, output)
    function: Any = builder.get()
    sch = s_tir.Schedule(function)
    sch.tensorize(sch.get_sblock("tile"), tile.register())
    constants = {name: value.reshape(row) for name, value in problem.constants.items()}
    return Kernel(sch.mod["main"], constants, (tile.micro_kernel(),))
