"""Loops of a depthwise layer on Arm MVE: bands of rows, scattered into channel planes and convolved.

The padding value around the rows is written when a run of bands begins that has other rows outside the image than the
one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .copy_mve import fill_stage, register_fill
from .intrinsics.mve.depthwise import Depthwise
from .intrinsics.mve.depthwise_summed import SUMMED, register_of
from .intrinsics.mve.planes import Planes
from .requantize_mve import Rounding, table_size
from .tensor_ir import blocks
from .tensorize_mve import tensorizable

# Bytes after the planes that a contiguous load may reach.
SLACK = 16
# Kinds of bands: at the top, inside, at the bottom, and one that overlaps.
MAX_RUNS = 4


@dataclass(frozen=True)
class Run:
    """Bands with equal clipping. first, step, count: their first output rows. skipped: rows of a plane before the first
    input row; rows: input rows inside the image."""

    first: int
    step: int
    count: int
    skipped: int
    rows: int


@dataclass(frozen=True)
class PlanesLayer:
    """Loops over bands and groups of channels.

    stride, above, left: of the rows of the input. pixels, outputs: of the input and of the output.
    """

    tile: Depthwise
    planes: Planes
    runs: tuple[Run, ...]
    rounding: Rounding
    zero_point: int
    above: int
    left: int
    pixels: int
    outputs: int

    @property
    def groups(self) -> int:
        """Groups of channels; the last one overlaps when they are not a multiple."""
        return -(-self.planes.channels // self.planes.group)

    def padded(self, run: Run) -> bool:
        """Whether the padding value has to be written before a run."""
        inside = run.rows == self.tile.size // self.tile.pitch
        wide = self.planes.width == self.tile.pitch
        return not inside or (run is self.runs[0] and not wide)

    def corner(self, run: Run) -> int:
        """Position of the first input pixel of a band in its plane."""
        return run.skipped * self.tile.pitch + self.left

    def first_pixel(self, run: Run, band: Any) -> Any:
        """Number of the first input pixel of a band."""
        stride, width = self.tile.strides[0], self.planes.width
        row = run.first * stride - self.above + run.skipped
        return row * width + band * (run.step * stride * width)

    def first_output(self, run: Run, band: Any) -> Any:
        """Number of the first output pixel of a band."""
        return run.first * self.tile.width + band * (run.step * self.tile.width)

    def first_channel(self, group: Any) -> Any:
        """First channel of a group."""
        return T.min(group * self.planes.group, self.planes.channels - self.planes.group)


@script.macro
def scatter_stage(target: Any, source: Any, planes: Any, rows: Any, offsets: Any) -> None:
    """target[0, start + plane * size + y * pitch + x] = source[pixel, channel]; offsets: start, pixel, channel."""
    for y, x, c in T.grid(rows, planes.width, planes.group):
        with T.sblock("scatter_value"):
            vy, vx, vc = T.axis.remap("SSS", [y, x, c])
            target[0, offsets[0] + vc * planes.size + vy * planes.pitch + vx] = source[
                offsets[1] + vy * planes.width + vx, offsets[2] + vc
            ]


def _tap(tile: Depthwise, output: Any, channel: Any, tap: Any) -> Any:
    """Position of a tap in the planes."""
    y, x = (output // tile.width, output % tile.width) if tile.width > 1 else (output, 0)
    ky, kx = (tap // tile.kernel[1], tap % tile.kernel[1]) if tile.kernel[1] > 1 else (tap, 0)
    plane = channel // tile.multiplier if tile.multiplier > 1 else channel
    row = y * tile.strides[0] + ky * tile.dilation[0]
    return plane * tile.size + row * tile.pitch + x * tile.strides[1] + kx * tile.dilation[1]


def _first_tap(tile: Depthwise) -> int:
    """Place of a channel's first weight: the shift comes first where the table has channels one by one."""
    return 0 if tile.form == "summed" else 1


def _table_shape(tile: Depthwise, groups: int, channels: int) -> tuple[int, int]:
    """Shape of the table: one row for each of some groups, or for each of some channels."""
    how = tile.requantization
    return (groups, table_size(how, SUMMED)) if tile.form == "summed" else (channels, len(how.words))


def _table_row(tile: Depthwise, offsets: Any) -> Any:
    return offsets[2] if tile.form == "summed" else offsets[1]


