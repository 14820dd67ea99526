"""RVV schedule of depthwise layers on strips: rows of the image are copied with their border into scratch.

One chunk of channels after the other, so that a strip is narrow. What lies left and right of the image is set once
per chunk; rows above and below it are set when a strip reaches them.
"""

from __future__ import annotations

from typing import Any

from tvm import s_tir, tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .depthwise_layer_rvv import MAX_SCRATCH, Buffers, Chunk, DepthwiseLayer
from .intrinsics.rvv.depthwise import DepthwiseTile
from .intrinsics.rvv.memory import Copy, Fill
from .kernel import Kernel, MicroKernel
from .packing_rvv import INSTRUCTIONS_PER_CALL

# Bytes that a strip of several rows may take.
STRIP_BYTES = 2560


class DepthwiseStrips:
    """Strips of rows are copied with their border, for one chunk of channels after the other."""

    def __init__(self, layer: DepthwiseLayer) -> None:
        self.layer = layer
        self.geometry = layer.geometry
        self.outputs = self._output_rows()

    @property
    def _columns(self) -> int:
        """Pixels of a strip's row: the image's, and the border's as far as windows reach."""
        geometry = self.geometry
        reach = (
            (geometry.output[1] - 1) * geometry.strides[1]
            + (geometry.kernel[1] - 1) * geometry.dilation[1]
            + 1
        )
        return max(reach, geometry.padding[1] + geometry.width)

    def _rows(self, outputs: int) -> int:
        """Rows of a strip for so many rows of the output."""
        geometry = self.geometry
        return (outputs - 1) * geometry.strides[0] + (geometry.kernel[0] - 1) * geometry.dilation[0] + 1

    @property
    def _nbytes(self) -> int:
        """Channels of a chunk in the input."""
        return max(chunk.channels for chunk in self.layer.chunks) // self.layer.multiplier

    def _output_rows(self) -> int:
        """Rows of the output per strip: as many as its scratch allows, one at least."""
        row = self._columns * self._nbytes
        fitting = [n for n in range(1, self.geometry.output[0] + 1) if self._rows(n) * row <= STRIP_BYTES]
        return max(fitting, default=1)

    @property
    def applies(self) -> bool:
        """Whether there is a border and a strip is small enough."""
        return self.geometry.padded and self._rows(self.outputs) * self._columns * self._nbytes <= MAX_SCRATCH

    def _copy(self, chunk: Chunk) -> Copy:
        """The copy of a row of the image."""
        depth, nbytes = self.geometry.depth, chunk.channels // self.layer.multiplier
        if nbytes == depth:
            return Copy(self.geometry.width * depth)
        return Copy(nbytes, self.geometry.width, depth)

    def _fills(self, chunk: Chunk) -> dict[str, Fill]:
        """What is set to the zero point: rows outside the image, and the columns left and right of it."""
        nbytes, left = chunk.channels // self.layer.multiplier, self.geometry.padding[1]
        columns = {"no_row": self._columns, "left": left, "right": self._columns - left - self.geometry.width}
        return {
            name: Fill(count * nbytes, self.layer.zero_point) for name, count in columns.items() if count > 0
        }

    @property
    def cost(self) -> float:
        """Estimate of the instructions."""
        strips = -(-self.geometry.output[0] // self.outputs)
        rows = self._rows(self.outputs)
        total = self.layer.computing
        for chunk in self.layer.chunks:
            row = self._copy(chunk).assemble().executed + INSTRUCTIONS_PER_CALL
            edges = sum(
                fill.assemble().executed + INSTRUCTIONS_PER_CALL
                for name, fill in self._fills(chunk).items()
                if name != "no_row"
            )
            total += chunk.count * rows * (strips * row + edges)
        return total

    def _body(self, buffers: Buffers) -> None:
        layer, geometry = self.layer, self.geometry
        height, columns = geometry.output
        rows, top = self._rows(self.outputs), geometry.padding[0]
        for chunk in layer.chunks:
            nbytes = chunk.channels // layer.multiplier
            strip = T.sblock_alloc_buffer((rows, self._columns * nbytes), "int8")
            with T.serial(0, chunk.count) as c:
                channel = chunk.first // layer.multiplier + c * nbytes
                self._edges(chunk, strip, rows, nbytes)
                with T.serial(0, -(-height // self.outputs)) as s:
                    first = (
                        T.min(s * self.outputs, height - self.outputs)
                        if height % self.outputs
                        else s * self.outputs
                    )
                    with T.serial(0, rows) as r:
                        y = first * geometry.strides[0] - top + r
                        with T.If(tirx.all(y >= 0, y < geometry.height)):
                            with T.Then(), T.sblock(f"row_{chunk.index}"):
                                vr, vy = T.axis.spatial(rows, r), T.axis.spatial(geometry.height, y)
                                vc = T.axis.spatial(geometry.depth, channel)
                                target = (vr, geometry.padding[1] * nbytes)
                                self._copy(chunk).block(strip, target, buffers.data, (vy, vc))
                            with T.Else(), T.sblock(f"no_row_{chunk.index}"):
                                vr = T.axis.spatial(rows, r)
                                self._fills(chunk)["no_row"].block(strip, (vr, 0))
                    with T.grid(self.outputs, -(-columns // layer.pixels)) as (line, tile):
                        self._emit(chunk, buffers, strip, (c, first, line), layer.column(tile))

    def _edges(self, chunk: Chunk, strip: Any, rows: int, nbytes: int) -> None:
        """What lies left and right of the image stays the zero point in all strips."""
        fills = self._fills(chunk)
        places = {"left": 0, "right": (self.geometry.padding[1] + self.geometry.width) * nbytes}
        for name, column in places.items():
            if name in fills:
                with T.serial(0, rows) as r, T.sblock(f"{name}_{chunk.index}"):
                    vr = T.axis.spatial(rows, r)
                    fills[name].block(strip, (vr, column))

    def _tile(self, chunk: Chunk) -> DepthwiseTile:
        nbytes = chunk.channels // self.layer.multiplier
        return self.layer.tile(chunk, self.geometry.dilation[1] * nbytes, self.geometry.dilation[0])

    def _emit(self, chunk: Chunk, buffers: Buffers, strip: Any, row: tuple[Any, Any, Any], x: Any) -> None:
        geometry, (c, first, line) = self.geometry, row
        nbytes = chunk.channels // self.layer.multiplier

        def origin(_c: Any, _y: Any, vx: Any, vline: Any) -> tuple[Any, Any]:
            return vline * geometry.strides[0], vx * (geometry.strides[1] * nbytes)

        position = (c, first + line, x, line)
        self.layer.emit_tile("strip", chunk, self._tile(chunk), buffers, strip, position, origin)

    def kernel(self) -> Kernel:
        """The scheduled function with everything it needs."""
        layer = self.layer
        sch = s_tir.Schedule(layer.function(self._body))
        micro_kernels: list[MicroKernel] = []
        for chunk in layer.chunks:
            sch.tensorize(sch.get_sblock(f"strip_{chunk.index}"), self._tile(chunk).register())
            micro_kernels.append(self._tile(chunk).micro_kernel())
            movers: dict[str, Copy | Fill] = {"row": self._copy(chunk), **self._fills(chunk)}
            for name, mover in movers.items():
                sch.tensorize(sch.get_sblock(f"{name}_{chunk.index}"), mover.register())
                micro_kernels.append(mover.micro_kernel())
        return Kernel(
            rule=f"RVV depthwise in strips, {layer.pixels} pixels"
            if layer.pixels > 1
            else "RVV depthwise in strips",
            function=sch.mod["main"],
            constants=layer.constants,
            instructions=self.cost,
            micro_kernels=tuple(micro_kernels),
        )
