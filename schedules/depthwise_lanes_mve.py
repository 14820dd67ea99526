"""Depthwise layers of few outputs on Arm MVE: channels are the lanes of vectors, and nothing is brought elsewhere.

Outputs side by side whose windows reach over the same borders are one call of a micro-kernel, which reads the taps
inside of the image; what the others would add is part of the bias.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.depthwise_lanes import (
    CHANNELS,
    LOWEST_WEIGHT,
    ChannelLanes,
    Window,
    lanes_kernels,
    lanes_parts,
    place_of,
    stream_bytes,
)
from .kernel import Array, Candidate, Problem
from .parts import Parts
from .plan_mve import plan
from .requantize_mve import Epilogue, Rounding, byte_of, epilogue_of
from .tensor_ir import blocks
from .tensorize_mve import tensorizable

# Outputs of a layer above which channel planes take less instructions.
MAX_OUTPUTS = 16
# Parts of windows that lie in the image, each with code and biases of its own; several are worth their code where only
# instructions count.
MAX_KINDS = {"speed": 4}
# The caller's instructions per call of the micro-kernel.
_CALL = 10.0


@dataclass(frozen=True)
class _Axis:
    """An axis of a layer. pixels: from one of the input to the next one, in pixels."""

    size: int
    outputs: int
    kernel: int
    stride: int
    dilation: int
    before: int
    pixels: int

    def inside(self, output: int) -> tuple[int, int]:
        """First tap that lies in the image, and how many do."""
        first = output * self.stride - self.before
        taps = [tap for tap in range(self.kernel) if 0 <= first + tap * self.dilation < self.size]
        return (taps[0], len(taps)) if taps else (0, 0)

    def runs(self) -> list[tuple[int, int, tuple[int, int]]]:
        """Outputs with the same taps inside: (first, count, taps)."""
        found: list[tuple[int, int, tuple[int, int]]] = []
        for output in range(self.outputs):
            inside = self.inside(output)
            if found and found[-1][2] == inside:
                found[-1] = (found[-1][0], found[-1][1] + 1, inside)
            else:
                found.append((output, 1, inside))
        return found


@dataclass(frozen=True)
class _Piece:
    """Rows of outputs side by side, one call of the micro-kernel each. rows, columns: (first, count)."""

    lanes: ChannelLanes
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True)
class _Layer:
    """A layer. rows, columns: its axes; outputs of a row lie side by side."""

    rows: _Axis
    columns: _Axis
    channels: int
    rounding: Rounding
    pieces: tuple[_Piece, ...]

    @property
    def nbytes(self) -> int:
        """Of the input."""
        return self.rows.size * self.columns.size * self.channels

    @property
    def outputs(self) -> int:
        """Pixels of the output."""
        return self.rows.outputs * self.columns.outputs

    @property
    def table(self) -> tuple[int, int]:
        """Blocks of channels, and words of a block's stream."""
        lanes = self.pieces[0].lanes
        return lanes.blocks, stream_bytes(lanes.window, self.rounding.how) // 4


def schedule_depthwise_lanes_mve(problem: Problem) -> Candidate | None:
    """Schedule depthwise_conv2d of few outputs; None for several outputs per channel and for weights of -128."""
    if problem.operator != "depthwise_conv2d" or "mve" not in problem.features:
        return None
    if problem.attrs["depth_multiplier"] > 1 or int(np.prod(problem.output_shape[:3])) > MAX_OUTPUTS:
        return None
    epilogue = epilogue_of(problem)
    if epilogue is None:
        return None
    weight, (rows, columns) = problem.constants["weight"][0], _axes(problem)
    if columns.outputs == 1 and (rows.outputs > 1 or rows.kernel > columns.kernel):
        # Outputs of a column lie side by side; long lines of taps take few registers.
        rows, columns, weight = columns, rows, weight.swapaxes(0, 1)
    kinds = MAX_KINDS.get(problem.objective, 1)
    layer = _layer(rows, columns, problem.shapes["data"][3], epilogue.rounding, kinds)
    if layer is None or weight.min() < LOWEST_WEIGHT:
        return None
    parts = sum((_parts(piece) for piece in layer.pieces), Parts())
    zero_point = problem.attrs["input_zero_point"]
    return plan(
        scratch=0,
        rule="mve depthwise lanes",
        instructions=parts.total,
        parts=parts,
        function=lambda: _build(layer),
        constants=lambda: {"table": _table(layer, weight, epilogue, zero_point)},
        micro_kernels=lambda: tuple(
            kernel for piece in layer.pieces for kernel in lanes_kernels(piece.lanes)
        ),
    )


