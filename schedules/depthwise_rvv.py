"""RVV schedule of depthwise_conv2d: vectors of channels, of several adjacent pixels where channels are few.

There are two ways to the border. Either windows are read in place, all of a row in one strip of tiles, except those
over the border, which are packed into a patch; or strips of rows are copied with their border, which small images
repay. The cheapest by estimate is offered, and slower ones for when its scratch cannot be had.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .depthwise_layer_rvv import MAX_SCRATCH, Buffers, DepthwiseLayer, called
from .depthwise_strips_rvv import DepthwiseStrips
from .geometry_rvv import Geometry, folded_bias, geometry_of
from .intrinsics.description import allocate
from .intrinsics.rvv.accumulators import NARROW, WIDE
from .intrinsics.rvv.depthwise import DepthwiseTile
from .intrinsics.rvv.epilogue import fit_epilogue
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .packing_rvv import WindowPacker
from .pareto import undominated
from .parts import Parts


def schedule_depthwise_rvv(problem: Problem) -> list[Candidate]:
    """Schedule depthwise_conv2d on cores with RVV; nothing for other operators, cores, and factors of 1 and more."""
    if problem.operator != "depthwise_conv2d" or "rvv" not in problem.features:
        return []
    geometry = geometry_of(problem)
    multiplier = int(problem.attrs["depth_multiplier"])
    if geometry is None or multiplier > NARROW:
        return []
    window = geometry.kernel[0] * geometry.kernel[1]
    parameters = fit_epilogue(problem.constants, problem.attrs, folded_bias(problem, channel_axis=3), window)
    if parameters is None:
        return []
    answers: list[_InPlace | DepthwiseStrips] = []
    for pixels in {1, _most_pixels(problem, geometry)}:
        layer = DepthwiseLayer(problem, geometry, parameters, pixels)
        answers += (plan for plan in (_InPlace(layer), DepthwiseStrips(layer)) if plan.applies)
    candidates = [(plan.parts.total + plan.layer.price_of_repetition, plan.candidate()) for plan in answers]
    offered = undominated(candidates, lambda option: (option[0], option[1].scratch))
    fastest = offered[0][1].instructions if offered else 0.0
    # Estimates do not have the price: what it made second must not come first.
    return [one for _, one in offered if one.instructions >= fastest]


def _most_pixels(problem: Problem, geometry: Geometry) -> int:
    """Adjacent pixels whose channels fill a vector."""
    channels = problem.output_shape[3]
    if geometry.strides[1] > 1 or channels > WIDE or channels != geometry.depth:
        return 1
    return min(WIDE // channels, geometry.output[1])


class _InPlace:
    """Windows are read in place, except those over the border, which are packed into a patch."""

    def __init__(self, layer: DepthwiseLayer) -> None:
        self.layer = layer
        self.geometry = layer.geometry

    @property
    def _packer(self) -> WindowPacker:
        layer, geometry = self.layer, self.geometry
        columns, dilation = geometry.kernel[1], geometry.dilation[1]
        return WindowPacker(
            tag="pack",
            geometry=geometry,
            columns=columns if layer.pixels == 1 else layer.pixels + (columns - 1) * dilation,
            spacing=dilation if layer.pixels == 1 else 1,
            nbytes=layer.inputs,
            zero_point=layer.zero_point,
        )

    def _tile(self, tiles: int | None) -> DepthwiseTile:
        """Strip of so many tiles that are read from the image; without `tiles` one from the patch."""
        geometry, packer = self.geometry, self._packer
        if tiles:
            step = geometry.dilation[1] * geometry.depth
            return self.layer.tile(step, geometry.dilation[0], geometry.depth, tiles)
        return self.layer.tile(geometry.dilation[1] // packer.spacing * packer.nbytes, 1)

    @property
    def _strips(self) -> list[tuple[int, int]]:
        """Strips of a row that are read from the image."""
        return self.layer.strips(self.geometry.inner_tiles(self.layer.pixels))

    @property
    def _patch(self) -> tuple[int, int]:
        """Rows and bytes of a row of the patch."""
        packer = self._packer
        return self.geometry.kernel[0], packer.columns * packer.nbytes

    @property
    def applies(self) -> bool:
        """Whether the patch is small enough."""
        return math.prod(self._patch) <= MAX_SCRATCH

    @cached_property
    def parts(self) -> Parts:
        """Estimate of the instructions."""
        layer, geometry = self.layer, self.geometry
        rows, columns = geometry.output
        row = sum((called(self._tile(tiles)) for _, tiles in self._strips), Parts())
        total = row * len(geometry.inner_rows)
        if geometry.padded:
            patches = rows * -(-columns // layer.pixels) * geometry.share_outside(layer.pixels)
            total += (Parts(copies=self._packer.instructions) + called(self._tile(None))) * patches
        return total * layer.count

    def _body(self, buffers: Buffers) -> None:
        layer, geometry = self.layer, self.geometry
        patch = allocate("patch", self._patch) if geometry.padded else None
        with T.grid(layer.count, geometry.output[0]) as (v, y):
            channel = layer.first(v)
            if patch is not None:
                self._emit_border(buffers, patch, channel, y)
            with ExitStack() as stack:
                condition = geometry.row_inside(y)
                if condition is not None and self._strips:
                    stack.enter_context(T.If(condition))
                    stack.enter_context(T.Then())
                for first, tiles in self._strips:
                    tile, position = self._tile(tiles), (channel, y, first)
                    layer.emit_tile(f"image_{first}", tile, buffers, buffers.data, position, self._origin)

    def _origin(self, channel: Any, y: Any, x: Any) -> tuple[Any, Any]:
        """Where windows begin in the image."""
        row, column = self.geometry.origin(y, x)
        return row, column + channel

    def _emit_border(self, buffers: Buffers, patch: Any, channel: Any, y: Any) -> None:
        """The tiles of a row whose windows reach over the border."""
        layer, geometry = self.layer, self.geometry
        columns, (top, left, _, _) = geometry.output[1], geometry.padding
        with T.serial(0, -(-columns // layer.pixels)) as tile, ExitStack() as stack:
            x = layer.column(tile)
            if self._strips:
                stack.enter_context(T.If(geometry.outside(y, x, layer.pixels)))
                stack.enter_context(T.Then())
            origin = (y * geometry.strides[0] - top, x * geometry.strides[1] - left)
            self._packer.emit(patch, lambda r: (r, 0), buffers.data, origin, channel)
            position = (channel, y, x)
            layer.emit_tile("patch", self._tile(None), buffers, patch, position, lambda *_: (0, 0))

    def candidate(self) -> Candidate:
        """The layer as a rule offers it."""
        pixels = self.layer.pixels
        return Candidate(
            rule=f"RVV depthwise, {pixels} pixels" if pixels > 1 else "RVV depthwise",
            instructions=self.parts.total,
            parts=self.parts,
            build=self._build,
            micro_kernels=self._micro_kernels,
            scratch=math.prod(self._patch) if self.geometry.padded else 0,
        )

    def _micro_kernels(self) -> tuple[MicroKernel, ...]:
        packing = self._packer.micro_kernels() if self.geometry.padded else ()
        return (self._tile(None).micro_kernel(), *packing)

    def _build(self) -> Kernel:
        sch = s_tir.Schedule(self.layer.function(self._body))
        for first, tiles in self._strips:
            sch.tensorize(sch.get_sblock(f"image_{first}"), self._tile(tiles).register())
        if self.geometry.padded:
            sch.tensorize(sch.get_sblock("patch"), self._tile(None).register())
            self._packer.tensorize(sch)
        return Kernel(sch.mod["main"], self.layer.constants, self._micro_kernels())
