"""RVV schedule of conv2d over output pixels: for layers of few channels, whose vectors of channels would be short.

Activations are transposed into planes, vectors of pixels. Either each tap of the window has its plane (any stride), or,
with a stride of one, each input channel has, and taps read it at shifted places. A tile is a group of whole output rows
or part of one row. Where windows reach over the border, a strip of rows is copied with its border first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .geometry_rvv import Geometry, folded_bias, geometry_of
from .intrinsics.rvv.accumulators import NARROW, WIDE
from .intrinsics.rvv.description import allocate
from .intrinsics.rvv.epilogue import Parameters, fit_epilogue
from .intrinsics.rvv.memory import Transpose
from .intrinsics.rvv.pixels import PixelOperands, PixelTile
from .intrinsics.rvv.products import largest_group
from .kernel import Array, Kernel, Problem
from .packing_rvv import INSTRUCTIONS_PER_CALL
from .strip_rvv import Strip

# Bytes of scratch for strip and planes.
MAX_SCRATCH = 5 * 1024
# Calling a tile and counting channels, measured.
INSTRUCTIONS_PER_TILE = 14.0


def schedule_conv2d_pixels_rvv(problem: Problem) -> Kernel | None:
    """Schedule conv2d on cores with RVV; None for other operators and cores, factors of 1 and more, large windows."""
    if problem.operator != "conv2d" or "rvv" not in problem.features:
        return None
    geometry = geometry_of(problem)
    if geometry is None:
        return None
    parameters = fit_epilogue(problem.constants, problem.attrs, folded_bias(problem))
    if parameters is None:
        return None
    layers = [_Layer(problem, geometry, parameters, shape) for shape in _shapes(geometry)]
    fitting = [layer for layer in layers if layer.scratch <= MAX_SCRATCH]
    return min(fitting, key=lambda layer: layer.cost).kernel() if fitting else None


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
        self.group = largest_group(weight)
        self.constants: dict[str, Array] = {
            "weight": weight.reshape(self.channels, -1),
            "table": np.ascontiguousarray(parameters.table.T),
        }

    @property
    def tile(self) -> PixelTile:
        """Shape of the tiles."""
        geometry, shape = self.geometry, self.shape
        pitch = shape.columns if shape.per_tap else self.strip.columns
        lanes = (shape.rows - 1) * pitch + shape.columns
        return PixelTile(
            rows=1 if shape.per_tap else shape.rows,
            columns=lanes if shape.per_tap else shape.columns,
            pitch=pitch,
            channels=2 if lanes <= NARROW and self.channels > 1 else 1,
            taps=geometry.window if shape.per_tap else geometry.depth,
            kernel=(1, 1) if shape.per_tap else geometry.kernel,
            row_step=0 if shape.per_tap else geometry.dilation[0] * pitch,
            column_step=0 if shape.per_tap else geometry.dilation[1],
            group=self.group,
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
        return planes * nbytes + (self.strip.scratch if self._copies else 0)

    @property
    def _copies(self) -> bool:
        """Whether rows are copied with their border; planes per channel need rows of that length anyway."""
        return self.geometry.padded

    @property
    def _groups(self) -> tuple[int, int]:
        """Tiles down and across."""
        height, width = self.geometry.output
        return -(-height // self.shape.rows), -(-width // self.shape.columns)

    @property
    def cost(self) -> float:
        """Estimate of the instructions."""
        down, across = self._groups
        tile = self.tile
        total = self.strip.instructions(down) if self._copies else 0.0
        calls = int(np.prod(self._transposes))
        total += down * across * calls * (self._transpose.assemble().executed + INSTRUCTIONS_PER_CALL)
        products = -(-self.channels // tile.channels) * (tile.assemble().executed + INSTRUCTIONS_PER_TILE)
        return total + down * across * products

    def kernel(self) -> Kernel:
        """The scheduled function with everything it needs."""
        sch = s_tir.Schedule(self._function())
        sch.tensorize(sch.get_sblock("tile"), self.tile.register())
        sch.tensorize(sch.get_sblock("planes"), self._transpose.register())
        micro_kernels = [self.tile.micro_kernel(), self._transpose.micro_kernel()]
        if self._copies:
            micro_kernels += self.strip.tensorize(sch)
        return Kernel(
            rule="RVV conv2d, vectors of pixels",
            function=sch.mod["main"],
            constants=self.constants,
            instructions=self.cost,
            micro_kernels=tuple(micro_kernels),
        )

    def _function(self) -> Any:
        geometry, shape, tile = self.geometry, self.shape, self.tile
        height, width = geometry.output
        down, across = self._groups
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            data = T.arg("data", T.buffer((geometry.height, geometry.width * geometry.depth), "int8"))
            weight = T.arg("weight", T.buffer((self.channels, geometry.window), "int8"))
            table = T.arg("table", T.buffer((self.channels, 3), "int32"))
            output = T.arg("output", T.buffer((height * width, self.channels), "int8"))
            with T.sblock("root"):
                planes = allocate("planes", self._planes)
                sums = allocate("sums", (tile.channels, tile.lanes), "int32")
                rows = data
                if self._copies:
                    rows = self.strip.allocate()
                    self.strip.emit_edges(rows)
                with T.serial(0, down) as d:
                    y = T.min(d * shape.rows, height - shape.rows) if height % shape.rows else d * shape.rows
                    if self._copies:
                        self.strip.emit_rows(rows, data, y, 0)
                    top = 0 if self._copies else y * geometry.strides[0]
                    with T.serial(0, across) as a:
                        x = T.min(a * shape.columns, width - shape.columns)
                        self._emit_planes(planes, rows, top, x * geometry.strides[1])
                        operands = PixelOperands(planes, weight, table, sums, output)
                        self._emit_tiles(operands, y * width + x)
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

    def _emit_tiles(self, operands: PixelOperands, pixel: Any) -> None:
        """All channels of the pixels from `pixel` on."""
        tile, pixels = self.tile, self.geometry.output[0] * self.geometry.output[1]
        with T.serial(0, -(-self.channels // tile.channels)) as n, T.sblock("tile"):
            vn = T.axis.spatial(self.channels, T.min(n * tile.channels, self.channels - tile.channels))
            vp = T.axis.spatial(pixels, pixel)
            tile.block(
                PixelOperands(
                    operands.data,
                    operands.weight,
                    operands.table,
                    operands.sums,
                    operands.output,
                    channel=vn,
                    output_at=(vp, vn),
                )
            )