def _extent(tile: Depthwise, channels: int) -> int:
    """Bytes from the first tap to the last one of the planes of some output channels."""
    lowest = (tile.height - 1) * tile.strides[0] + (tile.kernel[0] - 1) * tile.dilation[0]
    rightmost = (tile.width - 1) * tile.strides[1] + (tile.kernel[1] - 1) * tile.dilation[1]
    return (channels // tile.multiplier - 1) * tile.size + lowest * tile.pitch + rightmost + 1


def _output(
    tile: Depthwise, rounding: Rounding, total: Any, weight: Any, table: Any, offsets: Any, channel: Any
) -> Any:
    """An output from its sum. weight[channel, 1 + taps] and table[channel, words]; summed: weight[channel, taps] and
    table[group, words of eight channels]."""
    if tile.form == "summed":
        return rounding.by_group(SUMMED)(total, table, offsets[2], register_of(channel))
    return rounding.by_channel()(total, weight, table, offsets[1] + channel)


@script.macro
def convolve_stages(
    planes: Any,
    weight: Any,
    table: Any,
    sums: Any,
    output: Any,
    tile: Any,
    channels: Any,
    offsets: Any,
    rounding: Any,
) -> None:
    """sums[pixels, channels], output[pixel, channel]; weight and table as the tile's form has them (`_output`).

    offsets: output pixel, channel, and group of channels.
    """
    T.reads(
        sums[0 : tile.height * tile.width, 0:channels],
        planes[0:1, 0 : _extent(tile, channels)],
        weight[offsets[1] : offsets[1] + channels, 0 : _first_tap(tile) + tile.taps],
        table[
            _table_row(tile, offsets) : _table_row(tile, offsets) + _table_shape(tile, 1, channels)[0],
            0 : _table_shape(tile, 1, channels)[1],
        ],
    )
    T.writes(
        sums[0 : tile.height * tile.width, 0:channels],
        output[
            offsets[0] : offsets[0] + tile.height * tile.width,
            offsets[1] : offsets[1] + channels,
        ],
    )
    for o, c in T.grid(tile.height * tile.width, channels):
        with T.sblock("start"):
            vo, vc = T.axis.remap("SS", [o, c])
            sums[vo, vc] = 0
    for o, c, k in T.grid(tile.height * tile.width, channels, tile.taps):
        with T.sblock("accumulate"):
            vo, vc, vk = T.axis.remap("SSR", [o, c, k])
            sums[vo, vc] = sums[vo, vc] + T.Cast("int32", planes[0, _tap(tile, vo, vc, vk)]) * T.Cast(
                "int32", weight[offsets[1] + vc, _first_tap(tile) + vk]
            )
    for o, c in T.grid(tile.height * tile.width, channels):
        with T.sblock("requantize"):
            vo, vc = T.axis.remap("SS", [o, c])
            output[offsets[0] + vo, offsets[1] + vc] = _output(
                tile, rounding, sums[vo, vc], weight, table, offsets, vc
            )


@cache
def _register_scatter(planes: Planes, rows: int) -> str:
    extent = (planes.group - 1) * planes.size + (rows - 1) * planes.pitch + planes.width
    pixels, group = rows * planes.width, planes.group

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def scatter(source_handle: T.handle, target_handle: T.handle) -> None:
            source = T.match_buffer(
                source_handle, (pixels, group), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            target = T.match_buffer(
                target_handle, (1, extent), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                T.reads(source[0:pixels, 0:group])
                T.writes(target[0:1, 0:extent])
                if computes:
                    scatter_stage(target, source, planes, rows, (0, 0, 0))
                else:
                    T.evaluate(
                        T.call_extern(
                            "int32", planes.name, source.access_ptr("r"), target.access_ptr("w"), rows
                        )
                    )

        return scatter

    name = f"{planes.name}_rows{rows}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@cache
def _register_convolve(tile: Depthwise, planes: Planes, rounding: Rounding) -> str:
    pixels, channels = tile.height * tile.width, planes.group * tile.multiplier
    taps = _first_tap(tile) + tile.taps
    extent = _extent(tile, channels)
    table_shape, zero_point = _table_shape(tile, 1, channels), rounding.zero_point
    counted = () if tile.form == "summed" else (channels,)

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def convolve(
            planes_handle: T.handle,
            weight_handle: T.handle,
            table_handle: T.handle,
            sums_handle: T.handle,
            output_handle: T.handle,
        ) -> None:
            source = T.match_buffer(
                planes_handle, (1, extent), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            weight = T.match_buffer(
                weight_handle, (channels, taps), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            table = T.match_buffer(
                table_handle, table_shape, "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            sums = T.match_buffer(
                sums_handle, (pixels, channels), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            output = T.match_buffer(
                output_handle, (pixels, channels), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                if computes:
                    convolve_stages(source, weight, table, sums, output, tile, channels, (0, 0, 0), rounding)
                else:
                    T.reads(
                        sums[0:pixels, 0:channels],
                        source[0:1, 0:extent],
                        weight[0:channels, 0:taps],
                        table[0 : table_shape[0], 0 : table_shape[1]],
                    )
                    T.writes(sums[0:pixels, 0:channels], output[0:pixels, 0:channels])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            tile.name,
                            source.access_ptr("r"),
                            weight.access_ptr("r"),
                            table.access_ptr("r"),
                            output.access_ptr("w"),
                            *counted,
                            output.strides[0],
                            zero_point,
                        )
                    )

        return convolve

    name = f"{tile.name}_of_{channels}_zero_{zero_point}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@script.macro
def run_stages(
    data: Any, weight: Any, table: Any, planes: Any, sums: Any, output: Any, run: Any, layer: Any
) -> None:
    """All bands of a run."""
    if layer.padded(run):
        with T.sblock("padding"):
            fill_stage(planes, (0, 0), layer.planes.group * layer.tile.size, layer.zero_point)
    for b, g in T.grid(run.count, layer.groups):
        with T.sblock("scatter"):
            vb, vg = T.axis.remap("SS", [b, g])
            scatter_stage(
                planes,
                data,
                layer.planes,
                run.rows,
                (layer.corner(run), layer.first_pixel(run, vb), layer.first_channel(vg)),
            )
        with T.sblock("convolve"):
            vb, vg = T.axis.remap("SS", [b, g])
            convolve_stages(
                planes,
                weight,
                table,
                sums,
                output,
                layer.tile,
                layer.planes.group * layer.tile.multiplier,
                (layer.first_output(run, vb), layer.first_channel(vg) * layer.tile.multiplier, vg),
                layer.rounding,
            )


@cache
def build_planes(layer: PlanesLayer) -> Any:
    """Function of a depthwise layer, its micro-kernels bound."""
    tile, planes, runs = layer.tile, layer.planes, layer.runs
    channels = planes.channels * tile.multiplier
    table_shape = _table_shape(tile, layer.groups, channels)
    size = planes.group * tile.size + SLACK
    band, group = tile.height * tile.width, planes.group * tile.multiplier
    pixels, outputs = layer.pixels, layer.outputs

    @script.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, (pixels, planes.channels), "int8")
        weight = T.match_buffer(weight_handle, (channels, _first_tap(tile) + tile.taps), "int8")
        table = T.match_buffer(table_handle, table_shape, "int32")
        output = T.match_buffer(output_handle, (outputs, channels), "int8")
        sums = T.sblock_alloc_buffer((band, group), "int32")
        scratch = T.sblock_alloc_buffer((1, size), "int8")
        # Buffers shrink to what is accessed; this keeps what loads run over at the end.
        for _ in range(1):
            with T.sblock("end"):
                fill_stage(scratch, (0, planes.group * tile.size), SLACK, 0)
        run_stages(data, weight, table, scratch, sums, output, runs[0], layer)
        if len(runs) > 1:
            run_stages(data, weight, table, scratch, sums, output, runs[1], layer)
        if len(runs) > 2:
            run_stages(data, weight, table, scratch, sums, output, runs[2], layer)
        if len(runs) > 3:
            run_stages(data, weight, table, scratch, sums, output, runs[3], layer)

    sch = tensorizable(main)
    padding = register_fill(planes.group * tile.size, layer.zero_point)
    convolve = _register_convolve(tile, planes, layer.rounding)
    for block in blocks(sch):
        name = str(sch.get(block).name_hint).split("_")[0]
        if name == "padding":
            sch.tensorize(block, padding)
        elif name == "end":
            sch.tensorize(block, register_fill(SLACK, 0))
        elif name == "convolve":
            sch.tensorize(block, convolve)
        else:
            rows = int(sch.get(sch.get_loops(sch.get_child_blocks(block)[0])[0]).extent)
            sch.tensorize(block, _register_scatter(planes, rows))
    return sch.mod["main"]
