"""Arm DSP schedule of average and maximum pooling: loops over windows, all channels of one in a micro-kernel."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from . import script
from .intrinsics import dsp
from .kernel import Candidate, Kernel, Problem

OPERATORS = {"avg_pool2d": "dsp average pool", "max_pool2d": "dsp max pool"}


def schedule_pool_dsp(problem: Problem) -> Candidate | None:
    """Schedule pooling of one image; None with padding, a clamp, fewer than four channels or very large windows."""
    if problem.operator not in OPERATORS or "dsp" not in problem.features:
        return None
    attrs = problem.attrs
    images, height, width, channels = problem.shapes["data"]
    limits = attrs["clamp_min"], attrs["clamp_max"]
    if images != 1 or channels < 4 or any(attrs["padding"]) or limits != (-128, 127):
        return None
    pool, strides, output = tuple(attrs["pool"]), tuple(attrs["strides"]), problem.output_shape[1:3]
    if pool[1] == width:
        # Windows of whole rows are rows themselves.
        height, width, output = 1, height * width, (1, output[0])
        pool, strides = (1, pool[0] * pool[1]), (1, strides[0] * pool[1])
    window = dsp.PoolWindow(problem.operator == "avg_pool2d", pool[0], pool[1], channels, width * channels)
    if max(pool) >= 2**15 or (window.average and not dsp.divides(window)):
        return None
    intrinsic = dsp.pool_window(window)
    return Candidate(
        rule=OPERATORS[problem.operator],
        instructions=output[0] * output[1] * (dsp.pool_instructions(window) + 12),
        build=lambda: _build(height, output, strides, window, intrinsic),
        micro_kernels=lambda: (intrinsic.micro_kernel,),
    )


def _build(
    height: int,
    output: tuple[int, ...],
    strides: tuple[int, ...],
    window: dsp.PoolWindow,
    intrinsic: dsp.Intrinsic,
) -> Kernel:
    sch = dsp.schedule(_function(height, output, strides, window))
    sch.tensorize(sch.get_sblock("pool"), intrinsic.register())
    return Kernel(sch.mod["main"], constants={}, micro_kernels=(intrinsic.micro_kernel,))


def _function(height: int, extent: tuple[int, ...], strides: tuple[int, ...], window: dsp.PoolWindow) -> Any:
    rows, columns, channels, pitch = *extent, window.channels, window.pitch
    down, across = strides[0], strides[1] * channels

    @script.prim_func(s_tir=True)
    def main(d: T.handle, o: T.handle) -> None:
        data = T.match_buffer(d, (height, pitch), "int8")
        output = T.match_buffer(o, (rows * columns, channels), "int8")
        sums = T.sblock_alloc_buffer((channels,), "int32")
        for y, x in T.grid(rows, columns):
            with T.sblock("pool"):
                vy, vx = T.axis.remap("SS", [y, x])
                dsp.pool_stage(data, sums, output, window, (vy * down, vx * across), vy * columns + vx)

    return main