def _axes(problem: Problem) -> tuple[_Axis, _Axis]:
    """Rows and columns of a layer."""
    _, height, width, _ = problem.shapes["data"]
    _, kernel_h, kernel_w, _ = problem.shapes["weight"]
    _, output_height, output_width, _ = problem.output_shape
    attrs = problem.attrs
    (stride_h, stride_w), (dilation_h, dilation_w) = attrs["strides"], attrs["dilation"]
    top, left, *_ = attrs["padding"]
    return (
        _Axis(height, output_height, kernel_h, stride_h, dilation_h, top, width),
        _Axis(width, output_width, kernel_w, stride_w, dilation_w, left, 1),
    )


@cache
def _layer(rows: _Axis, columns: _Axis, channels: int, rounding: Rounding, kinds: int) -> _Layer | None:
    """The pieces of a layer; None for too many, for more than `kinds`, and for windows outside of the image."""
    found = [(row, column) for row in rows.runs() for column in columns.runs()]
    insides = list(dict.fromkeys((row[2], column[2]) for row, column in found))
    if len(insides) > kinds or any(not count for inside in insides for _, count in inside):
        return None
    pieces = []
    for row, column in found:
        (first_line, lines), (first_tap, taps) = row[2], column[2]
        kind = insides.index((row[2], column[2]))
        kernel = rows.kernel, columns.kernel
        lanes = ChannelLanes(
            window=Window(kernel, (first_line, first_tap), (lines, taps), kind, len(insides)),
            step=columns.dilation * columns.pixels * channels,
            line=rows.dilation * rows.pixels * channels,
            next=columns.stride * columns.pixels * channels,
            channels=channels,
            requantization=rounding.how,
        )
        if not lanes.applies:
            return None
        pieces.append(_Piece(lanes, row[:2], column[:2]))
    return _Layer(rows, columns, channels, rounding, tuple(pieces))


@cache
def _parts(piece: _Piece) -> Parts:
    return (lanes_parts(piece.lanes, piece.columns[1]) + Parts(calls=_CALL)) * piece.rows[1]


def _table(layer: _Layer, weight: Array, epilogue: Epilogue, zero_point: int) -> Array:
    """int32[blocks, words]: the streams of all blocks; weights int8[lines, taps, channels]."""
    blocks_, _ = layer.table
    order = np.argsort([place_of(lane) for lane in range(CHANNELS)])
    first = np.minimum(CHANNELS * np.arange(blocks_), max(0, layer.channels - CHANNELS))
    # What a block lacks repeats its channels.
    lanes = first[:, None] + np.arange(CHANNELS) % layer.channels
    taps = weight.reshape(-1, layer.channels)[:, lanes].transpose(1, 0, 2)
    outside = _outside(layer, weight).astype(np.int64) * zero_point
    biases = (epilogue.rows[0] + outside).astype(np.int32)[:, lanes[:, order]].transpose(1, 0, 2)
    others = epilogue.grouped(lanes[:, order])[:, CHANNELS:]
    weights = np.ascontiguousarray(taps.reshape(blocks_, -1)).view(np.int32)
    return np.ascontiguousarray(np.concatenate([weights, biases.reshape(blocks_, -1), others], 1))


