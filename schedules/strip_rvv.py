"""Strips: rows of the image copied into scratch with the border that windows reach, for RVV schedules.

What lies left and right of the image is set to the zero point once; rows above and below it when a strip reaches them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .geometry_rvv import Geometry
from .intrinsics.description import allocate
from .intrinsics.rvv.memory import Copy, Fill
from .kernel import MicroKernel
from .packing_rvv import INSTRUCTIONS_PER_CALL


@dataclass(frozen=True)
class Strip:
    """The input of `outputs` rows of the output.

    tag: tells the blocks of several strips of one function apart.
    nbytes: adjacent channels that are copied.
    """

    tag: str
    geometry: Geometry
    outputs: int
    nbytes: int
    zero_point: int

    @property
    def columns(self) -> int:
        """Pixels of a row: the image's, and the border's as far as windows reach."""
        geometry = self.geometry
        last = (geometry.output[1] - 1) * geometry.strides[1] + (geometry.kernel[1] - 1) * geometry.dilation[
            1
        ]
        return max(last + 1, geometry.padding[1] + geometry.width)

    @property
    def rows(self) -> int:
        """Rows of the strip."""
        geometry = self.geometry
        return (self.outputs - 1) * geometry.strides[0] + (geometry.kernel[0] - 1) * geometry.dilation[0] + 1

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.columns * self.nbytes

    @property
    def scratch(self) -> int:
        """Bytes of the strip."""
        return self.rows * self.row_bytes

    def allocate(self, rows: int | None = None) -> Any:
        """The strip's buffer, or one for the first `rows` rows, int8[rows, columns * nbytes]."""
        return allocate(self.tag, (self.rows if rows is None else rows, self.row_bytes))

    def emit_edges(self, strip: Any, rows: int | None = None) -> None:
        """Emit what is the same for all strips of the image, for a buffer of `rows` rows if not of all."""
        rows = self.rows if rows is None else rows
        fills = self._fills
        places = {"left": 0, "right": (self.geometry.padding[1] + self.geometry.width) * self.nbytes}
        for name, column in places.items():
            if name in fills:
                with T.serial(0, rows) as r, T.sblock(f"{self.tag}_{name}"):
                    vr = T.axis.spatial(rows, r)
                    fills[name].block(strip, (vr, column))

    def emit_rows(self, strip: Any, data: Any, first: Any, channel: Any) -> None:
        """Emit the rows of the strip whose first output row is `first`, from the byte `channel` of each pixel on."""
        with T.serial(0, self.rows) as r:
            self.emit_row(strip, r, data, first, r, channel)

    def emit_row(self, strip: Any, place: Any, data: Any, first: Any, r: Any, channel: Any) -> None:
        """Emit row `r` of the strip whose first output row is `first`, as row `place` of a buffer."""
        geometry, rows = self.geometry, int(strip.shape[0])
        y = first * geometry.strides[0] - geometry.padding[0] + r
        with T.If(tirx.all(y >= 0, y < geometry.height)):
            with T.Then(), T.sblock(f"{self.tag}_row"):
                vr, vy = T.axis.spatial(rows, place), T.axis.spatial(geometry.height, y)
                vc = T.axis.spatial(geometry.depth, channel)
                self._copy.block(strip, (vr, geometry.padding[1] * self.nbytes), data, (vy, vc))
            with T.Else(), T.sblock(f"{self.tag}_no_row"):
                vr = T.axis.spatial(rows, place)
                self._fills["no_row"].block(strip, (vr, 0))

    @property
    def _movers(self) -> dict[str, Copy | Fill]:
        return {"row": self._copy, **self._fills}

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """What the emitted blocks call."""
        return tuple(mover.micro_kernel() for mover in self._movers.values())

    def tensorize(self, sch: Any) -> None:
        """Bind the emitted blocks to their micro-kernels."""
        for name, mover in self._movers.items():
            sch.tensorize(sch.get_sblock(f"{self.tag}_{name}"), mover.register())

    def instructions(self, strips: int, rows: int | None = None) -> float:
        """Estimate of so many strips, and of the edges once, of a buffer of `rows` rows if not of all."""
        edges = sum(_called(fill) for name, fill in self._fills.items() if name != "no_row")
        return self.rows * strips * _called(self._copy) + (self.rows if rows is None else rows) * edges

    @property
    def _copy(self) -> Copy:
        """The copy of a row of the image."""
        depth, width = self.geometry.depth, self.geometry.width
        return Copy(width * depth) if self.nbytes == depth else Copy(self.nbytes, width, depth)

    @property
    def _fills(self) -> dict[str, Fill]:
        """What is set to the zero point: rows outside the image, and the columns left and right of it."""
        left = self.geometry.padding[1]
        columns = {"no_row": self.columns, "left": left, "right": self.columns - left - self.geometry.width}
        return {
            name: Fill(count * self.nbytes, self.zero_point) for name, count in columns.items() if count > 0
        }


def _called(mover: Copy | Fill) -> float:
    return mover.assemble().executed + INSTRUCTIONS_PER_CALL
