"""RVV schedule of conv2d over output pixels: for layers of few channels, whose vectors of channels would be short.

Activations are transposed into planes, vectors of pixels. Either each tap of the window has its plane (any stride), or,
with a stride of one, each input channel has, and taps read it at shifted places. A tile is a group of whole output rows
or part of one row. Where windows reach over the border, rows are copied with their border first: all of a tile, or with
a plane per channel one after the other, since each is read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .classes_rvv import classify
from .geometry_rvv import Geometry, folded_bias, geometry_of
from .intrinsics.description import allocate
from .intrinsics.rvv.accumulators import NARROW, WIDE
from .intrinsics.rvv.epilogue import Parameters, fit_epilogue
from .intrinsics.rvv.memory import Transpose
from .intrinsics.rvv.pixels import PixelOperands, PixelTile
from .intrinsics.rvv.products import possible_groups
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem
from .packing_rvv import INSTRUCTIONS_PER_CALL
from .parts import Parts
from .strip_rvv import Strip

# Bytes of scratch for strip and planes.
MAX_SCRATCH = 5 * 1024
# Calling a tile and counting channels, measured.
INSTRUCTIONS_PER_TILE = 14.0


def schedule_conv2d_pixels_rvv(problem: Problem) -> Candidate | None:
    """Schedule conv2d on cores with RVV; None for other operators and cores, factors of 1 and more, large windows."""
    if problem.operator != "conv2d" or "rvv" not in problem.features:
        return None
    geometry = geometry_of(problem)
    if geometry is None:
        return None
    parameters = fit_epilogue(problem.constants, problem.attrs, folded_bias(problem), geometry.window)
    if parameters is None:
        return None
    layers = [_Layer(problem, geometry, parameters, shape) for shape in _shapes(geometry)]
    fitting = [layer for layer in layers if layer.scratch <= MAX_SCRATCH]
    return min(fitting, key=lambda layer: layer.parts.total).candidate() if fitting else None


@dataclass(frozen=True)
class Shape:
    """How the output is divided: tiles of `rows` by `columns` pixels; planes per tap or per input channel."""

    rows: int
    columns: int
    per_tap: bool


def _shapes(geometry: Geometry) -> Iterator[Shape]:
    height, width = geometry.output
    for lanes in (WIDE, NARROW):
        parts = -(-width // lanes)
        columns = -(-width // parts)
        for rows in range(1, height + 1 if parts == 1 else 2):
            if rows * columns <= lanes:
                yield Shape(rows, columns, per_tap=True)
    if geometry.strides == (1, 1) and geometry.kernel != (1, 1):
        pitch = Strip("", geometry, 1, 1, 0).columns
        for rows in range(1, height + 1):
            if (rows - 1) * pitch + width <= WIDE and pitch <= WIDE:
                yield Shape(rows, width, per_tap=False)


class _Layer:
    """One layer in one shape on its way to a kernel."""

    def __init__(self, problem: Problem, geometry: Geometry, parameters: Parameters, shape: Shape) -> None:
        self.geometry = geometry
        self.shape = shape
        self.epilogue = parameters.epilogue
        self.channels = problem.output_shape[3]
        self.strip = Strip(
            "strip", geometry, shape.rows, geometry.depth, int(problem.attrs["input_zero_point"])
        )
        positions = 1 if shape.per_tap else geometry.kernel[0] * geometry.kernel[1]
        weight = problem.constants["weight"].reshape(self.channels, positions, -1)
        down, across = self._groups
        most = 2 if self._lanes <= NARROW and self.channels > 1 else 1
        self.per_tile = most
        possible = possible_groups(weight)
        if most == 2:
            # The two channels of a tile are adjacent in the output.
            possible[:] = possible.min()
        executions = problem.calls * down * across / most
        self.classes = classify(possible, lambda group: self.tile(group).assemble(), executions)
        order = np.array([channel for entry in self.classes for channel in entry.channels])
        rows = [weight[order].reshape(self.channels, -1), parameters.shift[order, None].astype(np.int8)]
        self.constants: dict[str, Array] = {
            "weight": np.ascontiguousarray(np.concatenate(rows, 1)),
            "table": parameters.factors(order),
        }
        if len(self.classes) > 1:
            self.constants["order"] = order.astype(np.int16)

    @property
    def _pitch(self) -> int:
        """Lanes from row to row of a tile."""
        return self.shape.columns if self.shape.per_tap else self.strip.columns

    @property
    def _lanes(self) -> int:
        return (self.shape.rows - 1) * self._pitch + self.shape.columns

    def tile(self, group: int) -> PixelTile:
        """Shape of the tiles of a class of channels."""
        geometry, shape, pitch = self.geometry, self.shape, self._pitch
        return PixelTile(
            rows=1 if shape.per_tap else shape.rows,
            columns=self._lanes if shape.per_tap else shape.columns,
            pitch=pitch,
            channels=self.per_tile,
            taps=geometry.window if shape.per_tap else geometry.depth,
            kernel=(1, 1) if shape.per_tap else geometry.kernel,
            row_step=0 if shape.per_tap else geometry.dilation[0] * pitch,
            column_step=0 if shape.per_tap else geometry.dilation[1],
            group=group,
            epilogue=self.epilogue,
        )

    @property
    def _planes(self) -> tuple[int, int]:
        """Planes and bytes of each."""
        if self.shape.per_tap:
            return self.geometry.window, self.shape.rows * self.shape.columns
        return self.geometry.depth, self.strip.rows * self.strip.columns

    @property
    def _transpose(self) -> Transpose:
        geometry, depth = self.geometry, self.geometry.depth
        if not self.shape.per_tap:
            return Transpose(self.strip.columns, depth, depth)
        adjacent = geometry.kernel[1] if geometry.dilation[1] == 1 else 1
        return Transpose(self.shape.columns, adjacent * depth, geometry.strides[1] * depth)

    @property
    def _transposes(self) -> tuple[int, int, int]:
        """Loops of transpositions that fill the planes: rows, kernel rows and columns, or rows alone."""
        if not self.shape.per_tap:
            return self.strip.rows, 1, 1
        kernel_h, kernel_w = self.geometry.kernel
        return self.shape.rows, kernel_h, kernel_w if self.geometry.dilation[1] > 1 else 1

    @property
    def scratch(self) -> int:
        """Bytes of strip and planes."""
        planes, nbytes = self._planes
        return planes * nbytes + (self._copied_rows * self.strip.row_bytes if self._copies else 0)

    @property
    def _copies(self) -> bool:
        """Whether rows are copied with their border; planes per channel need rows of that length anyway."""
        return self.geometry.padded

    @property
    def _copied_rows(self) -> int:
        """Rows that are there at once with their border."""
        return self.strip.rows if self.shape.per_tap else 1

    @property
    def _groups(self) -> tuple[int, int]:
        """Tiles down and across."""
        height, width = self.geometry.output
        return -(-height // self.shape.rows), -(-width // self.shape.columns)

    @cached_property
    def parts(self) -> Parts:
        """Estimate of the instructions."""
        down, across = self._groups
        calls = int(np.prod(self._transposes))
        transposes = calls * (self._transpose.assemble().executed + INSTRUCTIONS_PER_CALL)
        tiles = Parts(copies=transposes)
        for entry in self.classes:
            tile = self.tile(entry.group).assemble().parts + Parts(calls=INSTRUCTIONS_PER_TILE)
            tiles += tile * -(-len(entry.channels) // self.per_tile)
        copies = self.strip.instructions(down, self._copied_rows) if self._copies else 0.0
        return Parts(copies=copies) + tiles * (down * across)

    def candidate(self) -> Candidate:
        """The layer as a rule offers it."""
        rule = "RVV conv2d, vectors of pixels"
        return Candidate(
            rule, self.parts.total, self._build, self._micro_kernels, self.scratch, parts=self.parts
        )

    def _micro_kernels(self) -> tuple[MicroKernel, ...]:
        tiles = [self.tile(entry.group).micro_kernel() for entry in self.classes]
        copies = self.strip.micro_kernels() if self._copies else ()
        return (self._transpose.micro_kernel(), *tiles, *copies)

    def _build(self) -> Kernel:
        sch = s_tir.Schedule(self._function())
        sch.tensorize(sch.get_sblock("planes"), self._transpose.register())
        for entry in self.classes:
            sch.tensorize(sch.get_sblock(f"tile_{entry.group}"), self.tile(entry.group).register())
        if self._copies:
            self.strip.tensorize(sch)
        return Kernel(sch.mod["main"], self.constants, self._micro_kernels())

    def _function(self) -> Any:
        geometry, shape = self.geometry, self.shape
        height, width = geometry.output
        down, across = self._groups
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            data = T.arg("data", T.buffer((geometry.height, geometry.width * geometry.depth), "int8"))
            weight = T.arg("weight", T.buffer((self.channels, geometry.window + 1), "int8"))
            table = T.arg("table", T.buffer((self.channels, 2), "int32"))
            order = None
            if "order" in self.constants:
                order = T.arg("order", T.buffer((self.channels,), "int16"))
            output = T.arg("output", T.buffer((height * width, self.channels), "int8"))
            with T.sblock("root"):
                planes = allocate("planes", self._planes)
                sums = allocate("sums", (self.per_tile, self._lanes), "int32")
                rows = data
                if self._copies:
                    rows = self.strip.allocate(self._copied_rows)
                    self.strip.emit_edges(rows, self._copied_rows)
                with T.serial(0, down) as d:
                    y = T.min(d * shape.rows, height - shape.rows) if height % shape.rows else d * shape.rows
                    if self._copies and shape.per_tap:
                        self.strip.emit_rows(rows, data, y, 0)
                    top = 0 if self._copies else y * geometry.strides[0]
                    with T.serial(0, across) as a:
                        x = T.min(a * shape.columns, width - shape.columns)
                        if self._copies and not shape.per_tap:
                            self._emit_planes_by_row(planes, rows, data, y)
                        else:
                            self._emit_planes(planes, rows, top, x * geometry.strides[1])
                        operands = PixelOperands(planes, weight, table, sums, output)
                        self._emit_tiles(operands, order, y * width + x)
        return builder.get()

    def _emit_planes(self, planes: Any, rows: Any, top: Any, left: Any) -> None:
        """Transpose the rows from (top, left) on into planes."""
        geometry, transpose, shape = self.geometry, self._transpose, self.shape
        loops = self._transposes
        height, nbytes = (int(extent) for extent in rows.shape)
        with T.grid(*loops) as (r, ky, kx):
            y = top + (r * geometry.strides[0] + ky * geometry.dilation[0] if shape.per_tap else r)
            x = (left + kx * geometry.dilation[1]) * geometry.depth
            with T.sblock("planes"):
                vr, vky, vkx = (T.axis.spatial(n, v) for n, v in zip(loops, (r, ky, kx), strict=True))
                vy, vx = T.axis.spatial(height, y), T.axis.spatial(nbytes, x)
                if shape.per_tap:
                    plane = (vky * geometry.kernel[1] + vkx) * geometry.depth
                    transpose.block(planes, (plane, vr * shape.columns), rows, (vy, vx))
                else:
                    transpose.block(planes, (0, vr * self.strip.columns), rows, (vy, vx))

    def _emit_planes_by_row(self, planes: Any, row: Any, data: Any, first: Any) -> None:
        """Transpose the rows that output row `first` and those of its tile read; each is copied to `row` before."""
        with T.serial(0, self.strip.rows) as r:
            self.strip.emit_row(row, 0, data, first, r, 0)
            with T.sblock("planes"):
                vr = T.axis.spatial(self.strip.rows, r)
                self._transpose.block(planes, (0, vr * self.strip.columns), row, (0, 0))

    def _emit_tiles(self, operands: PixelOperands, order: Any, pixel: Any) -> None:
        """All channels of the pixels from `pixel` on."""
        pixels, first = self.geometry.output[0] * self.geometry.output[1], 0
        for entry in self.classes:
            count, most = len(entry.channels), self.per_tile
            with T.serial(0, -(-count // most)) as n, T.sblock(f"tile_{entry.group}"):
                channel = first + T.min(n * most, count - most)
                place = channel if order is None else T.Cast("int32", order[channel])
                vn, vo = T.axis.spatial(self.channels, channel), T.axis.spatial(self.channels, place)
                vp = T.axis.spatial(pixels, pixel)
                self.tile(entry.group).block(replace(operands, channel=vn, output_at=(vp, vo)))
            first += count
