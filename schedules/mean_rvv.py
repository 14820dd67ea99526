"""RVV schedule of means over adjacent axes that are not the last: a window for each index of the axes before."""

from __future__ import annotations

import math
from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.description import allocate
from .intrinsics.rvv.pool import MAX_COLUMNS, PoolTile, Scale
from .kernel import Candidate, Kernel, Problem
from .packing_rvv import INSTRUCTIONS_PER_CALL
from .tensor_ir import largest_divisor

# Below this many adjacent elements vectors are short, and loops over single elements not slower.
MIN_CHANNELS = 8


def schedule_mean_rvv(problem: Problem) -> Candidate | None:
    """Schedule mean over adjacent axes on cores with RVV.

    None for other operators and cores, for axes that are apart, too few channels behind them, and factors above 1/2.
    """
    if "rvv" not in problem.features or problem.operator != "mean":
        return None
    shape, attrs = problem.shapes["data"], problem.attrs
    axes = sorted({axis % len(shape) for axis in attrs["axes"]})
    if not axes or axes != list(range(axes[0], axes[-1] + 1)):
        return None
    windows, count, channels = (
        math.prod(part) for part in (shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :])
    )
    right = -attrs["shift"]
    if channels < MIN_CHANNELS or not 1 <= right <= 31 or count >= 2**22:
        return None
    scale = Scale(-count * attrs["input_zero_point"], attrs["multiplier"], right, attrs["zero_point"])
    columns = largest_divisor(count, MAX_COLUMNS)
    tile = PoolTile("mean", count // columns, columns, channels, scale=scale)
    return Candidate(
        rule="RVV mean",
        instructions=windows * (tile.assemble().executed + INSTRUCTIONS_PER_CALL),
        build=lambda: _build(tile, windows),
        micro_kernels=lambda: (tile.micro_kernel(),),
    )


def _build(tile: PoolTile, windows: int) -> Kernel:
    sch = s_tir.Schedule(_function(tile, windows))
    sch.tensorize(sch.get_sblock("window"), tile.register())
    return Kernel(sch.mod["main"], {}, (tile.micro_kernel(),))


def _function(tile: PoolTile, windows: int) -> Any:
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer((windows * tile.rows, tile.columns * tile.channels), "int8"))
        output = T.arg("output", T.buffer((windows, tile.channels), "int8"))
        with T.sblock("root"):
            reduced = allocate("reduced", (1, tile.channels), "int32")
            with T.serial(0, windows) as w, T.sblock("window"):
                vw = T.axis.spatial(windows, w)
                tile.block(data, None, reduced, output, (vw * tile.rows, 0), vw)
    return builder.get()
