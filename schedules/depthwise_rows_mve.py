"""Depthwise layers on Arm MVE that read planes: a line buffer holds the rows of each channel side by side.

Rows stay in planes from one call to the next, so nothing is scattered. All channels are one call of the micro-kernel;
what is left of groups of channels is a second one, which overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.depthwise import LANES, Depthwise, Lanes
from .intrinsics.mve.depthwise_narrow import QUAD, NarrowRows, narrow_applies, narrow_kernel, narrow_parts
from .intrinsics.mve.depthwise_rows import PlaneRows, rows_kernel, rows_parts, within_reach
from .intrinsics.mve.depthwise_summed import SUMMED, register_of
from .kernel import Array, Candidate, MicroKernel, Problem
from .parts import Parts
from .plan_mve import plan
from .requantize_mve import Epilogue, Rounding, table_size
from .tensor_ir import blocks
from .tensorize_mve import tensorizable

# The caller's instructions per call.
_CALL = 14.0
_KERNELS = (PlaneRows, NarrowRows)


@dataclass(frozen=True)
class _Layer:
    """A layer. rows: input rows of a call. calls: (first channel, groups) of the micro-kernel's calls."""

    kernel: PlaneRows
    lanes: Lanes
    rounding: Rounding
    rows: int
    channels: int
    calls: tuple[tuple[int, int], ...]

    @property
    def lot(self) -> int:
        """Channels of a group."""
        return _lot(self.kernel)

    def place(self, channel: Any) -> Any:
        """Place of a channel among the words of a group's table; also works on TensorIR expressions."""
        return channel if isinstance(self.kernel, NarrowRows) else register_of(channel)

    @property
    def groups(self) -> int:
        """Rows of the table."""
        return sum(groups for _, groups in self.calls)

    def extent(self, channels: int) -> int:
        """Bytes from the first to the last input of some channels."""
        tile = self.kernel.tile
        return (channels - 1) * tile.size + self.rows * tile.pitch

    def weights(self, channels: int) -> int:
        """Bytes of weights of some channels, with the zeros in front."""
        return LANES * (1 + channels * self.lanes.parts)


def plan_depthwise_rows(problem: Problem, epilogue: Epilogue) -> list[Candidate]:
    """Plan a layer whose input lies in planes; nothing for borders above or below, and for what no vectors hold."""
    _, rows, columns, channels = problem.shapes["data"]
    _, height, width, _ = problem.output_shape
    _, kernel_h, kernel_w, _ = problem.shapes["weight"]
    attrs = problem.attrs
    top, left, bottom, _ = attrs["padding"]
    if attrs["depth_multiplier"] > 1 or channels < SUMMED or top or bottom:
        return []
    tile = Depthwise(
        height=height,
        width=width,
        kernel=(kernel_h, kernel_w),
        strides=tuple(attrs["strides"]),
        dilation=tuple(attrs["dilation"]),
        pitch=columns,
        size=problem.data_plane,
        multiplier=1,
        requantization=epilogue.how,
        form="planes",
    )
    weight, found = problem.constants["weight"][0], []
    for kernel in _KERNELS:
        layer = _layer(kernel(tile, left, attrs["input_zero_point"]), epilogue, rows, channels)
        if layer is not None:
            found.append(_plan(layer, weight, epilogue))
    return found


def _lot(kernel: PlaneRows) -> int:
    return QUAD if isinstance(kernel, NarrowRows) else SUMMED


def _layer(kernel: PlaneRows, epilogue: Epilogue, rows: int, channels: int) -> _Layer | None:
    """How a micro-kernel computes a layer; None when it does not."""
    lanes = kernel.lanes
    if lanes is None:
        return None
    applies = (
        narrow_applies(kernel, channels) if isinstance(kernel, NarrowRows) else within_reach(kernel, lanes)
    )
    if not applies:
        return None
    lot = _lot(kernel)
    whole, rest = divmod(channels, lot)
    calls = ((0, whole), *(((channels - lot, 1),) if rest else ()))
    return _Layer(kernel, lanes, epilogue.rounding, rows, channels, calls)


def _plan(layer: _Layer, weight: Array, epilogue: Epilogue) -> Candidate:
    lanes = layer.lanes
    parts = sum((_parts(layer, groups) for _, groups in layer.calls), Parts(calls=_CALL * len(layer.calls)))
    return plan(
        scratch=0,
        rule="mve depthwise rows of planes",
        instructions=parts.total,
        parts=parts,
        function=lambda: _build(layer),
        constants=lambda: {"weight": weights_in_lanes(weight, lanes), "table": _table(layer, epilogue)},
        micro_kernels=lambda: (_micro_kernel(layer),),
    )


