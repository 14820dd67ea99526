"""RVV schedule of depthwise layers on strips: rows of the image are copied with their border into scratch.

One chunk of channels after the other, so that a strip is narrow.
"""

from __future__ import annotations

from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .depthwise_layer_rvv import MAX_SCRATCH, Buffers, Chunk, DepthwiseLayer, called
from .geometry_rvv import tiles_of
from .intrinsics.rvv.depthwise import DepthwiseTile
from .kernel import Candidate, Kernel, MicroKernel
from .strip_rvv import Strip

# Bytes that a strip of several rows may take.
STRIP_BYTES = 2560


class DepthwiseStrips:
    """Strips of rows are copied with their border, for one chunk of channels after the other."""

    def __init__(self, layer: DepthwiseLayer) -> None:
        self.layer = layer
        self.geometry = layer.geometry
        widest = max(layer.chunks, key=lambda chunk: chunk.channels)
        height = self.geometry.output[0]
        fitting = [rows for rows in range(1, height + 1) if self._strip(widest, rows).scratch <= STRIP_BYTES]
        self.outputs = max(fitting, default=1)
        self.strips = {chunk: self._strip(chunk, self.outputs) for chunk in layer.chunks}

    def _strip(self, chunk: Chunk, outputs: int) -> Strip:
        nbytes = chunk.channels // self.layer.multiplier
        return Strip(f"strip_{chunk.index}", self.geometry, outputs, nbytes, self.layer.zero_point)

    @property
    def applies(self) -> bool:
        """Whether there is a border and strips are small enough."""
        return self.geometry.padded and all(strip.scratch <= MAX_SCRATCH for strip in self.strips.values())

    @property
    def instructions(self) -> float:
        """Estimate of the instructions."""
        count = -(-self.geometry.output[0] // self.outputs)
        copying = sum(chunk.count * strip.instructions(count) for chunk, strip in self.strips.items())
        rows = self.geometry.output[0]
        computing = sum(
            chunk.count * rows * called(self._tile(chunk, tiles))
            for chunk in self.strips
            for _, tiles in self._tiles
        )
        return computing + copying

    @property
    def _tiles(self) -> list[tuple[int, int]]:
        """(first column, tiles) of a row."""
        return self.layer.strips(tiles_of(self.geometry.output[1], self.layer.pixels))

    def _body(self, buffers: Buffers) -> None:
        layer, height = self.layer, self.geometry.output[0]
        for chunk, strip in self.strips.items():
            rows = strip.allocate()
            with T.serial(0, chunk.count) as c:
                channel = chunk.first // layer.multiplier + c * strip.nbytes
                strip.emit_edges(rows)
                with T.serial(0, -(-height // self.outputs)) as s:
                    first = s * self.outputs
                    if height % self.outputs:
                        first = T.min(first, height - self.outputs)
                    strip.emit_rows(rows, buffers.data, first, channel)
                    with T.serial(0, self.outputs) as line:
                        self._emit(chunk, buffers, rows, (c, first, line))

    def _tile(self, chunk: Chunk, tiles: int = 1) -> DepthwiseTile:
        nbytes = self.strips[chunk].nbytes
        step = self.geometry.dilation[1] * nbytes
        return self.layer.tile(chunk, step, self.geometry.dilation[0], nbytes, tiles)

    def _emit(self, chunk: Chunk, buffers: Buffers, strip: Any, row: tuple[Any, Any, Any]) -> None:
        """One row of the output for a vector of channels."""
        (stride_h, stride_w), (c, first, line) = self.geometry.strides, row
        nbytes = self.strips[chunk].nbytes

        def origin(_c: Any, _y: Any, vx: Any, vline: Any) -> tuple[Any, Any]:
            return vline * stride_h, vx * (stride_w * nbytes)

        for x, tiles in self._tiles:
            name, position = f"tile_{chunk.index}_{x}", (c, first + line, x, line)
            self.layer.emit_tile(name, chunk, self._tile(chunk, tiles), buffers, strip, position, origin)

    def candidate(self) -> Candidate:
        """The layer as a rule offers it."""
        adjacent = f", {self.layer.pixels} pixels" if self.layer.pixels > 1 else ""
        return Candidate(
            rule=f"RVV depthwise in strips{adjacent}",
            instructions=self.instructions,
            build=self._build,
            micro_kernels=self._micro_kernels,
            scratch=sum(strip.scratch for strip in self.strips.values()),
        )

    def _micro_kernels(self) -> tuple[MicroKernel, ...]:
        strips = [micro for strip in self.strips.values() for micro in strip.micro_kernels()]
        return (*(self._tile(chunk).micro_kernel() for chunk in self.strips), *strips)

    def _build(self) -> Kernel:
        sch = s_tir.Schedule(self.layer.function(self._body))
        for chunk, strip in self.strips.items():
            for x, tiles in self._tiles:
                block = sch.get_sblock(f"tile_{chunk.index}_{x}")
                sch.tensorize(block, self._tile(chunk, tiles).register())
            strip.tensorize(sch)
        return Kernel(sch.mod["main"], self.layer.constants, self._micro_kernels())
