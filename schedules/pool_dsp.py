"""Arm DSP schedule of average and maximum pooling and of mean: loops over windows, all channels in a micro-kernel.

At the borders of a padded image windows are what lies inside. Neighbouring windows of one size form a band, and each
pair of a vertical and a horizontal band has loops of its own around the same functions. A mean over neighbouring axes
is a window of one row for each index of the axes before them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .code_size import LOOP_BYTES
from .intrinsics import dsp
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .tensor_ir import drop_unit_loops

OPERATORS = {"avg_pool2d": "dsp average pool", "max_pool2d": "dsp max pool"}
# Measured: what a window costs its caller, and a pair of bands in code.
CALL_INSTRUCTIONS, PAIR_BYTES = 12, 60


@dataclass(frozen=True)
class _Band:
    """Windows of `size` inputs along one axis: `count` from output `first` on, the first one from input `source` on."""

    first: int
    count: int
    size: int
    source: int


@dataclass(frozen=True)
class _Layer:
    """image: rows, columns. output: rows, columns. strides: vertical, horizontal. bands: rows, columns.

    mean: what makes a mean of a sum.
    """

    average: bool
    image: tuple[int, int]
    channels: int
    output: tuple[int, int]
    strides: tuple[int, int]
    clamp: tuple[int, int]
    bands: tuple[list[_Band], list[_Band]]
    mean: dsp.Epilogue | None = None

    def windows(self) -> Iterator[tuple[str, _Band, _Band, dsp.PoolWindow]]:
        """Name of the block, bands of rows and columns, and the windows where they meet."""
        pitch = self.image[1] * self.channels
        for (i, rows), (j, columns) in itertools.product(*map(enumerate, self.bands)):
            size = rows.size, columns.size
            window = dsp.PoolWindow(self.average, *size, self.channels, pitch, *self.clamp, self.mean)
            yield f"pool_{i}_{j}", rows, columns, window

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """What the loops call."""
        kernels = {window.micro_kernel().name: window.micro_kernel() for *_, window in self.windows()}
        return tuple(kernels.values())


def schedule_pool_dsp(problem: Problem) -> Candidate | None:
    """Schedule pooling of one image; None for fewer than four channels and very large windows."""
    if problem.operator not in OPERATORS or "dsp" not in problem.features:
        return None
    images, *_, channels = problem.shapes["data"]
    if images != 1 or channels < 4:
        return None
    return _candidate(OPERATORS[problem.operator], _layer(problem))


def schedule_mean_dsp(problem: Problem) -> Candidate | None:
    """Schedule mean over neighbouring axes but the last; None for fewer than four channels and over 255 elements."""
    if problem.operator != "mean" or "dsp" not in problem.features:
        return None
    shape, attrs = problem.shapes["data"], problem.attrs
    axes = sorted({axis % len(shape) for axis in attrs["axes"]})
    if not axes or axes != list(range(axes[0], axes[-1] + 1)):
        return None
    count, elements, channels = (
        math.prod(part) for part in (shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :])
    )
    clamp = {"clamp_min": -128, "clamp_max": 127, "rounding": "double"}
    factor = dsp.factor_epilogue({**attrs, **clamp})
    mean = factor and factor.with_bias(np.array([-elements * attrs["input_zero_point"]], np.int64))
    if mean is None or channels < 4:
        return None
    bands = [_Band(0, count, 1, 0)], [_Band(0, 1, elements, 0)]
    layer = _Layer(True, (count, elements), channels, (count, 1), (1, 1), (-128, 127), bands, mean)
    return _candidate("dsp mean", layer)


def _candidate(rule: str, layer: _Layer) -> Candidate | None:
    windows = list(layer.windows())
    if any(
        max(window.rows, window.columns) >= 2**15 or (window.average and not dsp.divides(window))
        for *_, window in windows
    ):
        return None
    return Candidate(
        rule=rule,
        instructions=sum(
            rows.count * columns.count * (dsp.pool_instructions(window) + CALL_INSTRUCTIONS)
            for _, rows, columns, window in windows
        ),
        build=lambda: _build(layer),
        micro_kernels=layer.micro_kernels,
        loop_bytes=LOOP_BYTES + PAIR_BYTES * (len(windows) - 1),
    )


def _layer(problem: Problem) -> _Layer:
    attrs: Mapping[str, Any] = problem.attrs
    _, height, width, channels = problem.shapes["data"]
    pool, strides, output = tuple(attrs["pool"]), tuple(attrs["strides"]), problem.output_shape[1:3]
    if pool[1] == width and not any(attrs["padding"]):
        # Windows of whole rows are rows themselves.
        height, width, output = 1, height * width, (1, output[0])
        pool, strides = (1, pool[0] * pool[1]), (1, strides[0] * pool[1])
    bands = tuple(
        _bands(extent, count, size, stride, before)
        for extent, count, size, stride, before in zip(
            (height, width), output, pool, strides, attrs["padding"][:2], strict=True
        )
    )
    return _Layer(
        problem.operator == "avg_pool2d",
        (height, width),
        channels,
        (output[0], output[1]),
        (strides[0], strides[1]),
        (attrs["clamp_min"], attrs["clamp_max"]),
        (bands[0], bands[1]),
    )


def _bands(extent: int, count: int, size: int, stride: int, before: int) -> list[_Band]:
    found: list[_Band] = []
    for index in range(count):
        start = max(index * stride - before, 0)
        inside = min(index * stride - before + size, extent) - start
        last = found[-1] if found else None
        if last and last.size == inside and last.source + last.count * stride == start:
            found[-1] = _Band(last.first, last.count + 1, last.size, last.source)
        else:
            found.append(_Band(index, 1, inside, start))
    return found


def _build(layer: _Layer) -> Kernel:
    sch = dsp.schedule(drop_unit_loops(_function(layer)))
    for block, *_, window in layer.windows():
        sch.tensorize(sch.get_sblock(block), window.register())
    return Kernel(sch.mod["main"], constants={}, micro_kernels=layer.micro_kernels())


def _function(layer: _Layer) -> Any:
    (height, width), channels = layer.image, layer.channels
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer((height, width * channels), "int8"))
        output = T.arg("output", T.buffer((layer.output[0] * layer.output[1], channels), "int8"))
        with T.sblock("root"):
            sums = IRBuilder.name("sums", T.sblock_alloc_buffer((channels,), "int32"))
            for block, rows, columns, window in layer.windows():
                with T.grid(rows.count, columns.count) as (y, x), T.sblock(block):
                    vy, vx = T.axis.remap("SS", [y, x])
                    source = (
                        rows.source + vy * layer.strides[0],
                        (columns.source + vx * layer.strides[1]) * channels,
                    )
                    target = (rows.first + vy) * layer.output[1] + columns.first + vx
                    window.describe(data, output, sums, source, target)
    return builder.get()
