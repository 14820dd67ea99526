"""Depthwise convolution on Arm MVE: channel planes in scratch, then eight outputs of one channel at a time.

Bands of output rows whose padded input rows fit the scratch are processed one after the other: the rows of eight
channels are scattered into planes, then each plane is convolved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .depthwise_rows_mve import plan_depthwise_rows
from .intrinsics.mve.copy import FILL, fill_instructions
from .intrinsics.mve.depthwise import FORMS, Depthwise, lanes_of
from .intrinsics.mve.depthwise_steps import stepped_kernels, stepped_parts, stepped_tile
from .intrinsics.mve.depthwise_summed import SUMMED, register_of, summed_kernel, summed_lanes, summed_parts
from .intrinsics.mve.depthwise_unrolled import unrolled_kernel, unrolled_parts
from .intrinsics.mve.planes import GROUP, Planes, planes_instructions, planes_kernels
from .kernel import Array, Candidate, MicroKernel, Problem
from .parts import Parts
from .plan_mve import plan
from .planes_mve import MAX_RUNS, SLACK, PlanesLayer, Run, build_planes
from .requantize_mve import Epilogue, epilogue_of

# Scratch that a layer should take, and must not exceed.
SCRATCH = 2600
MAX_SCRATCH = 5600


@dataclass(frozen=True)
class Geometry:
    """Shapes of a depthwise layer after axes of length one have been swapped: height, width, ... of a plane's view."""

    data: tuple[int, int]
    output: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]


def schedule_depthwise_mve(problem: Problem) -> list[Candidate]:
    """Schedule depthwise_conv2d; nothing for every other operator and for windows that no vectors hold."""
    if problem.operator != "depthwise_conv2d" or "mve" not in problem.features or problem.output_plane:
        return []
    epilogue = epilogue_of(problem)
    if epilogue is None:
        return []
    if problem.data_plane:
        return plan_depthwise_rows(problem, epilogue)
    shape = _geometry(problem)
    # Larger scratch only when a small one does not do.
    for limit in (SCRATCH, MAX_SCRATCH):
        found: list[Candidate] = []
        for form in FORMS:
            every = range(1, shape.output[0] + 1)
            plans = [_plan(problem, shape, epilogue, rows, limit, form) for rows in every]
            ways = [plan for plan in plans if plan is not None]
            found += [min(ways, key=lambda plan: plan.instructions)] if ways else []
        if found:
            return found
    return []


def _plan(
    problem: Problem, shape: Geometry, epilogue: Epilogue, rows: int, limit: int, form: str
) -> Candidate | None:
    """Plan bands of `rows` output rows. form: of the code."""
    tile = replace(_tile(problem, shape, epilogue, rows), form=form)
    planes = _planes(problem, shape, tile)
    if planes.group * tile.size + SLACK > limit:
        return None
    convolve = _convolve(tile, planes.group * tile.multiplier)
    runs = _runs(shape, rows)
    if convolve.parts is None or len(runs) > MAX_RUNS or any(run.rows < 1 for run in runs):
        return None
    cost = _cost(tile, planes, runs, convolve.parts)
    layer = PlanesLayer(
        tile=tile,
        planes=planes,
        runs=tuple(runs),
        rounding=epilogue.rounding,
        zero_point=problem.attrs["input_zero_point"],
        above=shape.before[0],
        left=shape.before[1],
        pixels=shape.data[0] * shape.data[1],
        outputs=shape.output[0] * shape.output[1],
    )
    weight = problem.constants["weight"][0]
    return plan(
        scratch=planes.group * tile.size + SLACK,
        rule="mve depthwise planes",
        instructions=cost.total,
        parts=cost,
        function=lambda: build_planes(layer),
        constants=lambda: _constants(layer, weight, epilogue),
        micro_kernels=lambda: (FILL, *planes_kernels(planes), *convolve.micro_kernels()),
    )


def _constants(layer: PlanesLayer, weight: Array, epilogue: Epilogue) -> dict[str, Array]:
    """Weights and tables as the micro-kernel reads them."""
    channels = weight.shape[2]
    taps = weight.transpose(2, 0, 1).reshape(channels, -1)
    if layer.tile.form != "summed":
        shifts = epilogue.shifts()[:, None]
        return {"weight": np.concatenate([shifts, taps], 1), "table": epilogue.words()}
    order = np.argsort([register_of(channel) for channel in range(SUMMED)])
    first = np.minimum(SUMMED * np.arange(layer.groups), channels - SUMMED)
    return {"weight": taps, "table": epilogue.grouped(first[:, None] + order)}


@dataclass(frozen=True)
class Convolve:
    """A way to compute a tile: instructions of a call, None when there is none, and its micro-kernels."""

    parts: Parts | None
    micro_kernels: Callable[[], tuple[MicroKernel, ...]]


def _convolve(tile: Depthwise, channels: int) -> Convolve:
    if tile.form == "stepped":
        stepped = stepped_tile(tile)
        if stepped is not None:
            return Convolve(stepped_parts(stepped, channels), lambda: stepped_kernels(stepped))
    elif tile.form == "summed":
        summed = summed_lanes(tile) if channels == SUMMED else None
        if summed is not None:
            return Convolve(summed_parts(tile, summed), lambda: (summed_kernel(tile, summed),))
    else:
        lanes = lanes_of(tile)
        if lanes is not None:
            parts = unrolled_parts(tile, lanes, channels)
            return Convolve(parts, lambda: (unrolled_kernel(tile, lanes),))
    return Convolve(None, tuple)


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


def _tile(problem: Problem, shape: Geometry, epilogue: Epilogue, rows: int) -> Depthwise:
    """The tile of a band of `rows` output rows."""
    pitch = max(_reach(shape, 1, shape.output[1]), shape.before[1] + shape.data[1])
    return Depthwise(
        height=rows,
        width=shape.output[1],
        kernel=shape.kernel,
        strides=shape.strides,
        dilation=shape.dilation,
        pitch=pitch,
        size=_reach(shape, 0, rows) * pitch,
        multiplier=problem.attrs["depth_multiplier"],
        requantization=epilogue.how,
    )


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
        group=min(GROUP, channels),
        width=shape.data[1],
        channels=channels,
        pitch=tile.pitch,
        size=tile.size,
        shared=tile.form == "stepped",
    )


def _cost(tile: Depthwise, planes: Planes, runs: list[Run], convolve: Parts) -> Parts:
    groups = -(-planes.channels // planes.group)
    scatter = sum(run.count * planes_instructions(planes, run.rows) for run in runs)
    fill = len(runs) * fill_instructions(planes.group * tile.size)
    bands = sum(run.count for run in runs)
    return convolve * (groups * bands) + Parts(copies=groups * scatter + fill)
