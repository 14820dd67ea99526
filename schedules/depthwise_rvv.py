"""RVV schedule of depthwise_conv2d: vectors of channels, of several adjacent pixels where channels are few.

There are two ways to the border, and the cheaper one by estimate is taken. Either windows are read in place, except
those over the border, which are packed into a patch; or strips of rows are copied with their border, which small images
repay.
"""

from __future__ import annotations

from typing import Any

from tvm import s_tir
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .depthwise_layer_rvv import MAX_SCRATCH, Buffers, Chunk, DepthwiseLayer
from .depthwise_strips_rvv import DepthwiseStrips
from .geometry_rvv import Geometry, folded_bias, geometry_of
from .intrinsics.rvv.accumulators import NARROW, WIDE
from .intrinsics.rvv.depthwise import DepthwiseTile
from .intrinsics.rvv.description import allocate
from .intrinsics.rvv.epilogue import fit_epilogue
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .packing_rvv import WindowPacker


def schedule_depthwise_rvv(problem: Problem) -> Candidate | None:
    """Schedule depthwise_conv2d on cores with RVV; None for other operators, cores, and factors of 1 and more."""
    if problem.operator != "depthwise_conv2d" or "rvv" not in problem.features:
        return None
    geometry = geometry_of(problem)
    multiplier = int(problem.attrs["depth_multiplier"])
    if geometry is None or multiplier > NARROW:
        return None
    window = geometry.kernel[0] * geometry.kernel[1]
    parameters = fit_epilogue(problem.constants, problem.attrs, folded_bias(problem, channel_axis=3), window)
    if parameters is None:
        return None
    answers: list[_InPlace | DepthwiseStrips] = []
    for pixels in {1, _most_pixels(problem, geometry)}:
        layer = DepthwiseLayer(problem, geometry, parameters.epilogue, parameters.table, pixels)
        answers += (plan for plan in (_InPlace(layer), DepthwiseStrips(layer)) if plan.applies)
    if not answers:
        return None
    return min(answers, key=lambda plan: plan.instructions + plan.layer.price_of_repetition).candidate()


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

    def _packer(self, chunk: Chunk) -> WindowPacker:
        layer, geometry = self.layer, self.geometry
        columns, dilation = geometry.kernel[1], geometry.dilation[1]
        return WindowPacker(
            tag=f"pack_{chunk.index}",
            geometry=geometry,
            columns=columns if layer.pixels == 1 else layer.pixels + (columns - 1) * dilation,
            spacing=dilation if layer.pixels == 1 else 1,
            nbytes=chunk.channels // layer.multiplier,
            zero_point=layer.zero_point,
        )

    def _tile(self, chunk: Chunk, place: str) -> DepthwiseTile:
        geometry, packer = self.geometry, self._packer(chunk)
        if place == "image":
            return self.layer.tile(chunk, geometry.dilation[1] * geometry.depth, geometry.dilation[0])
        return self.layer.tile(chunk, geometry.dilation[1] // packer.spacing * packer.nbytes, 1)

    @property
    def _places(self) -> tuple[str, ...]:
        return ("image", "patch") if self.geometry.padded else ("image",)

    @property
    def _patches(self) -> list[int]:
        """Bytes of each patch."""
        packers = [self._packer(chunk) for chunk in self.layer.chunks]
        return [self.geometry.kernel[0] * packer.columns * packer.nbytes for packer in packers]

    @property
    def applies(self) -> bool:
        """Whether the patch is small enough."""
        return all(nbytes <= MAX_SCRATCH for nbytes in self._patches)

    @property
    def instructions(self) -> float:
        """Estimate of the instructions."""
        share = self.geometry.share_outside(self.layer.pixels) if self.geometry.padded else 0.0
        packing = sum(chunk.count * self._packer(chunk).instructions for chunk in self.layer.chunks)
        return self.layer.computing + self.layer.tiles * share * packing

    def _body(self, buffers: Buffers) -> None:
        layer, geometry = self.layer, self.geometry
        rows, columns = geometry.output
        for chunk in layer.chunks:
            packer = self._packer(chunk)
            patch = None
            if geometry.padded:
                patch = allocate(f"patch_{chunk.index}", (geometry.kernel[0], packer.columns * packer.nbytes))
            with T.grid(chunk.count, rows, -(-columns // layer.pixels)) as (c, y, tile):
                x = layer.column(tile)
                at = (c, y, x)
                if patch is None:
                    self._emit(chunk, "image", buffers, at, buffers.data)
                    continue
                with T.If(geometry.inside(y, x, layer.pixels)):
                    with T.Then():
                        self._emit(chunk, "image", buffers, at, buffers.data)
                    with T.Else():
                        top, left, _, _ = geometry.padding
                        origin = (y * geometry.strides[0] - top, x * geometry.strides[1] - left)
                        channel = (chunk.first + c * chunk.channels) // layer.multiplier
                        packer.emit(patch, lambda r: (r, 0), buffers.data, origin, channel)
                        self._emit(chunk, "patch", buffers, at, patch)

    def _emit(self, chunk: Chunk, place: str, buffers: Buffers, at: tuple[Any, Any, Any], data: Any) -> None:
        layer = self.layer

        def origin(c: Any, y: Any, x: Any) -> tuple[Any, Any]:
            if place == "patch":
                return 0, 0
            row, column = self.geometry.origin(y, x)
            return row, column + (chunk.first // layer.multiplier + c * (chunk.channels // layer.multiplier))

        layer.emit_tile(place, chunk, self._tile(chunk, place), buffers, data, at, origin)

    def candidate(self) -> Candidate:
        """The layer as a rule offers it."""
        pixels = self.layer.pixels
        return Candidate(
            rule=f"RVV depthwise, {pixels} pixels" if pixels > 1 else "RVV depthwise",
            instructions=self.instructions,
            build=self._build,
            micro_kernels=self._micro_kernels,
            scratch=sum(self._patches) if self.geometry.padded else 0,
        )

    def _micro_kernels(self) -> tuple[MicroKernel, ...]:
        chunks = self.layer.chunks
        packers = [self._packer(chunk) for chunk in chunks] if self.geometry.padded else []
        packing = [micro for packer in packers for micro in packer.micro_kernels()]
        return (*(self._tile(chunk, "image").micro_kernel() for chunk in chunks), *packing)

    def _build(self) -> Kernel:
        sch = s_tir.Schedule(self.layer.function(self._body))
        for chunk in self.layer.chunks:
            for place in self._places:
                sch.tensorize(sch.get_sblock(f"{place}_{chunk.index}"), self._tile(chunk, place).register())
            if self.geometry.padded:
                self._packer(chunk).tensorize(sch)
        return Kernel(sch.mod["main"], self.layer.constants, self._micro_kernels())
