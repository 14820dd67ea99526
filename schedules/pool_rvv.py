"""RVV schedule of average and maximum pooling, all channels of a window at a time.

Where windows reach over the border, rows are copied with one that changes no result: zeros for sums, the lowest value
for maxima. Averages are divided by the number of elements inside the image.
"""

from __future__ import annotations

from typing import Any, Literal

from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .geometry_rvv import Geometry
from .intrinsics.description import allocate
from .intrinsics.rvv.pool import MAX_COLUMNS, PoolTile
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .packing_rvv import INSTRUCTIONS_PER_CALL
from .strip_rvv import Strip

# Bytes of scratch for rows with their border.
MAX_SCRATCH = 5 * 1024


def schedule_pool_rvv(problem: Problem) -> Candidate | None:
    """Schedule avg_pool2d and max_pool2d on cores with RVV; None for the rest, for batches and very wide windows."""
    if "rvv" not in problem.features or problem.operator not in ("avg_pool2d", "max_pool2d"):
        return None
    (batch, height, width, depth), attrs = problem.shapes["data"], problem.attrs
    geometry = Geometry(
        height,
        width,
        depth,
        tuple(attrs["pool"]),
        tuple(attrs["strides"]),
        (1, 1),
        tuple(attrs["padding"]),
        (problem.output_shape[1], problem.output_shape[2]),
    )
    layer = _Layer(problem, geometry)
    if batch != 1 or geometry.kernel[1] > MAX_COLUMNS or layer.scratch > MAX_SCRATCH:
        return None
    return Candidate(
        rule=f"RVV {problem.operator}",
        instructions=layer.instructions,
        build=layer.build,
        micro_kernels=layer.micro_kernels,
        scratch=layer.scratch,
    )


class _Layer:
    """A pooling layer on its way to a kernel."""

    def __init__(self, problem: Problem, geometry: Geometry) -> None:
        self.geometry = geometry
        kind: Literal["max", "average"] = "max" if problem.operator == "max_pool2d" else "average"
        low, high = problem.attrs["clamp_min"], problem.attrs["clamp_max"]
        self.tile = PoolTile(kind, *geometry.kernel, geometry.depth, low, high)
        self.strip = Strip("strip", geometry, 1, geometry.depth, -128 if kind == "max" else 0)

    @property
    def scratch(self) -> int:
        """Bytes of the rows with their border."""
        return self.strip.scratch if self.geometry.padded else 0

    @property
    def instructions(self) -> float:
        """Estimate of the instructions."""
        rows, columns = self.geometry.output
        copying = self.strip.instructions(rows) if self.geometry.padded else 0.0
        return copying + rows * columns * (self.tile.assemble().executed + INSTRUCTIONS_PER_CALL)

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """What the loops call."""
        copies = self.strip.micro_kernels() if self.geometry.padded else ()
        return (self.tile.micro_kernel(), *copies)

    def build(self) -> Kernel:
        """The kernel."""
        sch = s_tir.Schedule(self._function())
        sch.tensorize(sch.get_sblock("window"), self.tile.register())
        if self.geometry.padded:
            self.strip.tensorize(sch)
        return Kernel(sch.mod["main"], {}, self.micro_kernels())

    def _function(self) -> Any:
        geometry = self.geometry
        (rows, columns), depth = geometry.output, geometry.depth
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            data = T.arg("data", T.buffer((geometry.height, geometry.width * depth), "int8"))
            output = T.arg("output", T.buffer((rows * columns, depth), "int8"))
            with T.sblock("root"):
                count = allocate("count", (1, 1), "int32")
                reduced = allocate("reduced", (1, depth), "int32")
                image = data
                if geometry.padded:
                    image = self.strip.allocate()
                    self.strip.emit_edges(image)
                with T.serial(0, rows) as y:
                    if geometry.padded:
                        self.strip.emit_rows(image, data, y, 0)
                    with T.serial(0, columns) as x:
                        if self.tile.kind == "average":
                            self._emit_count(count, y, x)
                        with T.sblock("window"):
                            vy, vx = T.axis.spatial(rows, y), T.axis.spatial(columns, x)
                            top = 0 if geometry.padded else vy * geometry.strides[0]
                            at = (top, vx * (geometry.strides[1] * depth))
                            self.tile.block(image, count, reduced, output, at, vy * columns + vx)
        return builder.get()

    def _emit_count(self, count: Any, y: Any, x: Any) -> None:
        """How many elements of the window lie inside the image."""
        geometry = self.geometry
        with T.sblock("count"):
            vy, vx = (T.axis.spatial(n, v) for n, v in zip(geometry.output, (y, x), strict=True))
            T.reads()
            T.writes(count[0:1, 0:1])
            inside = 1
            extents = (geometry.height, geometry.width)
            for axis, index in enumerate((vy, vx)):
                first = index * geometry.strides[axis] - geometry.padding[axis]
                end = T.min(first + geometry.kernel[axis], extents[axis])
                inside = inside * (end - T.max(first, 0) if any(geometry.padding) else geometry.kernel[axis])
            T.buffer_store(count, inside, [0, 0])