def _parts(layer: _Layer, groups: int) -> Parts:
    if isinstance(layer.kernel, NarrowRows):
        return narrow_parts(layer.kernel, groups)
    return rows_parts(layer.kernel, layer.lanes, groups)


def _micro_kernel(layer: _Layer) -> MicroKernel:
    if isinstance(layer.kernel, NarrowRows):
        return narrow_kernel(layer.kernel)
    return rows_kernel(layer.kernel, layer.lanes)


def weights_in_lanes(weight: Array, lanes: Lanes) -> Array:
    """int8[rows, columns, channels] as int8[(1 + channels * parts) * 16]: zeros, then every channel's vectors.

    Weights lie in the lanes of the taps they belong to.
    """
    kernel_h, kernel_w, channels = weight.shape
    vectors = np.zeros((channels, lanes.parts, LANES), np.int8)
    for row in range(kernel_h):
        part = _part(lanes, row)
        lane = (row - lanes.first_row(part)) * lanes.columns
        vectors[:, part, lane : lane + kernel_w] = weight[row].T
    return np.concatenate([np.zeros(LANES, np.int8), vectors.ravel()])


def _part(lanes: Lanes, row: int) -> int:
    """Vector that has the weights of a kernel row; the last one may repeat rows, with weights of zero."""
    return min(row // lanes.rows, lanes.parts - 1)


def _table(layer: _Layer, epilogue: Epilogue) -> Array:
    """int32[groups, words of a group's channels] in the order of the registers."""
    order = np.argsort([layer.place(channel) for channel in range(layer.lot)])
    firsts = [first + layer.lot * group for first, groups in layer.calls for group in range(groups)]
    return epilogue.grouped(np.array(firsts)[:, None] + order)


def _weight_lane(lanes: Lanes, tap: Any) -> Any:
    """Place of a weight among those of its channel."""
    kernel_w = lanes.tile.kernel[1]
    row, column = (tap // kernel_w, tap % kernel_w) if kernel_w > 1 else (tap, 0)
    if lanes.parts == 1:
        return row * lanes.columns + column
    part = T.min(row // lanes.rows, lanes.parts - 1)
    first = T.min(part * lanes.rows, lanes.tile.kernel[0] - lanes.rows)
    return part * LANES + (row - first) * lanes.columns + column


def _column(kernel: PlaneRows, output: Any, tap: Any) -> Any:
    """Column of a tap."""
    tile = kernel.tile
    x = output % tile.width if tile.width > 1 else 0
    column = tap % tile.kernel[1] if tile.kernel[1] > 1 else 0
    return x * tile.strides[1] + column * tile.dilation[1] - kernel.left


def _row(kernel: PlaneRows, output: Any, tap: Any) -> Any:
    """Row of a tap."""
    tile = kernel.tile
    y = output // tile.width if tile.height > 1 else 0
    return y * tile.strides[0] + tap // tile.kernel[1] * tile.dilation[0]


@script.macro
def _stages(
    planes: Any,
    weight: Any,
    table: Any,
    sums: Any,
    output: Any,
    layer: Any,
    groups: Any,
    offsets: Any,
    finish: Any,
) -> None:
    """Some groups of channels. planes[0, plane * size + row * columns + column], weight[(1 + vector) * 16 + lane],
    table[group, words], sums[pixel, channel], output[pixel, channel]. offsets: first channel, first group."""
    T.reads(
        sums[0 : layer.kernel.outputs, 0 : groups * layer.lot],
        planes[
            0:1,
            offsets[0] * layer.kernel.tile.size : offsets[0] * layer.kernel.tile.size
            + layer.extent(groups * layer.lot),
        ],
        weight[
            offsets[0] * (layer.lanes.parts * LANES) : offsets[0] * (layer.lanes.parts * LANES)
            + layer.weights(groups * layer.lot)
        ],
        table[offsets[1] : offsets[1] + groups, 0 : table_size(layer.rounding.how, layer.lot)],
    )
    T.writes(
        sums[0 : layer.kernel.outputs, 0 : groups * layer.lot],
        output[0 : layer.kernel.outputs, offsets[0] : offsets[0] + groups * layer.lot],
    )
    for o, c in T.grid(layer.kernel.outputs, groups * layer.lot):
        with T.sblock("start"):
            vo, vc = T.axis.remap("SS", [o, c])
            sums[vo, vc] = 0
    for o, c, k in T.grid(layer.kernel.outputs, groups * layer.lot, layer.kernel.tile.taps):
        with T.sblock("accumulate"):
            vo, vc, vk = T.axis.remap("SSR", [o, c, k])
            sums[vo, vc] = sums[vo, vc] + T.if_then_else(
                T.And(
                    _column(layer.kernel, vo, vk) >= 0,
                    _column(layer.kernel, vo, vk) < layer.kernel.tile.pitch,
                ),
                T.Cast(
                    "int32",
                    planes[
                        0,
                        (offsets[0] + vc) * layer.kernel.tile.size
                        + _row(layer.kernel, vo, vk) * layer.kernel.tile.pitch
                        + _column(layer.kernel, vo, vk),
                    ],
                ),
                layer.kernel.border,
            ) * T.Cast(
                "int32",
                weight[(1 + (offsets[0] + vc) * layer.lanes.parts) * LANES + _weight_lane(layer.lanes, vk)],
            )
    for o, c in T.grid(layer.kernel.outputs, groups * layer.lot):
        with T.sblock("requantize"):
            vo, vc = T.axis.remap("SS", [o, c])
            output[vo, offsets[0] + vc] = finish(
                sums[vo, vc], table, offsets[1] + vc // layer.lot, layer.place(vc % layer.lot)
            )


@cache
def _register(layer: _Layer, groups: int) -> str:
    kernel, channels = layer.kernel, groups * layer.lot
    outputs, extent, weights = kernel.outputs, layer.extent(channels), layer.weights(channels)
    words, finish = table_size(layer.rounding.how, layer.lot), layer.rounding.by_group(layer.lot)
    zero_point = layer.rounding.zero_point

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def rows(
            planes_handle: T.handle,
            weight_handle: T.handle,
            table_handle: T.handle,
            sums_handle: T.handle,
            output_handle: T.handle,
        ) -> None:
            planes = T.match_buffer(
                planes_handle, (1, extent), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            weight = T.match_buffer(weight_handle, (weights,), "int8", offset_factor=1)
            table = T.match_buffer(
                table_handle, (groups, words), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            sums = T.match_buffer(
                sums_handle, (outputs, channels), "int32", offset_factor=1, strides=[T.int32(), 1]
            )
            output = T.match_buffer(
                output_handle, (outputs, channels), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            with T.sblock("root"):
                if computes:
                    _stages(planes, weight, table, sums, output, layer, groups, (0, 0), finish)
                else:
                    T.reads(
                        sums[0:outputs, 0:channels],
                        planes[0:1, 0:extent],
                        weight[0:weights],
                        table[0:groups, 0:words],
                    )
                    T.writes(sums[0:outputs, 0:channels], output[0:outputs, 0:channels])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            kernel.name,
                            planes.access_ptr("r"),
                            weight.access_ptr("r", offset=LANES),
                            table.access_ptr("r"),
                            output.access_ptr("w"),
                            groups,
                            output.strides[0],
                            zero_point,
                        )
                    )

        return rows

    name = f"{kernel.name}_of_{layer.rows}x{groups}_zero_{zero_point}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name


@cache
def _build(layer: _Layer) -> Any:
    first, last = layer.calls[0], layer.calls[-1]
    channels, outputs = layer.channels, layer.kernel.outputs
    extent, weights, table_groups = layer.extent(channels), layer.weights(channels), layer.groups
    words, finish = table_size(layer.rounding.how, layer.lot), layer.rounding.by_group(layer.lot)

    @script.prim_func(s_tir=True)
    def main(
        data_handle: T.handle, weight_handle: T.handle, table_handle: T.handle, output_handle: T.handle
    ) -> None:
        data = T.match_buffer(data_handle, (1, extent), "int8")
        weight = T.match_buffer(weight_handle, (weights,), "int8")
        table = T.match_buffer(table_handle, (table_groups, words), "int32")
        output = T.match_buffer(output_handle, (outputs, channels), "int8")
        sums = T.sblock_alloc_buffer((outputs, channels), "int32")
        for _ in range(1):
            with T.sblock("whole"):
                _stages(data, weight, table, sums, output, layer, first[1], (0, 0), finish)
        if len(layer.calls) > 1:
            for _ in range(1):
                with T.sblock("rest"):
                    _stages(data, weight, table, sums, output, layer, 1, (last[0], first[1]), finish)

    sch = tensorizable(main)
    for block, (_, groups) in zip(blocks(sch), layer.calls, strict=True):
        sch.tensorize(block, _register(layer, groups))
    return sch.mod["main"]
