"""RVV schedule of add and sub: by one line where it reproduces the layer, else with the roundings of TFLite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .add import fit_sum
from .intrinsics.rvv.elementwise import LinearTile
from .intrinsics.rvv.epilogue import Epilogue
from .intrinsics.rvv.sums import Operand, SumTile
from .kernel import Candidate, Kernel, Problem


def schedule_add_rvv(problem: Problem) -> Candidate | None:
    """Schedule add and sub of two activations of one shape on cores with RVV.

    None for other operators and cores, and for factors above 1.
    """
    if problem.operator not in ("add", "sub") or "rvv" not in problem.features or problem.constants:
        return None
    if len({*problem.shapes.values(), problem.output_shape}) > 1:
        return None
    tile = _linear(problem) or _tile(problem)
    if tile is None:
        return None
    kind = "linear " if isinstance(tile, LinearTile) else ""
    return Candidate(
        rule=f"RVV {kind}{problem.operator}",
        instructions=tile.assemble().executed,
        build=lambda: _build(tile),
        micro_kernels=lambda: (tile.micro_kernel(),),
    )


def _build(tile: SumTile | LinearTile) -> Kernel:
    sch = s_tir.Schedule(_function(tile))
    sch.tensorize(sch.get_sblock("tile"), tile.register())
    return Kernel(sch.mod["main"], {}, (tile.micro_kernel(),))


def _linear(problem: Problem) -> LinearTile | None:
    line, attrs = fit_sum(problem.operator, problem.attrs), problem.attrs
    if line is None:
        return None
    factors = line.factor_a, line.factor_b, line.addend, line.shift
    return LinearTile(problem.outputs, *factors, attrs["clamp_min"], attrs["clamp_max"])


def _tile(problem: Problem) -> SumTile | None:
    attrs = problem.attrs
    a, b = _operand(attrs, "a"), _operand(attrs, "b")
    low, high, zero_point, right = (
        attrs["clamp_min"],
        attrs["clamp_max"],
        attrs["zero_point"],
        -attrs["shift"],
    )
    if a is None or b is None or not 1 <= right <= 31 or low >= high:
        return None
    epilogue = Epilogue("double", low < zero_point, zero_point, low, high)
    return SumTile(problem.outputs, problem.operator == "sub", a, b, attrs["multiplier"], right, epilogue)


def _operand(attrs: Mapping[str, Any], name: str) -> Operand | None:
    left, right = attrs["left_shift"], -attrs[f"{name}_shift"]
    # The operand, nine bits with its sign, is shifted within 32.
    if not (1 <= left <= 22 and 0 <= right <= 31):
        return None
    return Operand(attrs[f"{name}_zero_point"], left, attrs[f"{name}_multiplier"], right)


def _function(tile: SumTile | LinearTile) -> Any:
    row = (1, tile.elements)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        a, b, output = (T.arg(name, T.buffer(row, "int8")) for name in ("a", "b", "output"))
        with T.sblock("root"), T.sblock("tile"):
            tile.block(a, b, output)
    return builder.get()
