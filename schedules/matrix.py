"""What the scalar schedules of pointwise convolution, convolution and dense share: tiles, packing, constants.

All three are a product of a matrix of activations with one of weights, done in register tiles of pixels x channels.
Few shapes of tiles serve all products, because each is code of its own: what is left of an axis after its last whole
tile is done one pixel or one channel at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.rv32_assembly import Epilogue
from .intrinsics.rv32_matrix import unrolled
from .intrinsics.scalar import MatrixTile, TileOperands
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem
from .requantize import accumulator_range
from .requantize_scalar import ScalarRequantization, choose
from .tensor_ir import block_names, drop_unit_loops

# Measured on RV32 and Cortex-M3: what products, sums and outputs of a tile cost.
INSTRUCTIONS_PER_PRODUCT = 2.0
INSTRUCTIONS_PER_LOAD = 1.0
INSTRUCTIONS_PER_OUTPUT = 12.0
INSTRUCTIONS_PER_TILE = 50.0


class Intrinsic(Protocol):
    """A micro-kernel with its description."""

    def micro_kernel(self) -> MicroKernel: ...

    def register(self) -> str: ...


class Gather(Protocol):
    """Makes rows of the left matrix from the activations.

    matrix: shape of the activations in memory.
    instructions_per_row: estimate of the cost.
    intrinsics: micro-kernels by the names of the blocks that they implement.
    """

    @property
    def matrix(self) -> tuple[int, int]: ...

    @property
    def intrinsics(self) -> Mapping[str, Intrinsic]: ...

    @property
    def instructions_per_row(self) -> float: ...

    def emit(self, data: Any, patches: Any, first: Any, count: int, suffix: str) -> None:
        """Emit TensorIR that fills int8[rows, depth] `patches` with `count` rows from `first` on.

        suffix: ends the names of the blocks, which are those of `intrinsics` otherwise.
        """


@dataclass(frozen=True)
class Band:
    """Equal parts of an axis: `count` of `size` elements from `first` on."""

    first: int
    size: int
    count: int


def bands(extent: int, sizes: Sequence[int]) -> list[Band]:
    """Whole tiles of the first size along an axis, then tiles of the next size, and so on."""
    parts, first = [], 0
    for size in sizes:
        count = (extent - first) // size
        if count:
            parts.append(Band(first, size, count))
            first += size * count
    return parts


def requantization(problem: Problem, channel_axis: int) -> ScalarRequantization | None:
    """The form in which a layer's tile requantises."""
    reach = accumulator_range(
        problem.constants["weight"],
        problem.constants["bias"],
        problem.attrs["input_zero_point"],
        channel_axis,
    )
    return choose(problem.constants, problem.attrs, reach)


@dataclass(frozen=True)
class Product:
    """A product of matrices, [rows, depth] by [depth, channels], in tiles.

    short: reduction loops are unrolled little. widest: most channels of a tile.
    """

    rows: int
    channels: int
    depth: int
    epilogue: Epilogue
    gather: Gather | None
    short: bool = False
    widest: int = 16

    @property
    def row_bands(self) -> list[Band]:
        """Tiles along the rows."""
        return bands(self.rows, (4, 1))

    @property
    def channel_bands(self) -> list[Band]:
        """Tiles along the channels; a single row has registers for more of them."""
        sizes = (4, 1) if self.rows > 3 else (16, 4, 1)
        return bands(self.channels, [size for size in sizes if size <= self.widest])

    def tile(self, rows: Band, channels: Band) -> MatrixTile:
        """Register tile where two bands meet."""
        tile = MatrixTile(
            pixels=rows.size,
            lanes=channels.size,
            groups=channels.count,
            depth=self.depth,
            pitch=self.depth,
            output_pitch=self.channels,
            epilogue=self.epilogue,
        )
        return replace(tile, short=self.short and tile.has_long_loop)

    def smaller(self) -> list[Product]:
        """The same product with less code on RV32; a long loop is worth its code where nothing else takes time."""
        tiles = [self.tile(rows, channels) for rows in self.row_bands for channels in self.channel_bands]
        shorter = (
            [replace(self, short=True)] if self.gather and any(tile.has_long_loop for tile in tiles) else []
        )
        narrower = [replace(self, widest=4)] if any(tile.lanes > 4 for tile in tiles) else []
        return shorter + narrower

    def intrinsics(self) -> dict[str, Intrinsic]:
        """Micro-kernels by the names of their blocks."""
        named: dict[str, Intrinsic] = {}
        for r, rows in enumerate(self.row_bands):
            for c, channels in enumerate(self.channel_bands):
                named[f"tile_{r}_{c}"] = self.tile(rows, channels)
            if self.gather:
                named |= {f"{name}_{r}": intrinsic for name, intrinsic in self.gather.intrinsics.items()}
        return named

    def weights(self, weight: Array) -> dict[str, Array]:
        """Weights int8[channels, depth] in the order tiles read them: "weight_<band>" int8[tiles * depth, size]."""
        packed: dict[str, Array] = {}
        for c, band in enumerate(self.channel_bands):
            span = slice(band.first, band.first + band.size * band.count)
            by_tile = weight[span].reshape(band.count, band.size, self.depth)
            packed[f"weight_{c}"] = by_tile.transpose(0, 2, 1).reshape(-1, band.size)
        return packed

    @property
    def scratch(self) -> int:
        """Bytes of the gathered rows."""
        return self.row_bands[0].size * self.depth if self.gather else 0

    def instructions(self) -> float:
        """Estimate for the whole product."""
        total = self.gather.instructions_per_row * self.rows if self.gather else 0.0
        pairs = itertools.product(self.row_bands, self.channel_bands)
        return total + sum(self.tile_instructions(rows, channels) for rows, channels in pairs)

    def tile_instructions(self, rows: Band, channels: Band) -> float:
        """Estimate for all tiles where two bands meet."""
        outputs = rows.size * channels.size
        step = INSTRUCTIONS_PER_PRODUCT * outputs + INSTRUCTIONS_PER_LOAD * (rows.size + channels.size)
        step += (rows.size + 2) / unrolled(self.tile(rows, channels))
        tile = self.depth * step + INSTRUCTIONS_PER_OUTPUT * outputs + INSTRUCTIONS_PER_TILE
        return rows.count * channels.count * tile

    def function(self, constants: Mapping[str, Array]) -> Any:
        """TensorIR of the product."""
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            data = T.arg(
                "data", T.buffer(self.gather.matrix if self.gather else (self.rows, self.depth), "int8")
            )
            buffers = {
                name: T.arg(name, T.buffer(value.shape, str(value.dtype)))
                for name, value in constants.items()
            }
            output = T.arg("output", T.buffer((self.rows, self.channels), "int8"))
            with T.sblock("root"):
                patches = data
                if self.gather:
                    patches = T.sblock_alloc_buffer((self.row_bands[0].size, self.depth), "int8")
                    IRBuilder.name("patches", patches)
                for r, rows in enumerate(self.row_bands):
                    with T.serial(0, rows.count) as p:
                        if self.gather:
                            self.gather.emit(data, patches, rows.first + p * rows.size, rows.size, f"_{r}")
                        for c, channels in enumerate(self.channel_bands):
                            columns = channels.size * channels.count
                            sums = T.sblock_alloc_buffer((rows.size, columns), "int32")
                            with T.sblock(f"tile_{r}_{c}"):
                                vp = T.axis.spatial(rows.count, p)
                                row = rows.first + vp * rows.size
                                operands = TileOperands(
                                    data=patches,
                                    weight=buffers[f"weight_{c}"],
                                    factors=buffers["factors"],
                                    fine=buffers["fine"],
                                    output=output,
                                    sums=sums,
                                    data_at=0 if self.gather else row,
                                    output_at=(row, channels.first),
                                )
                                self.tile(rows, channels).block(operands)
        return builder.get()


