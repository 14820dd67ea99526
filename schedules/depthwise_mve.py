"""Depthwise convolution on Arm MVE: channel planes in scratch, then eight outputs of one channel at a time.

Bands of output rows whose padded input rows fit the scratch are processed one after the other: the rows of eight
channels are scattered into planes, then each plane is convolved. The padding value around the rows is written when a
band begins that has other rows outside the image than the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from .copy_mve import fill_stage, register_fill
from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.copy import FILL, fill_instructions
from .intrinsics.mve.depthwise import (
    Depthwise,
    depthwise_instructions,
    depthwise_kernel,
    lanes_of,
)
from .intrinsics.mve.planes import GROUP, Planes, planes_instructions, planes_kernel
from .kernel import Kernel, Problem
from .requantize_mve import Epilogue, epilogue_of
from .tensor_ir import blocks
from .tensorize_mve import tensorizable

# Scratch that a layer may take, and bytes after the planes that a load may reach.
SCRATCH = 2600
MAX_SCRATCH = 5600
SLACK = 16
# Kinds of bands: at the top, inside, at the bottom, and one that overlaps.
MAX_RUNS = 4


@dataclass(frozen=True)
class Run:
    """Bands with equal clipping. first, step, count: their first output rows. skipped: rows of a plane before the first
    input row; rows: input rows inside the image."""

    first: int
    step: int
    count: int
    skipped: int
    rows: int


@dataclass(frozen=True)
class Geometry:
    """Shapes of a depthwise layer after axes of length one have been swapped: height, width, ... of a plane's view."""

    data: tuple[int, int]
    output: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]


def schedule_depthwise_planes(problem: Problem) -> Kernel | None:
    """Schedule depthwise_conv2d; None for every other operator and for windows that no vectors hold."""
    if problem.operator != "depthwise_conv2d" or "mve" not in problem.features:
        return None
    epilogue = epilogue_of(problem)
    if epilogue is None:
        return None
    shape = _geometry(problem)
    # Step 1. The band of output rows that costs least; ever larger scratch only when a small one does not do.
    choices = [
        (cost, tile, runs)
        for rows in range(1, shape.output[0] + 1)
        if (tile := _tile(problem, shape, epilogue, rows)) is not None
        for runs in [_runs(shape, rows)]
        for cost in [_cost(problem, shape, tile, runs)]
    ]
    group = min(GROUP, problem.shapes["data"][3])
    small = [choice for choice in choices if group * choice[1].size <= SCRATCH]
    if not choices or min(choices, key=lambda choice: choice[0])[0] == inf:
        return None
    cost, tile, runs = min(small or choices, key=lambda choice: choice[0])
    if cost == inf:
        cost, tile, runs = min(choices, key=lambda choice: choice[0])
    return _kernel(problem, shape, tile, runs, epilogue, cost)


def _geometry(problem: Problem) -> Geometry:
    _, height, width, _ = problem.shapes["data"]
    _, output_height, output_width, _ = problem.output_shape
    _, kernel_h, kernel_w, _ = problem.shapes["weight"]
    attrs = problem.attrs
    shape = Geometry(
        data=(height, width),
        output=(output_height, output_width),
        kernel=(kernel_h, kernel_w),
        strides=tuple(attrs["strides"]),
        dilation=tuple(attrs["dilation"]),
        before=tuple(attrs["padding"][:2]),
    )
    if width == output_width == kernel_w == 1:
        # A column is a row as well: neighbouring outputs then lie side by side.
        return Geometry(
            data=(1, height),
            output=(1, output_height),
            kernel=(1, kernel_h),
            strides=(1, shape.strides[0]),
            dilation=(1, shape.dilation[0]),
            before=(0, shape.before[0]),
        )
    return shape


def _reach(shape: Geometry, axis: int, outputs: int) -> int:
    """Inputs that some outputs along an axis see, borders included."""
    window = (shape.kernel[axis] - 1) * shape.dilation[axis] + 1
    return (outputs - 1) * shape.strides[axis] + window


