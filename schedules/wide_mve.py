"""Wide tiles on Arm MVE: TensorIR description and binding of `intrinsics/mve/wide_tile.py`, and the loops over pixels.

A row of pixels is cut into tiles of four. What is left is a tile of fewer pixels, or one of four that overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.lone_tile import lone_applies
from .intrinsics.mve.strip import TILE, VECTOR, Strip
from .intrinsics.mve.wide_tile import WideTile, wide_instructions, wide_kernel
from .kernel import MicroKernel
from .parts import Parts
from .requantize_mve import Rounding, table_size
from .strip_mve import packed_shape, weight_column

# Rows of more pixels are left to strips, which overlap the end of one tile with the beginning of the next.
MAX_PIXELS = 64
# Instructions of products and requantisation beyond which a tile is not unrolled.
_MAX_DEPTH = 256
# The caller's instructions per tile: arguments and loop.
_CALL = 16.0
# Estimated cycles that two channels of a tile wait for their own sums, where a strip requantises the tile before beside
# the products of the next.
_WAIT = 9.0


@dataclass(frozen=True)
class WideRow:
    """Tiles of a row of `pixels` pixels, `channels` of them each.

    overlap: the last tile repeats pixels. lone: what is left are single pixels, by a function of their own.
    """

    strip: Strip
    pixels: int
    channels: int
    overlap: bool
    lone: bool = False

    @property
    def tiles(self) -> tuple[tuple[int, int], ...]:
        """(pixels of a tile, how many such tiles), the whole ones first."""
        whole, rest = divmod(self.pixels, TILE)
        if rest and self.overlap:
            whole, rest = whole + 1, 0
        left = (1, rest) if self.lone else (rest, 1)
        return tuple((size, count) for size, count in ((TILE, whole), left) if size and count)

    def tile(self, size: int) -> WideTile:
        """A tile of so many pixels."""
        return WideTile(self.strip, size, self.lone and size == 1)

    @property
    def instructions(self) -> float:
        """Instructions of the row."""
        parts = ((wide_instructions(self.tile(size), self.channels // 2), n) for size, n in self.tiles)
        return sum(count * (_CALL + one) for one, count in parts)

    @property
    def waits(self) -> float:
        """Cycles of the row in which strips would do something."""
        waiting = sum(count for size, count in self.tiles if not self.tile(size).lone)
        return _WAIT * (self.channels // 2) * waiting

    @property
    def parts(self) -> Parts:
        """The same, with the requantisation among the products."""
        computed = sum(size * count for size, count in self.tiles)
        vectors = -(-self.strip.depth // VECTOR)
        return Parts(self.instructions, multiplications=computed * self.channels * vectors)

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """The micro-kernels of its tiles."""
        return tuple(wide_kernel(self.tile(size)) for size, _ in self.tiles)


def wide_rows(strip: Strip, pixels: int, channels: int) -> list[WideRow]:
    """Ways to cut a row of a strip of one segment into wide tiles; none for odd channels and for long rows."""
    if channels % 2 or pixels > MAX_PIXELS or strip.depth > _MAX_DEPTH or strip.rows > 1:
        return []
    deep = replace(strip, loop=True, columns=0, frame="own")
    overlap = [True] if pixels > TILE and pixels % TILE else []
    # Rows without a whole tile are rows times a matrix (`dense_mve.py`).
    left_over = pixels > TILE and pixels % TILE in (1, 2)
    lone = [True] if left_over and lone_applies(deep, channels) else []
    rows = [WideRow(deep, pixels, channels, one) for one in (False, *overlap)]
    return rows + [WideRow(deep, pixels, channels, False, one) for one in lone]


@script.macro
def wide_stages(
    source: Any,
    weight: Any,
    table: Any,
    sums: Any,
    output: Any,
    strip: Any,
    shape: Any,
    offsets: Any,
    finish: Any,
) -> None:
    """The stages of one tile; shape: pixels and pairs of channels.

    source[row, column], weight[pair, 2 * depth] as packed, table[pair, words], sums[pixels, channels],
    output[pixel, channel], or output[channel, pixel] in planes. offsets: row, column and output pixel.
    """
    T.reads(
        sums[0 : shape[0], 0 : 2 * shape[1]],
        source[offsets[0] : offsets[0] + 1, offsets[1] : offsets[1] + strip.span(shape[0])],
        weight[0 : shape[1], 0 : 2 * strip.depth],
        table[0 : shape[1], 0 : table_size(strip.requantization, 2)],
    )
    if strip.plane > 0:
        T.writes(
            sums[0 : shape[0], 0 : 2 * shape[1]],
            output[0 : 2 * shape[1], offsets[2] : offsets[2] + shape[0]],
        )
    else:
        T.writes(
            sums[0 : shape[0], 0 : 2 * shape[1]],
            output[offsets[2] : offsets[2] + shape[0], 0 : 2 * shape[1]],
        )
    for x, n, c in T.grid(shape[0], shape[1], 2):
        with T.sblock("start"):
            vx, vn, vc = T.axis.remap("SSS", [x, n, c])
            sums[vx, vn * 2 + vc] = 0
    for x, n, c, k in T.grid(shape[0], shape[1], 2, strip.depth):
        with T.sblock("accumulate"):
            vx, vn, vc, vk = T.axis.remap("SSSR", [x, n, c, k])
            sums[vx, vn * 2 + vc] = sums[vx, vn * 2 + vc] + T.Cast(
                "int32", source[offsets[0], offsets[1] + vx * strip.pitch + vk]
            ) * T.Cast("int32", weight[vn, weight_column(strip, vc, vk)])
    for x, n, c in T.grid(shape[0], shape[1], 2):
        with T.sblock("requantize"):
            vx, vn, vc = T.axis.remap("SSS", [x, n, c])
            if strip.plane > 0:
                output[vn * 2 + vc, offsets[2] + vx] = finish(sums[vx, vn * 2 + vc], table, vn, vc)
            else:
                output[offsets[2] + vx, vn * 2 + vc] = finish(sums[vx, vn * 2 + vc], table, vn, vc)


@cache
def register_wide(tile: WideTile, channels: int, rounding: Rounding) -> str:
    """Register the intrinsic of a tile and return its name."""
    strip, pixels, pairs = tile.strip, tile.pixels, channels // 2
    span, weight_shape = strip.span(pixels), packed_shape(strip, channels)
    words, finish, zero_point = table_size(rounding.how, 2), rounding.by_group(2), rounding.zero_point
    output_tile = (channels, pixels) if strip.plane else (pixels, channels)

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def wide(
            source_handle: T.handle,
            weight_handle: T.handle,
            table_handle: T.handle,
            sums_handle: T.handle,
            output_handle: T.handle,
        ) -> None:
            source = T.match_buffer(source_handle, (1, span), "int8", offset_factor=1, strides=[T.int32(), 1])
            weight = T.match_buffer(
                weight_handle, weight_shape, "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            table = T.match_buffer(
                table_handle, (pairs, words), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            sums = T.match_buffer(
                sums_handle, (pixels, channels), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            output = T.match_buffer(
                output_handle, output_tile, "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                if computes:
                    wide_stages(
                        source, weight, table, sums, output, strip, (pixels, pairs), (0, 0, 0), finish
                    )
                else:
                    T.reads(
                        sums[0:pixels, 0:channels],
                        source[0:1, 0:span],
                        weight[0 : weight_shape[0], 0 : weight_shape[1]],
                        table[0:pairs, 0:words],
                    )
                    T.writes(sums[0:pixels, 0:channels], output[0 : output_tile[0], 0 : output_tile[1]])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            tile.name,
                            source.access_ptr("r"),
                            weight.access_ptr("r"),
                            table.access_ptr("r"),
                            output.access_ptr("w"),
                            pairs,
                            output.strides[0],
                            zero_point,
                        )
                    )

        return wide

    name = f"{tile.name}_of{channels}_zero_{zero_point}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@script.macro
def wide_row_stages(
    source: Any,
    weight: Any,
    table: Any,
    sums: Any,
    output: Any,
    row: Any,
    number: Any,
    rows: Any,
    start: Any,
    step: Any,
    finish: Any,
) -> None:
    """Tiles of row `number` of `rows`: of source row number * step, to the output from pixel `start` on."""
    for t in range(row.tiles[0][1]):
        with T.sblock("wide"):
            vr, vt = T.axis.remap("SS", [number, t])
            wide_stages(
                source,
                weight,
                table,
                sums,
                output,
                row.strip,
                (row.tiles[0][0], row.channels // 2),
                (
                    vr * step,
                    T.min(vt * row.tiles[0][0], row.pixels - row.tiles[0][0]) * row.strip.pitch,
                    start(vr) + T.min(vt * row.tiles[0][0], row.pixels - row.tiles[0][0]),
                ),
                finish,
            )
    if len(row.tiles) > 1:
        for t in range(row.tiles[1][1]):
            with T.sblock("rest"):
                vr, vt = T.axis.remap("SS", [number, t])
                wide_stages(
                    source,
                    weight,
                    table,
                    sums,
                    output,
                    row.strip,
                    (row.tiles[1][0], row.channels // 2),
                    (
                        vr * step,
                        (row.tiles[0][1] * TILE + vt) * row.strip.pitch,
                        start(vr) + row.tiles[0][1] * TILE + vt,
                    ),
                    finish,
                )


def tensorize_wide(sch: Any, row: WideRow, rounding: Rounding) -> None:
    """Bind the micro-kernels of a row's blocks."""
    for name, (size, _) in zip(("wide", "rest"), row.tiles, strict=False):
        tile = row.tile(size)
        sch.tensorize(sch.get_sblock(name), register_wide(tile, row.channels, rounding))