def matrix_candidates(
    problem: Problem, rule: str, channel_axis: int, gather: Gather | None = None
) -> list[Candidate]:
    """A layer as a product of matrices; none when no form of requantisation is proven for it.

    gather: makes the rows of the left matrix; without it they are the activations as they lie in memory.
    """
    form = requantization(problem, channel_axis)
    if form is None:
        return []
    weight = np.moveaxis(problem.constants["weight"], channel_axis, 0)
    weight = weight.reshape(weight.shape[0], -1)
    channels, depth = weight.shape
    attrs = problem.attrs
    product = Product(
        rows=problem.outputs // channels,
        channels=channels,
        depth=depth,
        epilogue=form.epilogue(attrs),
        gather=gather,
    )
    factors = {"factors": form.without(zero_sums(problem, weight)), "fine": form.fine}
    products = [product, *(product.smaller() if problem.is_scalar_rv32 else [])]
    return [_candidate(rule, product, product.weights(weight) | factors) for product in products]


def _candidate(rule: str, product: Product, constants: Mapping[str, Array]) -> Candidate:
    return Candidate(
        rule=rule,
        instructions=product.instructions(),
        build=lambda: _build(product, constants),
        micro_kernels=lambda: _micro_kernels(product.intrinsics().values()),
        scratch=product.scratch,
    )


def zero_sums(problem: Problem, weight: Array) -> Array:
    """What a raw input adds to each channel's sum."""
    sums: Array = problem.attrs["input_zero_point"] * weight.astype(np.int64).sum(axis=1)
    return sums


def tensorized(function: Any, intrinsics: Mapping[str, Intrinsic]) -> tuple[Any, list[Intrinsic]]:
    """A function with the blocks that are named bound to intrinsics, and those that it still has.

    Simplification may have found that a way of gathering never happens.
    """
    function = drop_unit_loops(function)
    left = block_names(function)
    used = {block: intrinsic for block, intrinsic in intrinsics.items() if block in left}
    sch = s_tir.Schedule(function)
    for block, intrinsic in used.items():
        sch.tensorize(sch.get_sblock(block), intrinsic.register())
    return sch.mod["main"], list(used.values())


def _build(product: Product, constants: Mapping[str, Array]) -> Kernel:
    function, used = tensorized(product.function(constants), product.intrinsics())
    return Kernel(function=function, constants=constants, micro_kernels=_micro_kernels(used))


def _micro_kernels(intrinsics: Iterable[Intrinsic]) -> tuple[MicroKernel, ...]:
    """The functions behind intrinsics, and those that they call."""
    own = [intrinsic.micro_kernel() for intrinsic in intrinsics]
    called = [intrinsic.sums_kernel() for intrinsic in intrinsics if isinstance(intrinsic, MatrixTile)]
    return (*own, *called)