def _tile(problem: Problem, shape: Geometry, epilogue: Epilogue, rows: int) -> Depthwise | None:
    """The tile of a band of `rows` output rows, or None when it exceeds the scratch or no vectors hold a window."""
    pitch = max(_reach(shape, 1, shape.output[1]), shape.before[1] + shape.data[1])
    size = _reach(shape, 0, rows) * pitch
    tile = Depthwise(
        height=rows,
        width=shape.output[1],
        kernel=shape.kernel,
        strides=shape.strides,
        dilation=shape.dilation,
        pitch=pitch,
        size=size,
        multiplier=problem.attrs["depth_multiplier"],
        requantization=epilogue.how,
    )
    group = min(GROUP, problem.shapes["data"][3])
    return tile if group * size + SLACK <= MAX_SCRATCH and lanes_of(tile) is not None else None


def _runs(shape: Geometry, rows: int) -> list[Run]:
    """Bands of `rows` output rows, in runs of equal clipping; the last band ends with the last row."""
    starts = [min(start, shape.output[0] - rows) for start in range(0, shape.output[0], rows)]
    runs: list[Run] = []
    for start in starts:
        base = start * shape.strides[0] - shape.before[0]
        first, end = max(base, 0), min(base + _reach(shape, 0, rows), shape.data[0])
        run = Run(start, 0, 1, first - base, end - first)
        last = runs[-1] if runs else None
        if last is not None and (last.skipped, last.rows) == (run.skipped, run.rows):
            step = start - (last.first + last.step * (last.count - 1))
            if last.count == 1 or step == last.step:
                runs[-1] = replace(last, step=step, count=last.count + 1)
                continue
        runs.append(run)
    return runs


def _planes(problem: Problem, shape: Geometry, tile: Depthwise) -> Planes:
    channels = problem.shapes["data"][3]
    return Planes(
        group=min(GROUP, channels), width=shape.data[1], channels=channels, pitch=tile.pitch, size=tile.size
    )


