"""Wide tiles on Arm MVE: TensorIR description and binding of `intrinsics/mve/wide_tile.py`.

One call computes the tiles of four of a row of pixels. What is left is a tile of fewer pixels, single pixels, or a tile
of four that overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.deep_tile import deep_applies
from .intrinsics.mve.lone_tile import lone_applies, lone_groups
from .intrinsics.mve.strip import MAX_UNROLLED, SMALL, TILE, VECTOR, Strip
from .intrinsics.mve.wide_tile import WideTile, wide_instructions, wide_kernels
from .kernel import MicroKernel
from .parts import Parts
from .requantize_mve import Rounding, table_size
from .strip_mve import packed_shape, weight_column

# Rows of more pixels are left to strips, which overlap the end of one tile with the beginning of the next.
MAX_PIXELS = 64
# The same with a loop over taps, for calls of few pixels: strips of more, some rows gathered side by side if need be,
# make up for what they set up for every two channels.
_MAX_DEEP_PIXELS = 16
# The caller's instructions per tile: arguments and loop.
_CALL = 16.0
# Estimated cycles (the model of `ordering.py`) that two channels of a tile wait more than in a strip, for their sums:
# of one vector of taps, and of more.
_WAIT, _WAIT_DEEP = 5.0, 7.0
# The same where the end of a pair does not run beside the next one.
_WAIT_ALONE = 9.0
# Before the first pair of a tile and after the last one; before the first tile of a strip and after the last one.
_WAIT_PER_TILE, _WAIT_PER_STRIP = 10.0, 16.0


@dataclass(frozen=True)
class WideRow:
    """Tiles of a row of `pixels` pixels, `channels` of them each.

    overlap: the last tile repeats pixels. lone: what is left are single pixels, in the same call.
    """

    strip: Strip
    pixels: int
    channels: int
    overlap: bool
    lone: bool = False

    @property
    def calls(self) -> tuple[int, ...]:
        """Pixels of the calls, the one of whole tiles first."""
        whole = self.pixels if self.overlap or self.lone else self.pixels // TILE * TILE
        return tuple(size for size in (whole, self.pixels - whole) if size)

    @property
    def pairs(self) -> int:
        """Pairs of channels; an odd last channel comes with the one before."""
        return -(-self.channels // 2)

    def tile(self, pixels: int) -> WideTile:
        """The tile of a call for so many pixels."""
        return WideTile(self.strip, min(TILE, pixels), self.lone)

    @property
    def instructions(self) -> float:
        """Instructions of the row."""
        return sum(_CALL + wide_instructions(self.tile(size), size, self.channels) for size in self.calls)

    @property
    def _single(self) -> int:
        """Pixels that are computed one by one."""
        return self.pixels % TILE if self.lone else 0

    def _tiles(self, pixels: int) -> int:
        """Tiles of a call for so many pixels."""
        return -(-(pixels - self._single) // TILE)

    @property
    def waits(self) -> float:
        """Cycles of the row in which strips would do something."""
        paired = _WAIT if self.strip.depth <= VECTOR else _WAIT_DEEP
        total = -_WAIT_PER_STRIP * self.pairs + _WAIT_ALONE * self._single * lone_groups(self.channels)
        for size in self.calls:
            wait = paired if self.tile(size).overlaps_pairs else _WAIT_ALONE
            total += self._tiles(size) * (_WAIT_PER_TILE + self.pairs * wait)
        return max(0.0, total)

    @property
    def parts(self) -> Parts:
        """The same, with the requantisation among the products."""
        computed = self._single + sum(min(size, TILE) * self._tiles(size) for size in self.calls)
        vectors = -(-self.strip.depth // VECTOR)
        return Parts(self.instructions, multiplications=computed * self.channels * vectors)

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """The micro-kernels of its tiles."""
        return tuple(kernel for size in self.calls for kernel in wide_kernels(self.tile(size)))


def wide_rows(strip: Strip, pixels: int, channels: int) -> list[WideRow]:
    """Ways to cut a row of a strip of one segment into wide tiles; none for one channel and for long rows."""
    if channels < 2 or pixels > MAX_PIXELS or strip.rows > 1:
        return []
    few = pixels <= _MAX_DEEP_PIXELS and not strip.overrun
    if strip.depth > MAX_UNROLLED and not (few and deep_applies(strip)):
        return []
    deep = replace(strip, loop=True, columns=0, frame=SMALL if strip.frame == SMALL else "own")
    # Rows without a whole tile are rows times a matrix (`dense_mve.py`).
    left_over = pixels > TILE and pixels % TILE > 0
    overlap = [True] if left_over else []
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
    """The stages of one call; shape: pixels and channels.

    source[row, column], weight[pair, 2 * depth] as packed, table[pair, words], sums[pixels, 2 * pairs],
    output[pixel, channel], or output[channel, pixel] in planes. offsets: row, column and output pixel.
    """
    T.reads(
        sums[0 : shape[0], 0 : (shape[1] + 1) // 2 * 2],
        source[offsets[0] : offsets[0] + 1, offsets[1] : offsets[1] + strip.span(shape[0])],
        weight[0 : (shape[1] + 1) // 2, 0 : 2 * strip.depth],
        table[0 : (shape[1] + 1) // 2, 0 : table_size(strip.requantization, 2)],
    )
    if strip.plane > 0:
        T.writes(
            sums[0 : shape[0], 0 : (shape[1] + 1) // 2 * 2],
            output[0 : shape[1], offsets[2] : offsets[2] + shape[0]],
        )
    else:
        T.writes(
            sums[0 : shape[0], 0 : (shape[1] + 1) // 2 * 2],
            output[offsets[2] : offsets[2] + shape[0], 0 : shape[1]],
        )
    for x, n, c in T.grid(shape[0], (shape[1] + 1) // 2, 2):
        with T.sblock("start"):
            vx, vn, vc = T.axis.remap("SSS", [x, n, c])
            sums[vx, vn * 2 + vc] = 0
    for x, n, c, k in T.grid(shape[0], (shape[1] + 1) // 2, 2, strip.depth):
        with T.sblock("accumulate"):
            vx, vn, vc, vk = T.axis.remap("SSSR", [x, n, c, k])
            sums[vx, vn * 2 + vc] = sums[vx, vn * 2 + vc] + T.Cast(
                "int32", source[offsets[0], offsets[1] + vx * strip.pitch + vk]
            ) * T.Cast("int32", weight[vn, weight_column(strip, vc, vk)])
    for x, n, c in T.grid(shape[0], (shape[1] + 1) // 2, 2):
        with T.sblock("requantize"):
            vx, vn, vc = T.axis.remap("SSS", [x, n, c])
            if strip.plane > 0:
                output[T.min(vn * 2, shape[1] - 2) + vc, offsets[2] + vx] = finish(
                    sums[vx, vn * 2 + vc], table, vn, vc
                )
            else:
                output[offsets[2] + vx, T.min(vn * 2, shape[1] - 2) + vc] = finish(
                    sums[vx, vn * 2 + vc], table, vn, vc
                )


@cache
def register_wide(tile: WideTile, pixels: int, channels: int, rounding: Rounding) -> str:
    """Register the intrinsic of a call for so many pixels and channels and return its name."""
    strip, pairs = tile.strip, -(-channels // 2)
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
                sums_handle, (pixels, 2 * pairs), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            output = T.match_buffer(
                output_handle, output_tile, "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                if computes:
                    wide_stages(
                        source, weight, table, sums, output, strip, (pixels, channels), (0, 0, 0), finish
                    )
                else:
                    T.reads(
                        sums[0:pixels, 0 : 2 * pairs],
                        source[0:1, 0:span],
                        weight[0 : weight_shape[0], 0 : weight_shape[1]],
                        table[0:pairs, 0:words],
                    )
                    T.writes(sums[0:pixels, 0 : 2 * pairs], output[0 : output_tile[0], 0 : output_tile[1]])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            tile.name,
                            source.access_ptr("r"),
                            weight.access_ptr("r"),
                            table.access_ptr("r"),
                            output.access_ptr("w"),
                            pixels,
                            channels,
                            zero_point,
                        )
                    )

        return wide

    name = f"{tile.name}_of_{pixels}x{channels}_zero_{zero_point}"
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
    with T.sblock("wide"):
        vr = T.axis.spatial(rows, number)
        wide_stages(
            source,
            weight,
            table,
            sums,
            output,
            row.strip,
            (row.calls[0], row.channels),
            (vr * step, 0, start(vr)),
            finish,
        )
    if len(row.calls) > 1:
        with T.sblock("rest"):
            vr = T.axis.spatial(rows, number)
            wide_stages(
                source,
                weight,
                table,
                sums,
                output,
                row.strip,
                (row.calls[1], row.channels),
                (vr * step, row.calls[0] * row.strip.pitch, start(vr) + row.calls[0]),
                finish,
            )


def tensorize_wide(sch: Any, row: WideRow, rounding: Rounding) -> None:
    """Bind the micro-kernels of a row's blocks."""
    for name, size in zip(("wide", "rest"), row.calls, strict=False):
        sch.tensorize(sch.get_sblock(name), register_wide(row.tile(size), size, row.channels, rounding))
