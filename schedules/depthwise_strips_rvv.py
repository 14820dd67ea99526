"""RVV schedule of depthwise layers on strips: rows of the image are copied with their border into scratch.

One vector of channels after the other, so that a strip is narrow.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .depthwise_layer_rvv import MAX_SCRATCH, Buffers, DepthwiseLayer, called
from .geometry_rvv import tiles_of
from .intrinsics.rvv.depthwise import DepthwiseTile
from .kernel import Candidate, Kernel, MicroKernel
from .parts import Parts
from .strip_rvv import Strip

# Bytes that a strip of several rows may take.
STRIP_BYTES = 2560


class DepthwiseStrips:
    """Strips of rows are copied with their border, for one vector of channels after the other."""

    def __init__(self, layer: DepthwiseLayer) -> None:
        self.layer = layer
        self.geometry = layer.geometry
        height = self.geometry.output[0]
        fitting = [rows for rows in range(1, height + 1) if self._strip(rows).scratch <= STRIP_BYTES]
        self.outputs = max(fitting, default=1)
        self.strip = self._strip(self.outputs)

    def _strip(self, outputs: int) -> Strip:
        return Strip("strip", self.geometry, outputs, self.layer.inputs, self.layer.zero_point)

    @property
    def applies(self) -> bool:
        """Whether there is a border and strips are small enough."""
        return self.geometry.padded and self.strip.scratch <= MAX_SCRATCH

    @cached_property
    def parts(self) -> Parts:
        """Estimate of the instructions."""
        rows = self.geometry.output[0]
        copying = Parts(copies=self.strip.instructions(-(-rows // self.outputs)))
        row = sum((called(self._tile(tiles)) for _, tiles in self._tiles), Parts())
        return (copying + row * rows) * self.layer.count

    @property
    def _tiles(self) -> list[tuple[int, int]]:
        """(first column, tiles) of a row."""
        return self.layer.strips(tiles_of(self.geometry.output[1], self.layer.pixels))

    def _body(self, buffers: Buffers) -> None:
        height = self.geometry.output[0]
        rows = self.strip.allocate()
        self.strip.emit_edges(rows)
        with T.grid(self.layer.count, -(-height // self.outputs)) as (v, s):
            channel, first = self.layer.first(v), s * self.outputs
            if height % self.outputs:
                first = T.min(first, height - self.outputs)
            self.strip.emit_rows(rows, buffers.data, first, channel)
            with T.serial(0, self.outputs) as line:
                self._emit(buffers, rows, (channel, first, line))

    def _tile(self, tiles: int = 1) -> DepthwiseTile:
        nbytes = self.layer.inputs
        return self.layer.tile(self.geometry.dilation[1] * nbytes, self.geometry.dilation[0], nbytes, tiles)

    def _emit(self, buffers: Buffers, strip: Any, row: tuple[Any, Any, Any]) -> None:
        """One row of the output for a vector of channels."""
        (stride_h, stride_w), (channel, first, line) = self.geometry.strides, row

        def origin(_c: Any, _y: Any, vx: Any, vline: Any) -> tuple[Any, Any]:
            return vline * stride_h, vx * (stride_w * self.layer.inputs)

        for x, tiles in self._tiles:
            position = (channel, first + line, x, line)
            self.layer.emit_tile(f"tile_{x}", self._tile(tiles), buffers, strip, position, origin)

    def candidate(self) -> Candidate:
        """The layer as a rule offers it."""
        adjacent = f", {self.layer.pixels} pixels" if self.layer.pixels > 1 else ""
        return Candidate(
            rule=f"RVV depthwise in strips{adjacent}",
            instructions=self.parts.total,
            parts=self.parts,
            build=self._build,
            micro_kernels=self._micro_kernels,
            scratch=self.strip.scratch,
        )

    def _micro_kernels(self) -> tuple[MicroKernel, ...]:
        return (self._tile().micro_kernel(), *self.strip.micro_kernels())

    def _build(self) -> Kernel:
        sch = s_tir.Schedule(self.layer.function(self._body))
        for x, tiles in self._tiles:
            sch.tensorize(sch.get_sblock(f"tile_{x}"), self._tile(tiles).register())
        self.strip.tensorize(sch)
        return Kernel(sch.mod["main"], self.layer.constants, self._micro_kernels())