def _cost(problem: Problem, shape: Geometry, tile: Depthwise, runs: list[Run]) -> float:
    lanes = lanes_of(tile)
    assert lanes is not None
    planes = _planes(problem, shape, tile)
    groups = -(-planes.channels // planes.group)
    convolve = depthwise_instructions(tile, lanes, planes.group * tile.multiplier)
    scatter = sum(run.count * planes_instructions(planes, run.rows) for run in runs)
    fill = len(runs) * fill_instructions(planes.group * tile.size)
    return groups * (scatter + sum(run.count for run in runs) * convolve) + fill


def _kernel(
    problem: Problem, shape: Geometry, tile: Depthwise, runs: list[Run], epilogue: Epilogue, cost: float
) -> Kernel | None:
    lanes = lanes_of(tile)
    if len(runs) > MAX_RUNS or lanes is None or any(run.rows < 1 for run in runs):
        return None
    planes = _planes(problem, shape, tile)
    weight = problem.constants["weight"][0]
    taps = np.ascontiguousarray(weight.transpose(2, 0, 1)).reshape(weight.shape[2], -1)
    sch = tensorizable(_function(problem, shape, tile, planes, runs, epilogue))
    padding = register_fill(planes.group * tile.size, problem.attrs["input_zero_point"])
    convolve = _register_convolve(tile, planes, epilogue)
    for block in blocks(sch):
        name = str(sch.get(block).name_hint).split("_")[0]
        if name == "padding":
            sch.tensorize(block, padding)
        elif name == "convolve":
            sch.tensorize(block, convolve)
        else:
            rows = int(sch.get(sch.get_loops(sch.get_child_blocks(block)[0])[0]).extent)
            sch.tensorize(block, _register_scatter(planes, rows))
    return Kernel(
        rule="mve depthwise planes",
        function=sch.mod["main"],
        constants={"weight": taps, "table": np.ascontiguousarray(epilogue.rows.T)},
        instructions=cost,
        micro_kernels=(PRELUDE, FILL, planes_kernel(planes), depthwise_kernel(tile, lanes)),
    )


@T.macro
def scatter_stage(target: Any, source: Any, planes: Any, rows: Any, offsets: Any) -> None:
    """target[0, start + plane * size + y * pitch + x] = source[pixel, channel]; offsets: start, pixel, channel."""
    for y, x, c in T.grid(rows, planes.width, planes.group):
        with T.sblock("scatter_value"):
            vy, vx, vc = T.axis.remap("SSS", [y, x, c])
            target[0, offsets[0] + vc * planes.size + vy * planes.pitch + vx] = source[
                offsets[1] + vy * planes.width + vx, offsets[2] + vc
            ]


def _tap(tile: Depthwise, output: Any, channel: Any, tap: Any) -> Any:
    """Position of a tap in the planes."""
    y, x = (output // tile.width, output % tile.width) if tile.width > 1 else (output, 0)
    ky, kx = (tap // tile.kernel[1], tap % tile.kernel[1]) if tile.kernel[1] > 1 else (tap, 0)
    plane = channel // tile.multiplier if tile.multiplier > 1 else channel
    row = y * tile.strides[0] + ky * tile.dilation[0]
    return plane * tile.size + row * tile.pitch + x * tile.strides[1] + kx * tile.dilation[1]


@T.macro
def convolve_stages(
    planes: Any,
    weight: Any,
    table: Any,
    sums: Any,
    output: Any,
    tile: Any,
    channels: Any,
    offsets: Any,
    finish: Any,
) -> None:
    """sums[pixels, channels], output[pixel, channel], table[channel, rows]; offsets: output pixel and channel."""
    for o, c in T.grid(tile.height * tile.width, channels):
        with T.sblock("start"):
            vo, vc = T.axis.remap("SS", [o, c])
            sums[vo, vc] = 0
    for o, c, k in T.grid(tile.height * tile.width, channels, tile.taps):
        with T.sblock("accumulate"):
            vo, vc, vk = T.axis.remap("SSR", [o, c, k])
            sums[vo, vc] = sums[vo, vc] + T.Cast("int32", planes[0, _tap(tile, vo, vc, vk)]) * T.Cast(
                "int32", weight[offsets[1] + vc, vk]
            )
    for o, c in T.grid(tile.height * tile.width, channels):
        with T.sblock("requantize"):
            vo, vc = T.axis.remap("SS", [o, c])
            output[offsets[0] + vo, offsets[1] + vc] = finish(sums[vo, vc], table, offsets[1] + vc)


def _register_scatter(planes: Planes, rows: int) -> str:
    extent = (planes.group - 1) * planes.size + (rows - 1) * planes.pitch + planes.width
    pixels, group = rows * planes.width, planes.group

    def make(computes: bool) -> Any:
        @T.prim_func(s_tir=True)
        def scatter(source_handle: T.handle, target_handle: T.handle) -> None:
            source = T.match_buffer(
                source_handle, (pixels, group), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            target = T.match_buffer(
                target_handle, (1, extent), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                T.reads(source[0:pixels, 0:group])
                T.writes(target[0:1, 0:extent])
                if computes:
                    scatter_stage(target, source, planes, rows, (0, 0, 0))
                else:
                    T.evaluate(
                        T.call_extern(
                            "int32", planes.name, source.access_ptr("r"), target.access_ptr("w"), rows
                        )
                    )

        return scatter

    name = f"{planes.name}_rows{rows}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


def _register_convolve(tile: Depthwise, planes: Planes, epilogue: Epilogue) -> str:
    pixels, channels, taps = tile.height * tile.width, planes.group * tile.multiplier, tile.taps
    lowest = (tile.height - 1) * tile.strides[0] + (tile.kernel[0] - 1) * tile.dilation[0]
    rightmost = (tile.width - 1) * tile.strides[1] + (tile.kernel[1] - 1) * tile.dilation[1]
    extent = (planes.group - 1) * tile.size + lowest * tile.pitch + rightmost + 1
    constants = len(epilogue.how.table_rows)
    finish, zero_point = epilogue.by_channel(), epilogue.zero_point

    def make(computes: bool) -> Any:
        @T.prim_func(s_tir=True)
        def convolve(
            planes_handle: T.handle,
            weight_handle: T.handle,
            table_handle: T.handle,
            sums_handle: T.handle,
            output_handle: T.handle,
        ) -> None:
            source = T.match_buffer(
                planes_handle, (1, extent), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            weight = T.match_buffer(
                weight_handle, (channels, taps), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            table = T.match_buffer(
                table_handle, (channels, constants), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            sums = T.match_buffer(
                sums_handle, (pixels, channels), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            output = T.match_buffer(
                output_handle, (pixels, channels), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                T.reads(
                    sums[0:pixels, 0:channels],
                    source[0:1, 0:extent],
                    weight[0:channels, 0:taps],
                    table[0:channels, 0:constants],
                )
                T.writes(sums[0:pixels, 0:channels], output[0:pixels, 0:channels])
                if computes:
                    convolve_stages(source, weight, table, sums, output, tile, channels, (0, 0), finish)
                else:
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            tile.name,
                            source.access_ptr("r"),
                            weight.access_ptr("r"),
                            table.access_ptr("r"),
                            output.access_ptr("w"),
                            channels,
                            output.strides[0],
                            zero_point,
                        )
                    )

        return convolve

    name = f"{tile.name}_of_{channels}_zero_{zero_point}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@T.macro
def run_stages(
    data: Any, weight: Any, table: Any, planes: Any, sums: Any, output: Any, run: Any, layer: Any
) -> None:
    """All bands of a run."""
    if layer.padded(run):
        with T.sblock("padding"):
            fill_stage(planes, (0, 0), layer.planes.group * layer.tile.size, layer.zero_point)
    for b, g in T.grid(run.count, layer.groups):
        with T.sblock("scatter"):
            vb, vg = T.axis.remap("SS", [b, g])
            scatter_stage(
                planes,
                data,
                layer.planes,
                run.rows,
                (layer.corner(run), layer.first_pixel(run, vb), layer.first_channel(vg)),
            )
        with T.sblock("convolve"):
            vb, vg = T.axis.remap("SS", [b, g])
            convolve_stages(
                planes,
                weight,
                table,
                sums,
                output,
                layer.tile,
                layer.planes.group * layer.tile.multiplier,
                (layer.first_output(run, vb), layer.first_channel(vg) * layer.tile.multiplier),
                layer.finish,
            )


@dataclass(frozen=True)
class _Layer:
    """What the loops over bands and groups of channels need to know."""

    shape: Geometry
    tile: Depthwise
    planes: Planes
    runs: list[Run]
    zero_point: int
    finish: Any

    @property
    def groups(self) -> int:
        """Groups of channels; the last one overlaps when they are not a multiple."""
        return -(-self.planes.channels // self.planes.group)

    def padded(self, run: Run) -> bool:
        """Whether the padding value has to be written before a run."""
        inside = run.rows == self.tile.size // self.tile.pitch
        wide = self.planes.width == self.tile.pitch
        return not inside or (run is self.runs[0] and not wide)

    def corner(self, run: Run) -> int:
        """Position of the first input pixel of a band in its plane."""
        return run.skipped * self.tile.pitch + self.shape.before[1]

    def first_pixel(self, run: Run, band: Any) -> Any:
        """Number of the first input pixel of a band."""
        stride, width = self.shape.strides[0], self.planes.width
        row = run.first * stride - self.shape.before[0] + run.skipped
        return row * width + band * (run.step * stride * width)

    def first_output(self, run: Run, band: Any) -> Any:
        """Number of the first output pixel of a band."""
        return run.first * self.tile.width + band * (run.step * self.tile.width)

    def first_channel(self, group: Any) -> Any:
        """First channel of a group."""
        return T.min(group * self.planes.group, self.planes.channels - self.planes.group)


def _function(
    problem: Problem, shape: Geometry, tile: Depthwise, planes: Planes, runs: list[Run], epilogue: Epilogue
) -> Any:
    layer = _Layer(shape, tile, planes, runs, problem.attrs["input_zero_point"], epilogue.by_channel())
    pixels, outputs = int(np.prod(shape.data)), int(np.prod(shape.output))
    channels = planes.channels * tile.multiplier
    constants = len(epilogue.how.table_rows)
    size = planes.group * tile.size + SLACK
    band, group = tile.height * tile.width, planes.group * tile.multiplier

    @T.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, (pixels, planes.channels), "int8")
        weight = T.match_buffer(weight_handle, (channels, tile.taps), "int8")
        table = T.match_buffer(table_handle, (channels, constants), "int32")
        output = T.match_buffer(output_handle, (outputs, channels), "int8")
        sums = T.sblock_alloc_buffer((band, group), "int32")
        scratch = T.sblock_alloc_buffer((1, size), "int8")
        run_stages(data, weight, table, scratch, sums, output, runs[0], layer)
        if len(runs) > 1:
            run_stages(data, weight, table, scratch, sums, output, runs[1], layer)
        if len(runs) > 2:
            run_stages(data, weight, table, scratch, sums, output, runs[2], layer)
        if len(runs) > 3:
            run_stages(data, weight, table, scratch, sums, output, runs[3], layer)

    return main
