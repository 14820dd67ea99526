"""Packing of windows that reach over the border of the image into scratch, for RVV schedules.

What lies outside becomes the zero point, so that tiles need no special case and one bias serves all pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .geometry_rvv import Geometry
from .intrinsics.rvv.memory import Copy, Fill
from .kernel import MicroKernel

# Executed around a micro-kernel that packs: arguments, call, conditions and loop, measured.
INSTRUCTIONS_PER_CALL = 16.0


@dataclass(frozen=True)
class WindowPacker:
    """Packs `kernel` rows of `columns` pixels into a patch.

    tag: tells the blocks of several packers of one function apart.
    spacing: distance of the packed pixels in the image.
    nbytes: channels that are packed of each pixel.
    """

    tag: str
    geometry: Geometry
    columns: int
    spacing: int
    nbytes: int
    zero_point: int

    @property
    def whole_row(self) -> Copy:
        """The copy of a row whose pixels all lie inside."""
        depth = self.geometry.depth
        if self.nbytes == depth and self.spacing == 1:
            return Copy(self.columns * depth)
        return Copy(self.nbytes, self.columns, self.spacing * depth)

    @property
    def _copies(self) -> dict[str, Copy]:
        return {"whole_row": self.whole_row, "pixel": Copy(self.nbytes)}

    @property
    def _fills(self) -> dict[str, Fill]:
        return {
            "no_row": Fill(self.columns * self.nbytes, self.zero_point),
            "no_pixel": Fill(self.nbytes, self.zero_point),
        }

    def emit(
        self,
        patch: Any,
        place: Callable[[Any], tuple[Any, Any]],
        data: Any,
        origin: tuple[Any, Any],
        channel: Any,
    ) -> None:
        """Emit the packing of one window.

        place: row and byte of the patch where row `r` of the window begins.
        data: int8[height, width * depth]; origin: row and pixel where the window begins; channel: the first packed.
        """
        geometry, copies, fills = self.geometry, self._copies, self._fills
        top, left = origin
        height, width, depth = geometry.height, geometry.width, geometry.depth
        with T.serial(0, geometry.kernel[0]) as r:
            y = top + r * geometry.dilation[0]
            row_inside = tirx.all(y >= 0, y < height)
            columns_inside = tirx.all(left >= 0, left + (self.columns - 1) * self.spacing < width)
            with T.If(row_inside):
                with T.Then(), T.If(columns_inside):
                    with T.Then(), T.sblock(f"{self.tag}_whole_row"):
                        vr = T.axis.spatial(geometry.kernel[0], r)
                        vy, vx = T.axis.spatial(height, y), T.axis.spatial(width, left)
                        vc = T.axis.spatial(depth, channel)
                        copies["whole_row"].block(patch, place(vr), data, (vy, vx * depth + vc))
                    with T.Else(), T.serial(0, self.columns) as i:
                        self._pixel(patch, place, data, (r, i), (y, left + i * self.spacing), channel)
                with T.Else(), T.sblock(f"{self.tag}_no_row"):
                    vr = T.axis.spatial(geometry.kernel[0], r)
                    fills["no_row"].block(patch, place(vr))

    def _pixel(
        self,
        patch: Any,
        place: Callable[[Any], tuple[Any, Any]],
        data: Any,
        loops: tuple[Any, Any],
        at: tuple[Any, Any],
        channel: Any,
    ) -> None:
        geometry, (r, i), (y, x) = self.geometry, loops, at
        with T.If(tirx.all(x >= 0, x < geometry.width)):
            with T.Then(), T.sblock(f"{self.tag}_pixel"):
                vr, vi = T.axis.remap("SS", [r, i])
                vy, vx = T.axis.spatial(geometry.height, y), T.axis.spatial(geometry.width, x)
                vc = T.axis.spatial(geometry.depth, channel)
                row, column = place(vr)
                target = (row, column + vi * self.nbytes)
                self._copies["pixel"].block(patch, target, data, (vy, vx * geometry.depth + vc))
            with T.Else(), T.sblock(f"{self.tag}_no_pixel"):
                vr, vi = T.axis.remap("SS", [r, i])
                row, column = place(vr)
                self._fills["no_pixel"].block(patch, (row, column + vi * self.nbytes))

    @property
    def _movers(self) -> dict[str, Copy | Fill]:
        return {**self._copies, **self._fills}

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """What the emitted blocks call."""
        return tuple(mover.micro_kernel() for mover in self._movers.values())

    def tensorize(self, sch: Any) -> None:
        """Bind the emitted blocks to their micro-kernels."""
        for block, mover in self._movers.items():
            sch.tensorize(sch.get_sblock(f"{self.tag}_{block}"), mover.register())

    @property
    def instructions(self) -> float:
        """Estimate of one window: most of those over the border lie at one side, half of their rows at a corner."""
        rows = self.geometry.kernel[0]
        whole = self.whole_row.assemble().executed + INSTRUCTIONS_PER_CALL
        pixelwise = self.columns * (Copy(self.nbytes).assemble().executed + INSTRUCTIONS_PER_CALL)
        return rows * (whole + pixelwise) / 2
