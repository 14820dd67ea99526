"""Average and maximum pooling on Arm MVE: windows with any padding, cut into parts that border leaves whole.

Outputs whose windows lose the same rows and columns to the border share their loops; averages divide by the elements
inside the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm.s_tir import Schedule
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.window import Window, average_of, window_instructions, window_kernel
from .intrinsics.tensor_intrinsic import Operand, register
from .kernel import Candidate, Kernel, Problem
from .tensor_ir import drop_unit_loops

# Kinds of windows along an axis.
_MAX_RUNS = 5
# Of the caller's loop.
_LOOP = 6.0


@dataclass(frozen=True)
class Run:
    """Consecutive outputs along an axis whose windows have `size` elements inside, from `skipped` on."""

    first: int
    count: int
    skipped: int
    size: int


def runs_of(extent: int, outputs: int, size: int, stride: int, before: int) -> list[Run]:
    """The runs of an axis."""
    runs: list[Run] = []
    for index in range(outputs):
        start = index * stride - before
        skipped = max(-start, 0)
        inside = min(start + size, extent) - start - skipped
        last = runs[-1] if runs else None
        if last and (last.skipped, last.size) == (skipped, inside):
            runs[-1] = Run(last.first, last.count + 1, skipped, inside)
        else:
            runs.append(Run(index, 1, skipped, inside))
    return runs


def schedule_windows_mve(problem: Problem) -> Candidate | None:
    """Schedule avg_pool2d and max_pool2d; None for fewer channels than lanes, and for averages without a factor."""
    if "mve" not in problem.features or problem.operator not in ("avg_pool2d", "max_pool2d"):
        return None
    batch, height, width, channels = problem.shapes["data"]
    attrs = problem.attrs
    rows, columns = (
        runs_of(extent, outputs, size, stride, before)
        for extent, outputs, size, stride, before in zip(
            (height, width),
            problem.output_shape[1:3],
            attrs["pool"],
            attrs["strides"],
            attrs["padding"][:2],
            strict=True,
        )
    )
    counts = tuple(sorted({row.size * column.size for row in rows for column in columns}))
    averages = problem.operator == "avg_pool2d"
    average = average_of(counts) if averages else None
    if batch != 1 or max(len(rows), len(columns)) > _MAX_RUNS or (averages and average is None):
        return None
    window = Window(channels, average, attrs["clamp_min"], attrs["clamp_max"])
    if window.block < 1:
        return None
    cost = sum(
        row.count * column.count * (_LOOP + window_instructions(window, row.size, column.size))
        for row in rows
        for column in columns
    )
    return Candidate(
        rule=f"mve {problem.operator}",
        instructions=cost,
        build=lambda: _build(problem, window, rows, columns),
        micro_kernels=lambda: (PRELUDE, window_kernel(window)),
    )


def _build(problem: Problem, window: Window, rows: Sequence[Run], columns: Sequence[Run]) -> Kernel:
    sch = Schedule(drop_unit_loops(_function(problem, window, rows, columns)))
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            name = _register(problem, window, (row.size, column.size))
            sch.tensorize(sch.get_sblock(f"window_{y}_{x}"), name)
    return Kernel(sch.mod["main"], {}, (PRELUDE, window_kernel(window)))


def _function(problem: Problem, window: Window, rows: Sequence[Run], columns: Sequence[Run]) -> Any:
    _, height, width, channels = problem.shapes["data"]
    _, output_height, output_width, _ = problem.output_shape
    strides, before = problem.attrs["strides"], problem.attrs["padding"][:2]
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer((height, width * channels), "int8"))
        output = T.arg("output", T.buffer((output_height * output_width, channels), "int8"))
        with T.sblock("root"):
            reduced = T.sblock_alloc_buffer((1, channels), "int32")
            for y, row in enumerate(rows):
                for x, column in enumerate(columns):
                    with (
                        T.serial(0, row.count) as i,
                        T.serial(0, column.count) as j,
                        T.sblock(f"window_{y}_{x}"),
                    ):
                        vi, vj = T.axis.spatial(row.count, i), T.axis.spatial(column.count, j)
                        top = (vi + row.first) * strides[0] - before[0] + row.skipped
                        left = (vj + column.first) * strides[1] - before[1] + column.skipped
                        pixel = (vi + row.first) * output_width + vj + column.first
                        at = (top, left * channels, pixel)
                        _describe(window, (row.size, column.size), data, output, reduced, at)
    return builder.get()


def _describe(
    window: Window, size: tuple[int, int], data: Any, output: Any, reduced: Any, at: tuple[Any, Any, Any]
) -> None:
    """One window. data[row, column of bytes], reduced[0, channels], output[pixel, channels]; at: where each begins."""
    channels, (rows, columns) = window.channels, size
    T.reads(data[at[0] : at[0] + rows, at[1] : at[1] + columns * channels])
    T.writes(output[at[2] : at[2] + 1, 0:channels], reduced[0:1, 0:channels])
    with T.serial(0, channels) as c, T.sblock("start"):
        vc = T.axis.spatial(channels, c)
        T.buffer_store(reduced, 0 if window.average else -128, [0, vc])
    with (
        T.serial(0, channels) as c,
        T.serial(0, rows) as y,
        T.serial(0, columns) as x,
        T.sblock("reduce"),
    ):
        vc, vy, vx = T.axis.spatial(channels, c), T.axis.reduce(rows, y), T.axis.reduce(columns, x)
        element = T.Cast("int32", data[at[0] + vy, at[1] + vx * channels + vc])
        found = reduced[0, vc]
        T.buffer_store(reduced, found + element if window.average else T.max(found, element), [0, vc])
    with T.serial(0, channels) as c, T.sblock("finish"):
        vc = T.axis.spatial(channels, c)
        total = reduced[0, vc]
        if window.average:
            count = rows * columns
            total = T.truncdiv(T.Select(total > 0, total + count // 2, total - count // 2), count)
        clamped = T.max(T.min(total, window.clamp_max), window.clamp_min)
        T.buffer_store(output, T.Cast("int8", clamped), [at[2], vc])


def _register(problem: Problem, window: Window, size: tuple[int, int]) -> str:
    channels, (rows, columns) = window.channels, size
    row_bytes = problem.shapes["data"][2] * channels
    operands = {
        "data": Operand((rows, columns * channels), "int8", row_bytes),
        "output": Operand((1, channels), "int8", channels, written=True),
        "reduced": Operand((1, channels), "int32", written=True, passed=False),
    }

    def contents(data: Any, output: Any, reduced: Any) -> None:
        _describe(window, size, data, output, reduced, (0, 0, 0))

    factor = window.average.factor(rows * columns) if window.average else 0
    return register(window.name, operands, contents, (rows, columns, row_bytes, factor))
