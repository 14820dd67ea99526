"""Means and averages on Arm MVE: sums of windows over vectors of channels, then TensorIR's rounding.

Windows lie inside the image; the mean over both spatial axes is one window. Averages that a high multiply gives, of
windows with any padding, have a schedule of their own (`windows_mve.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from tvm_tinyml.dialect.fixed_point import requantize_expr

from . import script
from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.pool import Pool, pool_instructions, pool_kernel
from .kernel import Candidate, Kernel, Problem
from .tensorize_mve import tensorizable

# Sums of so many int8 values fit sixteen bits.
MAX_SUMMED = 256
# Of rounding, clamping and storing one average.
_PER_AVERAGE = 14.0


def schedule_pool_mve(problem: Problem) -> Candidate | None:
    """Schedule avg_pool2d without padding, and mean over height and width."""
    if "mve" not in problem.features or problem.operator not in ("avg_pool2d", "mean"):
        return None
    data = problem.shapes["data"]
    attrs = problem.attrs
    if len(data) != 4 or data[0] != 1:
        return None
    window: tuple[int, ...]
    strides: tuple[int, ...]
    output: tuple[int, ...]
    if problem.operator == "mean":
        if sorted(axis % 4 for axis in attrs["axes"]) != [1, 2]:
            return None
        window, strides, output = tuple(data[1:3]), (1, 1), (1, 1)
    else:
        if any(attrs["padding"]):
            return None
        window, strides, output = tuple(attrs["pool"]), tuple(attrs["strides"]), problem.output_shape[1:3]
    pool = Pool(window[0], window[1], data[2] * data[3], data[3])
    count = window[0] * window[1]
    if pool.block < 1 or count > MAX_SUMMED:
        return None

    def build() -> Kernel:
        sch = tensorizable(_function(data, strides, output, pool, _finish(problem, count)))
        sch.tensorize(sch.get_sblock("window"), _register(pool))
        return Kernel(sch.mod["main"], {}, (PRELUDE, pool_kernel(pool)))

    windows = output[0] * output[1]
    return Candidate(
        rule=f"mve {problem.operator}",
        instructions=windows * pool_instructions(pool) + _PER_AVERAGE * problem.outputs,
        build=build,
        micro_kernels=lambda: (PRELUDE, pool_kernel(pool)),
    )


def _finish(problem: Problem, count: int) -> Callable[[Any], Any]:
    """TensorIR of an output from its sum."""
    attrs = problem.attrs

    def clamp(value: Any, low: int, high: int) -> Any:
        return tirx.max(tirx.min(value, tirx.const(high, "int32")), tirx.const(low, "int32")).astype("int8")

    def average(total: Any) -> Any:
        half = count // 2
        rounded = tirx.truncdiv(
            tirx.Select(total > 0, total + half, total - half), tirx.const(count, "int32")
        )
        return clamp(rounded, attrs["clamp_min"], attrs["clamp_max"])

    def mean(total: Any) -> Any:
        centred = total - count * attrs["input_zero_point"]
        scaled = requantize_expr(centred, attrs["multiplier"], attrs["shift"], "double")
        return clamp(scaled + attrs["zero_point"], -128, 127)

    return {"avg_pool2d": average, "mean": mean}[problem.operator]


@script.macro
def window_stages(data: Any, reduced: Any, pool: Any, offsets: Any) -> None:
    """reduced[0, c] = sum over the window; data[row, column of bytes]; offsets: row and column."""
    T.reads(
        reduced[0:1, 0 : pool.channels],
        data[
            offsets[0] : offsets[0] + pool.rows,
            offsets[1] : offsets[1] + pool.columns * pool.channels,
        ],
    )
    T.writes(reduced[0:1, 0 : pool.channels])
    for c in range(pool.channels):
        with T.sblock("start"):
            vc = T.axis.spatial(pool.channels, c)
            reduced[0, vc] = T.int16(0)
    for c, y, x in T.grid(pool.channels, pool.rows, pool.columns):
        with T.sblock("reduce"):
            vc, vy, vx = T.axis.remap("SRR", [c, y, x])
            reduced[0, vc] = reduced[0, vc] + T.Cast(
                "int16", data[offsets[0] + vy, offsets[1] + vx * pool.channels + vc]
            )


@cache
def _register(pool: Pool) -> str:
    rows, span, channels = pool.rows, pool.columns * pool.channels, pool.channels

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def window(data_handle: T.handle, reduced_handle: T.handle) -> None:
            data = T.match_buffer(data_handle, (rows, span), "int8", offset_factor=1, strides=[T.int32(), 1])
            reduced = T.match_buffer(
                reduced_handle, (1, channels), "int16", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                if computes:
                    window_stages(data, reduced, pool, (0, 0))
                else:
                    T.reads(reduced[0:1, 0:channels], data[0:rows, 0:span])
                    T.writes(reduced[0:1, 0:channels])
                    T.evaluate(
                        T.call_extern("int32", pool.name, data.access_ptr("r"), reduced.access_ptr("w"))
                    )

        return window

    TensorIntrin.register(pool.name, make(True), make(False), override=True)
    return pool.name


def _function(
    data_shape: tuple[int, ...],
    strides: tuple[int, ...],
    output_shape: tuple[int, ...],
    pool: Pool,
    finish: Callable[[Any], Any],
) -> Any:
    _, height, width, channels = data_shape
    output_height, output_width = output_shape
    stride_h, stride_w = strides

    @script.prim_func(s_tir=True)
    def main(data_handle: T.handle, output_handle: T.handle) -> None:
        data = T.match_buffer(data_handle, (height, width * channels), "int8")
        output = T.match_buffer(output_handle, (output_height, output_width, channels), "int8")
        reduced = T.sblock_alloc_buffer((1, channels), "int16")
        for y, x in T.grid(output_height, output_width):
            with T.sblock("window"):
                vy, vx = T.axis.remap("SS", [y, x])
                window_stages(data, reduced, pool, (vy * stride_h, vx * (stride_w * channels)))
            for c in range(channels):
                with T.sblock("finish"):
                    vy, vx, vc = T.axis.remap("SSS", [y, x, c])
                    output[vy, vx, vc] = finish(T.Cast("int32", reduced[0, vc]))

    return main