def _outside(layer: _Layer, weight: Array) -> Array:
    """int32[kinds, channels]: sums of the weights that meet padding."""
    sums = {}
    for piece in layer.pieces:
        window = piece.lanes.window
        (line, tap), (lines, taps) = window.first, window.size
        inside = weight[line : line + lines, tap : tap + taps]
        sums[window.kind] = weight.sum((0, 1), np.int32) - inside.sum((0, 1), np.int32)
    return np.stack([sums[kind] for kind in sorted(sums)])


def _begin(layer: _Layer, piece: _Piece, row: Any) -> Any:
    """Byte of the first tap of the first output of a row of a piece."""
    line, tap = piece.lanes.window.first
    rows, columns = layer.rows, layer.columns
    y = (piece.rows[0] + row) * rows.stride + (line * rows.dilation - rows.before)
    x = piece.columns[0] * columns.stride + tap * columns.dilation - columns.before
    return y * (rows.pixels * layer.channels) + x * columns.pixels * layer.channels


def _place(lanes: ChannelLanes, output: Any, tap: Any) -> Any:
    """Bytes from the first tap of the first output to a tap of an output."""
    width = lanes.window.size[1]
    line, place = (tap // width, tap % width) if width > 1 else (tap, 0)
    return output * lanes.next + line * lanes.line + place * lanes.step


def _reach(piece: _Piece) -> int:
    """Bytes from the first to the last one of a call."""
    lanes, (lines, taps) = piece.lanes, piece.lanes.window.size
    last = (piece.columns[1] - 1) * lanes.next + (lines - 1) * lanes.line + (taps - 1) * lanes.step
    return last + lanes.channels


def _lane(lanes: ChannelLanes, channel: Any) -> Any:
    """Lane of a channel in its block."""
    if lanes.channels % CHANNELS == 0 or lanes.few:
        return channel % CHANNELS
    return channel - T.min(channel // CHANNELS * CHANNELS, lanes.channels - CHANNELS)


def _weight(lanes: ChannelLanes, table: Any, channel: Any, tap: Any) -> Any:
    """A weight, of which four are a word."""
    window = lanes.window
    width = window.size[1]
    line, place = (tap // width, tap % width) if width > 1 else (tap, 0)
    number = (window.first[0] + line) * window.kernel[1] + window.first[1] + place
    lane = _lane(lanes, channel)
    return byte_of(table[channel // CHANNELS, number * (CHANNELS // 4) + lane // 4], lane % 4)


def _finish(lanes: ChannelLanes, rounding: Rounding) -> Callable[..., Any]:
    """Output from sum, table and channel."""
    biases = lanes.window.all_taps * (CHANNELS // 4)
    finish = rounding.by_stream(
        CHANNELS, biases + CHANNELS * lanes.window.kind, biases + CHANNELS * lanes.window.kinds
    )

    def output(total: Any, table: Any, channel: Any) -> Any:
        return finish(total, table, channel // CHANNELS, place_of(_lane(lanes, channel)))

    return output


@script.macro
def _stages(
    data: Any, table: Any, sums: Any, output: Any, piece: Any, shape: Any, offsets: Any, finish: Any
) -> None:
    """data[bytes], table[block, words], sums[output, channel], output[pixel, channel]; shape: of the table.

    offsets: byte of the input, output pixel.
    """
    T.reads(
        sums[0 : piece.columns[1], 0 : piece.lanes.channels],
        data[offsets[0] : offsets[0] + _reach(piece)],
        table[0 : shape[0], 0 : shape[1]],
    )
    T.writes(
        sums[0 : piece.columns[1], 0 : piece.lanes.channels],
        output[offsets[1] : offsets[1] + piece.columns[1], 0 : piece.lanes.channels],
    )
    for o, c in T.grid(piece.columns[1], piece.lanes.channels):
        with T.sblock("start"):
            vo, vc = T.axis.remap("SS", [o, c])
            sums[vo, vc] = 0
    for o, c, k in T.grid(piece.columns[1], piece.lanes.channels, piece.lanes.window.taps):
        with T.sblock("accumulate"):
            vo, vc, vk = T.axis.remap("SSR", [o, c, k])
            sums[vo, vc] = sums[vo, vc] + T.Cast(
                "int32", data[offsets[0] + _place(piece.lanes, vo, vk) + vc]
            ) * _weight(piece.lanes, table, vc, vk)
    for o, c in T.grid(piece.columns[1], piece.lanes.channels):
        with T.sblock("requantize"):
            vo, vc = T.axis.remap("SS", [o, c])
            output[offsets[1] + vo, vc] = finish(sums[vo, vc], table, vc)


@cache
def _register(layer: _Layer, piece: _Piece) -> str:
    lanes, outputs, reach, shape = piece.lanes, piece.columns[1], _reach(piece), layer.table
    finish, zero_point = _finish(lanes, layer.rounding), layer.rounding.zero_point
    channels, name = lanes.channels, lanes.name

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def convolve(
            data_handle: T.handle, table_handle: T.handle, sums_handle: T.handle, output_handle: T.handle
        ) -> None:
            data = T.match_buffer(data_handle, (reach,), "int8", offset_factor=1)
            table = T.match_buffer(table_handle, shape, "int32", offset_factor=1, strides=[T.int32(), 1])
            sums = T.match_buffer(
                sums_handle, (outputs, channels), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            output = T.match_buffer(
                output_handle, (outputs, channels), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                if computes:
                    _stages(data, table, sums, output, piece, shape, (0, 0), finish)
                else:
                    T.reads(
                        sums[0:outputs, 0:channels],
                        data[0:reach],
                        table[0 : shape[0], 0 : shape[1]],
                    )
                    T.writes(sums[0:outputs, 0:channels], output[0:outputs, 0:channels])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            name,
                            data.access_ptr("r"),
                            table.access_ptr("r"),
                            output.access_ptr("w"),
                            outputs,
                            zero_point,
                        )
                    )

        return convolve

    registered = f"{name}_for_{outputs}_zero_{zero_point}"
    TensorIntrin.register(registered, make(True), make(False), override=True)
    return registered


@script.macro
def _pieces(data: Any, table: Any, sums: Any, output: Any, layer: Any, number: Any) -> None:
    """The pieces of a layer from a number on."""
    for r in range(layer.pieces[number].rows[1]):
        with T.sblock("piece"):
            vr = T.axis.spatial(layer.pieces[number].rows[1], r)
            _stages(
                data,
                table,
                sums,
                output,
                layer.pieces[number],
                layer.table,
                (
                    _begin(layer, layer.pieces[number], vr),
                    (layer.pieces[number].rows[0] + vr) * layer.columns.outputs
                    + layer.pieces[number].columns[0],
                ),
                _finish(layer.pieces[number].lanes, layer.rounding),
            )
    if number + 1 < len(layer.pieces):
        _pieces(data, table, sums, output, layer, number + 1)


@cache
def _build(layer: _Layer) -> Any:
    """Function of a layer, its micro-kernels bound."""
    nbytes, channels, outputs, shape = layer.nbytes, layer.channels, layer.outputs, layer.table
    widest = max(piece.columns[1] for piece in layer.pieces)

    @script.prim_func(s_tir=True)
    def main(data_handle: T.handle, table_handle: T.handle, output_handle: T.handle) -> None:
        data = T.match_buffer(data_handle, (nbytes,), "int8")
        table = T.match_buffer(table_handle, shape, "int32")
        output = T.match_buffer(output_handle, (outputs, channels), "int8")
        sums = T.sblock_alloc_buffer((widest, channels), "int32")
        _pieces(data, table, sums, output, layer, 0)

    sch = tensorizable(main)
    for block, piece in zip(blocks(sch), layer.pieces, strict=True):
        sch.tensorize(block, _register(layer, piece))
    return sch.mod["main"]
