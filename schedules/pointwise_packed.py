"""Schedule of 1x1 convolution for cores whose multiplication does not accumulate: two products per multiplication.

The activations of eight pixels are packed into words of two, then multiplied with all channels (`intrinsics.packed`).
Pixels left over take the tiles of `matrix`, which read the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.packed import PackedOperands, PackedTile, PackPairs, fits, runs_of, whole_groups
from .intrinsics.rv32_packed import GROUP, LANES, PIXELS, STORED_LANES
from .intrinsics.scalar import MatrixTile, TileOperands
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem
from .matrix import INSTRUCTIONS_PER_OUTPUT, Band, Product, bands, requantization, zero_sums
from .pointwise import is_pointwise
from .tensor_ir import drop_unit_loops

# Measured on RV32: groups of products by whether sixteen bits hold four of them, runs, two channels, packing.
INSTRUCTIONS_PER_GROUP, INSTRUCTIONS_PER_LARGE_GROUP = 131.0, 163.0
INSTRUCTIONS_PER_RUN = 14.0
INSTRUCTIONS_PER_LANES = 55.0
INSTRUCTIONS_PER_ACTIVATION = 3.3
INSTRUCTIONS_PER_CALL = 120.0
# What runs may add to the weights: little, or more where many rows make use of it; nothing where few do.
LARGEST_SHARE, SHARE_PER_ROW = 1 / 60, 1 / 7000
LEAST_ROWS = 32


def schedule_pointwise_packed(problem: Problem) -> list[Candidate]:
    """Schedule conv2d of single pixels where weights and shapes allow it; nothing otherwise."""
    if problem.operator != "conv2d" or not problem.is_scalar_rv32 or not is_pointwise(problem):
        return []
    weight = problem.constants["weight"]
    weight = weight.reshape(weight.shape[0], -1)
    channels, depth = weight.shape
    rows = problem.outputs // channels
    form = requantization(problem, channel_axis=0)
    if form is None or rows < LEAST_ROWS or channels < STORED_LANES:
        return []
    product = Product(rows, channels, depth, form.epilogue(problem.attrs), gather=None)
    packed = product.weights(weight)
    packed["weight_0"] = np.pad(packed["weight_0"], ((0, whole_groups(depth) - depth), (0, 0)))
    read = _as_read(packed["weight_0"], channels // STORED_LANES, depth)
    runs = runs_of(read)
    if not fits(read) or len(runs) > weight.size * max(LARGEST_SHARE, rows * SHARE_PER_ROW):
        return []
    constants = packed | {
        "runs": runs,
        "factors": form.without(zero_sums(problem, weight)),
        "fine": form.fine,
    }
    # Tiles of four pixels are worth their code only where other layers use them.
    products = {(1,): [product], (4, 1): [product, replace(product, short=True)] if rows % PIXELS > 3 else []}
    return [_candidate(_Layer(one, constants, left)) for left, ones in products.items() for one in ones]


def _as_read(weight: Array, blocks: int, depth: int) -> Array:
    """Weights int8[channels, elements] as tiles read them: beyond the last of a block they meet zeros only."""
    rows = np.arange(blocks)[:, None] * depth + np.arange(whole_groups(depth))
    read: Array = weight[rows].transpose(0, 2, 1).reshape(blocks * STORED_LANES, -1)
    return read


def _candidate(layer: _Layer) -> Candidate:
    return Candidate(
        rule="scalar packed pointwise",
        instructions=layer.instructions(),
        build=lambda: _build(layer),
        micro_kernels=layer.micro_kernels,
        scratch=PIXELS * whole_groups(layer.product.depth) * 2,
    )


def _build(layer: _Layer) -> Kernel:
    sch = s_tir.Schedule(drop_unit_loops(layer.function()))
    for block, intrinsic in layer.intrinsics().items():
        sch.tensorize(sch.get_sblock(block), intrinsic.register())
    return Kernel(sch.mod["main"], layer.constants, layer.micro_kernels())


@dataclass(frozen=True)
class _Layer:
    """left: sizes of the tiles of pixels that are left over."""

    product: Product
    constants: Mapping[str, Array]
    left: Sequence[int]

    @property
    def packed(self) -> Band:
        """Rows of packed tiles."""
        return Band(0, PIXELS, self.product.rows // PIXELS)

    @property
    def rest(self) -> list[Band]:
        """Rows of the tiles after them."""
        done = self.packed.count * PIXELS
        return [replace(band, first=band.first + done) for band in bands(self.product.rows - done, self.left)]

    @property
    def tile(self) -> PackedTile:
        """The packed tile."""
        product = self.product
        blocks = product.channels // STORED_LANES
        return PackedTile(
            blocks, product.depth, product.channels, len(self.constants["runs"]), product.epilogue
        )

    def rests(self) -> dict[str, tuple[Band, int, MatrixTile]]:
        """Rows, number of the band of channels and tile of what is left of pixels and channels, by block."""
        bands_of = {0: self.rest} | (
            {1: self.product.row_bands} if self.product.channels % STORED_LANES else {}
        )
        return {
            f"rest_{c}_{r}": (rows, c, self.product.tile(rows, self.product.channel_bands[c]))
            for c, row_bands in bands_of.items()
            for r, rows in enumerate(row_bands)
        }

    def intrinsics(self) -> dict[str, PackPairs | PackedTile | MatrixTile]:
        """Micro-kernels by the names of their blocks."""
        rest = {name: tile for name, (_, _, tile) in self.rests().items()}
        return {"pack": PackPairs(self.product.depth), "packed": self.tile, **rest}

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """The functions behind intrinsics, and those that they call."""
        intrinsics = self.intrinsics().values()
        called = [one.sums_kernel() for one in intrinsics if not isinstance(one, PackPairs)]
        return (*(intrinsic.micro_kernel() for intrinsic in intrinsics), *called)

    def instructions(self) -> float:
        """Estimate for the layer."""
        product, runs = self.product, self.constants["runs"]
        large = int((runs >> 5).sum())
        channels = product.channels // STORED_LANES * STORED_LANES
        groups = channels // LANES * whole_groups(product.depth) // GROUP
        tile = INSTRUCTIONS_PER_GROUP * (groups - large) + INSTRUCTIONS_PER_LARGE_GROUP * large
        tile += INSTRUCTIONS_PER_RUN * len(runs) + INSTRUCTIONS_PER_LANES * channels // LANES
        tile += PIXELS * (
            INSTRUCTIONS_PER_ACTIVATION * product.depth + INSTRUCTIONS_PER_OUTPUT * product.channels
        )
        rest = sum(
            product.tile_instructions(rows, product.channel_bands[c]) for rows, c, _ in self.rests().values()
        )
        return self.packed.count * (tile + INSTRUCTIONS_PER_CALL) + rest

    def function(self) -> Any:
        """TensorIR of the layer."""
        product = self.product
        rows, depth = product.rows, product.depth
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            data = T.arg("data", T.buffer((rows, depth), "int8"))
            constants = {
                name: T.arg(name, T.buffer(value.shape, str(value.dtype)))
                for name, value in self.constants.items()
            }
            runs = constants["runs"]
            factors, fine = constants["factors"], constants["fine"]
            output = T.arg("output", T.buffer((rows, product.channels), "int8"))
            with T.sblock("root"):
                words = T.sblock_alloc_buffer((self.tile.pairs, PIXELS), "int32")
                IRBuilder.name("words", words)
                with T.serial(0, self.packed.count) as p:
                    with T.sblock("pack"):
                        vp = T.axis.spatial(self.packed.count, p)
                        PackPairs(depth).block(data, words, vp * PIXELS)
                    sums = T.sblock_alloc_buffer((PIXELS, self.tile.channels), "int32")
                    with T.sblock("packed"):
                        vp = T.axis.spatial(self.packed.count, p)
                        packed = PackedOperands(
                            words, constants["weight_0"], runs, factors, fine, output, sums, vp * PIXELS
                        )
                        self.tile.block(packed)
                for name, (band, c, tile) in self.rests().items():
                    with T.serial(0, band.count) as p:
                        sums = T.sblock_alloc_buffer((band.size, tile.channels), "int32")
                        with T.sblock(name):
                            row = band.first + T.axis.spatial(band.count, p) * band.size
                            at = (row, product.channel_bands[c].first)
                            weight = constants[f"weight_{c}"]
                            tile.block(TileOperands(data, weight, factors, fine, output, sums, row, at))
        return builder.get()
