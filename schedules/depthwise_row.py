"""Scalar schedule of depthwise_conv2d for windows of any size: one channel, some outputs of a row at a time.

The weights of a window pass through the registers row by row, so only their width is limited. Rows of the window
outside the image are skipped: output rows that see the same rows of the window share a loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.rv32_assembly import Epilogue, OutOfRegistersError
from .intrinsics.scalar_depthwise import StripOperands
from .intrinsics.scalar_depthwise_row import DepthwiseRow
from .intrinsics.thumb2_depthwise_row import most_outputs
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem
from .parts import Parts
from .requantize import accumulator_range
from .requantize_scalar import ScalarRequantization, choose
from .tensor_ir import drop_unit_loops

# Outputs of a row whose sums fit the registers of RV32 beside up to seven weights.
LONGEST = 12
# Of the loops around a call, and of what passes its arguments; measured on Cortex-M3 and RV32.
INSTRUCTIONS_PER_CALL = 14.0


def schedule_depthwise_row(problem: Problem) -> Candidate | None:
    """Schedule depthwise_conv2d without dilation; None otherwise."""
    if problem.operator != "depthwise_conv2d" or "thumb1" in problem.features:
        return None
    attrs = problem.attrs
    _, kernel_h, kernel_w, _ = problem.shapes["weight"]
    top, left, bottom, right = attrs["padding"]
    if kernel_w > problem.shapes["data"][2]:
        # Guards of windows that are wider than the image are simplified in different ways.
        return None
    # A window that misses the image altogether has no rows or columns to loop over.
    if tuple(attrs["dilation"]) != (1, 1) or max(top, bottom) >= kernel_h or max(left, right) >= kernel_w:
        return None
    reach = accumulator_range(
        problem.constants["weight"], problem.constants["bias"], attrs["input_zero_point"], channel_axis=3
    )
    form = choose(problem.constants, attrs, reach)
    if form is None:
        return None
    layer = _Layer(problem, form.epilogue(attrs))
    try:
        layer.micro_kernels()
    except OutOfRegistersError:
        return None
    return Candidate(
        rule="scalar depthwise rows",
        instructions=layer.parts.total,
        parts=layer.parts,
        build=lambda: _build(layer, problem.constants["weight"], form),
        micro_kernels=layer.micro_kernels,
    )


def _build(layer: _Layer, weight: Array, form: ScalarRequantization) -> Kernel:
    sch = s_tir.Schedule(drop_unit_loops(layer.function()))
    for band in layer.bands():
        for tile in layer.tiles():
            sch.tensorize(sch.get_sblock(f"row_{band.first}_{tile.first}"), tile.row.register(band.rows))
    return Kernel(sch.mod["main"], form.constants_by_channel(weight), layer.micro_kernels())


@dataclass(frozen=True)
class _Band:
    """Output rows that see the same rows of the window: `count` from `first` on, `rows` rows from `top` on."""

    first: int
    count: int
    top: int
    rows: int


@dataclass(frozen=True)
class _Tile:
    """Outputs of a row from `first` on; their windows enter the image at `column`."""

    first: int
    column: int
    row: DepthwiseRow


@dataclass(frozen=True)
class _Layer:
    problem: Problem
    epilogue: Epilogue

    def bands(self) -> Iterator[_Band]:
        """All output rows, in order."""
        height, rows = self.problem.shapes["data"][1], self.problem.output_shape[1]
        seen = [self._seen(row, height) for row in range(rows)]
        first = 0
        for row in range(1, rows + 1):
            if row == rows or seen[row] != seen[first]:
                yield _Band(first, row - first, *seen[first])
                first = row

    def _seen(self, row: int, height: int) -> tuple[int, int]:
        attrs, kernel_h = self.problem.attrs, self.problem.shapes["weight"][1]
        origin = row * attrs["strides"][0] - attrs["padding"][0]
        first = max(-origin, 0)
        return first, min(kernel_h, height - origin) - first

    @property
    def longest(self) -> int:
        """Outputs of a row whose sums fit the registers beside the weights."""
        return LONGEST if self.problem.is_scalar_rv32 else most_outputs(self.problem.shapes["weight"][2])

    def tiles(self) -> Iterator[_Tile]:
        """Equal parts of a row of outputs, and what is left."""
        attrs, width = self.problem.attrs, self.problem.shapes["data"][2]
        kernel_w, stride, outputs = (
            self.problem.shapes["weight"][2],
            attrs["strides"][1],
            self.problem.output_shape[2],
        )
        parts = -(-outputs // self.longest)
        size = -(-outputs // parts)
        for first in range(0, outputs, size):
            origin = first * stride - attrs["padding"][1]
            left = max(-origin, 0)
            count = min(size, outputs - first)
            reached = (count - 1) * stride + kernel_w - left
            row = DepthwiseRow(
                kernel_w=kernel_w,
                stride=stride,
                outputs=count,
                left=left,
                width=min(width - origin - left, reached),
                pitch=self.problem.shapes["data"][3],
                output_pitch=self.problem.output_shape[3],
                row_pitch=width * self.problem.shapes["data"][3],
                zero_point=attrs["input_zero_point"],
                epilogue=self.epilogue,
            )
            yield _Tile(first, origin + left, row)

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """One per kind of tile; raises OutOfRegistersError when RV32 cannot do one."""
        return tuple({tile.row.name: tile.row.micro_kernel() for tile in self.tiles()}.values())

    @cached_property
    def parts(self) -> Parts:
        """Estimate for the layer."""
        images, *_, channels = self.problem.output_shape
        rv32 = self.problem.is_scalar_rv32
        called = Parts(calls=INSTRUCTIONS_PER_CALL)
        rows = (
            (called + tile.row.parts(band.rows, rv32=rv32)) * band.count
            for tile in self.tiles()
            for band in self.bands()
        )
        return sum(rows, Parts()) * (images * channels)

    def function(self) -> Any:
        """TensorIR of the layer."""
        problem, attrs = self.problem, self.problem.attrs
        images, height, width, depth = problem.shapes["data"]
        _, kernel_h, kernel_w, channels = problem.shapes["weight"]
        _, rows, columns, _ = problem.output_shape
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            data = T.arg("data", T.buffer((images * height, width * depth), "int8"))
            weight = T.arg("weight", T.buffer((channels, kernel_h * kernel_w), "int8"))
            factors = T.arg("factors", T.buffer((channels, 2), "int32"))
            fine = T.arg("fine", T.buffer((channels,), self.epilogue.fine_type))
            output = T.arg("output", T.buffer((images * rows, columns * channels), "int8"))
            with T.sblock("root"), T.grid(images, channels) as (image, channel):
                for band in self.bands():
                    for tile in self.tiles():
                        sums = T.sblock_alloc_buffer((1, tile.row.outputs), "int32")
                        with T.serial(0, band.count) as step, T.sblock(f"row_{band.first}_{tile.first}"):
                            vn, vc = T.axis.spatial(images, image), T.axis.spatial(channels, channel)
                            vy = band.first + T.axis.spatial(band.count, step)
                            top = vy * attrs["strides"][0] - attrs["padding"][0]
                            origin = (vn * height + top + band.top, tile.column * depth)
                            operands = StripOperands(
                                data=data,
                                weight=weight,
                                factors=factors,
                                fine=fine,
                                sums=sums,
                                output=output,
                                data_at=(origin[0], origin[1] + vc // attrs["depth_multiplier"]),
                                weight_at=(vc, band.top * kernel_w),
                                channel=vc,
                                output_at=(vn * rows + vy, tile.first * channels + vc),
                            )
                            tile.row.block(operands, band.rows)
        return builder.get()
