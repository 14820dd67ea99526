"""Arm DSP schedules of conv2d: windows as int16 in scratch (im2col of a block of pixels), then a matrix product.

A block of output pixels takes its input from a band with borders that hold the input zero point, or from the image
itself where nothing is padded. The product runs along the pixels of the block for one channel pair at a time, whose
weights are expanded to int16 for the whole block (int16 operands: Lai et al., "CMSIS-NN", 2018, section 3.2) or read
from flash for every two pixels. Odd channel counts compute one channel twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from . import script
from .intrinsics import dsp
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem
from .pareto import undominated
from .requantize import accumulator_limits

MAX_SCRATCH_BYTES = 4864
# The same of a panel: of a deep layer even a few pixels are more, and a step may leave so much free.
MAX_PANEL_BYTES = 16 * 1024
MAX_BLOCK = 64
# Neighbouring pixels' outputs are within a store's offset.
MAX_CHANNELS = 2040

# Products: weights in scratch; in flash, two in a half word; in flash as they are.
STRIPS, SCALED, PLAIN = "dsp strips", "dsp scaled strips", "dsp plain strips"
# The last two for all channels of a few pixels.
SCALED_PANEL, PLAIN_PANEL = "dsp scaled panel", "dsp plain panel"
_SCALED, PANELS = (SCALED, SCALED_PANEL), (SCALED_PANEL, PLAIN_PANEL)


@dataclass(frozen=True)
class Geometry:
    """image: rows, columns, channels. output: rows, columns. kernel, strides, dilation: vertical, horizontal.

    padding: top, left. padded: whether any border is. compact: whether code is to be small.
    """

    image: tuple[int, int, int]
    output: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    padded: bool
    compact: bool


@dataclass(frozen=True)
class _Axis:
    """One axis of the blocks: `count` blocks of `size` outputs, the last one perhaps overlapping the one before it.

    span: inputs that a block reads, borders included. copied: inputs that are copied to its band, at an offset of
    `slack` or more; extent: inputs that the band has room for.
    """

    count: int
    size: int
    span: int
    copied: int
    slack: int
    extent: int


@dataclass(frozen=True)
class Blocks:
    """A division of the output into blocks, and what they need in scratch."""

    product: str
    rows: _Axis
    columns: _Axis
    windows: dsp.Windows

    @property
    def count(self) -> int:
        """Blocks of the image."""
        return self.rows.count * self.columns.count


def schedule_conv2d_dsp(problem: Problem) -> list[Candidate]:
    """Schedule conv2d of one image and dense layers of several rows; nothing when two pixels exceed the scratch."""
    if problem.operator not in ("conv2d", "dense") or "dsp" not in problem.features:
        return []
    channels = problem.output_shape[-1]
    if "weight" not in problem.constants or not 2 <= channels <= MAX_CHANNELS:
        return []
    geometry = geometry_of(problem)
    if geometry is None:
        return []
    products = [STRIPS, PLAIN, PLAIN_PANEL, *(_SCALED if fits_24_bits(problem) else [])]
    options = [(_cost(geometry, blocks, channels), blocks) for blocks in _divisions(geometry, products)]
    common = dsp.epilogue_of(problem, 0) if options else None
    if common is None:
        return []
    # Products whose biases fit into the table, too.
    epilogues = {
        product: _epilogue(problem.constants["weight"], blocks, common)
        for product, blocks in {blocks.product: blocks for _, blocks in options}.items()
    }
    fitting = [option for option in options if epilogues[option[1].product] is not None]
    # Panels bring functions of their own, so what they beat may still be cheaper with its code.
    kinds = [
        [option for option in fitting if (option[1].product in PANELS) == panels] for panels in (False, True)
    ]
    return [
        _candidate(problem, geometry, blocks, epilogue, estimate)
        for kind in kinds
        for estimate, blocks in undominated(kind, lambda option: (option[0], _scratch(geometry, option[1])))
        if (epilogue := epilogues[blocks.product]) is not None
    ]


def _candidate(
    problem: Problem, geometry: Geometry, blocks: Blocks, epilogue: dsp.Epilogue, estimate: float
) -> Candidate:
    channels, value = problem.output_shape[-1], problem.attrs["input_zero_point"]

    def micro_kernels() -> tuple[MicroKernel, ...]:
        used = _intrinsics(geometry, blocks, channels, epilogue, value)
        return tuple(intrinsic.micro_kernel for intrinsic in used.values())

    return Candidate(
        rule=blocks.product,
        instructions=estimate + problem.outputs * epilogue.instructions,
        build=lambda: _build(problem, geometry, blocks, epilogue),
        micro_kernels=micro_kernels,
        scratch=_scratch(geometry, blocks),
    )


def _epilogue(weight: Array, blocks: Blocks, epilogue: dsp.Epilogue) -> dsp.Epilogue | None:
    """The epilogue with the product's biases; None when one becomes too large for the table."""
    if blocks.product not in _SCALED:
        return epilogue
    ordered = dsp.window_weights(weight, blocks.windows)
    if blocks.product == SCALED_PANEL:
        return dsp.panel_bias(epilogue, ordered)
    return epilogue.with_bias(dsp.scaled_bias(epilogue.table[:, 0], ordered))


def _build(problem: Problem, geometry: Geometry, blocks: Blocks, epilogue: dsp.Epilogue) -> Kernel:
    # Step 1. Weights in the order that the product reads them.
    channels = problem.output_shape[-1]
    first, windows = _pair_starts(channels), blocks.windows
    weights = dsp.window_weights(problem.constants["weight"], windows)
    if blocks.product in PANELS:
        weights, table = weights.reshape(channels, -1, 4), epilogue.rows
    else:
        weights, table = _pair_weights(weights, first), epilogue.pairs(first)
    if blocks.product in _SCALED:
        weights = dsp.pack_scaled(weights)
    # Step 2. Loops over blocks and channel pairs around the micro-kernels.
    value = problem.attrs["input_zero_point"]
    sch = dsp.schedule(_function(geometry, blocks, channels, epilogue, value))
    used = _intrinsics(geometry, blocks, channels, epilogue, value)
    for block, intrinsic in used.items():
        sch.tensorize(sch.get_sblock(block), intrinsic.register())
    return Kernel(
        function=sch.mod["main"],
        constants={"weights": weights, "requantization": table},
        micro_kernels=tuple(intrinsic.micro_kernel for intrinsic in used.values()),
    )


def _intrinsics(
    geometry: Geometry, blocks: Blocks, channels: int, epilogue: dsp.Epilogue, zero_point: int
) -> dict[str, dsp.Intrinsic]:
    """What each block of the function is bound to."""
    windows, rows, depth = blocks.windows, blocks.rows, geometry.image[2]
    used = {"pack": dsp.pack_windows(windows, dsp.BAND_SCOPE if geometry.padded else "global")}
    if geometry.padded:
        used["blank"] = dsp.blank_band(rows.extent, windows.pitch, zero_point, dsp.fill_function())
        length, pitch = blocks.columns.copied * depth, geometry.image[1] * depth
        used["copy"] = dsp.copy_rows(rows.copied, length, pitch, windows.pitch)
    if blocks.product == STRIPS:
        used["expand"] = dsp.expand_weights(windows.groups)
        used["product"] = dsp.matrix_strip(
            windows.pixels, windows.groups, channels, epilogue, geometry.compact
        )
    elif blocks.product in PANELS:
        used["product"] = dsp.panel_strip(
            windows.pixels, windows.groups, channels, epilogue, windows.scaled, geometry.compact
        )
    else:
        scaled = blocks.product == SCALED
        used["product"] = dsp.direct_strip(
            windows.pixels, windows.groups, channels, epilogue, scaled, geometry.compact
        )
    return used


def fits_24_bits(problem: Problem) -> bool:
    """Whether no sum, scaled by 256, can overflow, and all weights can share half words."""
    weight, zero_point = problem.constants["weight"], problem.attrs["input_zero_point"]
    limits = accumulator_limits(weight, problem.constants["bias"], zero_point, 0)
    return bool((limits <= dsp.MAX_SUM).all() and (weight > -128).all())


def _pair_starts(channels: int) -> list[int]:
    """First channels of the pairs; the last pair overlaps the one before it when the count is odd."""
    return [min(first, channels - 2) for first in range(0, channels, 2)]


def _pair_weights(weight: Array, first: list[int]) -> Array:
    """Weights int8[channels, groups * 4] as the products read them: int8[pairs, groups, 2, 4]."""
    pairs = np.stack([weight[first], weight[np.asarray(first) + 1]], axis=1)
    return np.ascontiguousarray(pairs.reshape(len(first), 2, -1, 4).transpose(0, 2, 1, 3))


def geometry_of(problem: Problem) -> Geometry | None:
    """The problem as one image; a dense layer is a pointwise convolution of its rows. None for several images."""
    compact = problem.objective == "size"
    if problem.operator == "dense":
        channels, depth = problem.shapes["weight"]
        rows = problem.outputs // channels
        return Geometry((1, rows, depth), (1, rows), (1, 1), (1, 1), (1, 1), (0, 0), False, compact)
    if problem.output_shape[0] != 1:
        return None
    attrs = problem.attrs
    _, height, width, depth = problem.shapes["data"]
    kernel_h, kernel_w = problem.shapes["weight"][1:3]
    top, left, bottom, right = attrs["padding"]
    output = problem.output_shape[1], problem.output_shape[2]
    strides = attrs["strides"][0], attrs["strides"][1]
    if (kernel_h, kernel_w, *strides, top, left, bottom, right) == (1, 1, 1, 1, 0, 0, 0, 0):
        # Rows need not end where the image's do.
        height, width, output = 1, height * width, (1, height * width)
    return Geometry(
        (height, width, depth),
        output,
        (kernel_h, kernel_w),
        strides,
        (attrs["dilation"][0], attrs["dilation"][1]),
        (top, left),
        any(attrs["padding"]),
        compact,
    )


def _axis(geometry: Geometry, axis: int, size: int) -> _Axis:
    output, stride, before = geometry.output[axis], geometry.strides[axis], geometry.padding[axis]
    span = (size - 1) * stride + (geometry.kernel[axis] - 1) * geometry.dilation[axis] + 1
    copied = min(span, geometry.image[axis])
    count = -(-output // size)
    starts = [min(block * size, output - size) * stride - before for block in range(count)]
    sources = [max(min(start, geometry.image[axis] - copied), 0) for start in starts]
    slack = max(0, *(start - source for start, source in zip(starts, sources, strict=True)))
    reach = max(source - start for start, source in zip(starts, sources, strict=True))
    return _Axis(count, size, span, copied, slack, slack + max(span, reach + copied))


def _divisions(geometry: Geometry, products: list[str]) -> Iterator[Blocks]:
    """Blocks that fit the scratch: some columns of a row, or some whole rows."""
    height, width = geometry.output
    sizes = {-(-width // count) for count in range(1, width + 1)}
    shapes = [(1, columns) for columns in sizes if columns < width]
    shapes += [(rows, width) for rows in {-(-height // count) for count in range(1, height + 1)}]
    for rows, columns in shapes:
        if not 2 <= rows * columns <= MAX_BLOCK:
            continue
        for product in products:
            blocks = blocks_of(geometry, rows, columns, product)
            if not applies(product, blocks.windows):
                continue
            if _scratch(geometry, blocks) <= (MAX_PANEL_BYTES if product in PANELS else MAX_SCRATCH_BYTES):
                yield blocks


def applies(product: str, windows: dsp.Windows) -> bool:
    """Whether a product can multiply such windows."""
    if product in PANELS:
        few = windows.pixels in dsp.panel_sizes(windows.scaled)
        aligned = 4 * windows.pixels * windows.groups >= dsp.MIN_SCRATCH
        return few and aligned and not (windows.scaled and windows.rest)
    return product != SCALED or not windows.rest or windows.contiguous


def _scratch(geometry: Geometry, blocks: Blocks) -> int:
    """Bytes of packed pixels, expanded weights and the band."""
    windows = blocks.windows
    needed = windows.groups * 8 * (windows.pixels + (windows.pixels % 2 and not windows.panel))
    needed += 16 * windows.groups if blocks.product == STRIPS else 0
    return needed + (windows.pitch * blocks.rows.extent if geometry.padded else 0)


def blocks_of(geometry: Geometry, rows: int, columns: int, product: str) -> Blocks:
    depth = geometry.image[2]
    vertical, horizontal = _axis(geometry, 0, rows), _axis(geometry, 1, columns)
    pitch = geometry.image[1] * depth
    if geometry.padded:
        pitch = (horizontal.extent * depth + 3) // 4 * 4
        # A band as small as a register tile would end up on the stack.
        vertical = replace(vertical, extent=max(vertical.extent, dsp.MIN_BAND_BYTES // pitch + 1))
    dilated = geometry.dilation[1] > 1 and geometry.kernel[1] > 1
    windows = dsp.Windows(
        rows,
        columns,
        (geometry.strides[0], geometry.strides[1] * depth),
        (geometry.kernel[0], geometry.kernel[1] if dilated else 1),
        (geometry.dilation[0], geometry.dilation[1] * depth),
        depth if dilated else geometry.kernel[1] * depth,
        pitch,
        product in _SCALED,
        geometry.compact,
        product in PANELS,
    )
    return Blocks(product, vertical, horizontal, windows)


def _cost(geometry: Geometry, blocks: Blocks, channels: int) -> float:
    """Estimated instructions without the epilogues' own."""
    windows, pairs = blocks.windows, -(-channels // 2)
    cost = 20 + dsp.window_instructions(windows)
    if geometry.padded:
        cost += blocks.rows.extent * windows.pitch / 10
        cost += 30 + blocks.rows.copied * (14 + blocks.columns.copied * geometry.image[2] * 0.65)
    if blocks.product in PANELS:
        cost += dsp.panel_instructions(
            windows.pixels, windows.groups, channels, windows.scaled, geometry.compact
        )
    elif blocks.product == STRIPS:
        expand = dsp.expand_instructions(windows.groups)
        cost += pairs * (expand + dsp.strip_instructions(windows.pixels, windows.groups, geometry.compact))
    else:
        product = dsp.direct_product(blocks.product == SCALED, geometry.compact)
        cost += pairs * product.instructions(windows.pixels, windows.groups)
    return blocks.count * cost


def _function(
    geometry: Geometry, blocks: Blocks, channels: int, epilogue: dsp.Epilogue, zero_point: int
) -> Any:
    height, width, depth = geometry.image
    rows, columns, windows = blocks.rows, blocks.columns, blocks.windows
    output_width, pixels = geometry.output[1], geometry.output[0] * geometry.output[1]
    groups, pairs, last_channel = windows.groups, -(-channels // 2), channels - 2
    room, panels = dsp.weight_groups(groups), blocks.product in PANELS
    weight_shape = (channels, groups, 4) if panels else (pairs, groups, 2, 4)
    table_shape = (channels, 2) if panels else (pairs, 4)
    strides, padding, padded = geometry.strides, geometry.padding, geometry.padded
    extent, strips = (rows.copied, columns.copied * depth), blocks.product == STRIPS
    form = (windows.pixels, groups, windows.scaled)
    panel_form = (windows.pixels, groups, channels, windows.scaled)

    def first(axis: _Axis, outputs: int, block: Any) -> Any:
        return T.min(block * axis.size, outputs - axis.size)

    def start(which: int, axis: _Axis, block: Any) -> Any:
        return first(axis, geometry.output[which], block) * strides[which] - padding[which]

    def source(which: int, axis: _Axis, block: Any) -> Any:
        return T.max(T.min(start(which, axis, block), geometry.image[which] - axis.copied), 0)

    def target(which: int, axis: _Axis, block: Any) -> Any:
        # The limits hold anyway; they tell TVM how large the band is.
        offset = source(which, axis, block) - start(which, axis, block) + axis.slack
        return T.max(T.min(offset, axis.extent - axis.copied), 0)

    def pixel(vertical: Any, horizontal: Any) -> Any:
        row = first(rows, geometry.output[0], vertical)
        return row * output_width + first(columns, output_width, horizontal)

    @script.prim_func(s_tir=True)
    def main(d: T.handle, w: T.handle, r: T.handle, o: T.handle) -> None:
        data = T.match_buffer(d, (height, width * depth), "int8")
        weights = T.match_buffer(w, weight_shape, "int8")
        requantization = T.match_buffer(r, table_shape, "int32")
        output = T.match_buffer(o, (pixels, channels), "int8")
        packed = T.sblock_alloc_buffer(windows.room, "int16")
        sums = T.sblock_alloc_buffer((windows.pixels, channels if panels else 2), "int32")
        band = T.sblock_alloc_buffer((rows.extent, windows.pitch), "int8", scope=dsp.BAND_SCOPE)
        expanded = T.sblock_alloc_buffer((room, 2, 4), "int16")
        for y, x in T.grid(rows.count, columns.count):
            if padded:
                with T.sblock("blank"):
                    dsp.blank_stage(band, rows.extent, windows.pitch, zero_point)
                with T.sblock("copy"):
                    vy, vx = T.axis.remap("SS", [y, x])
                    dsp.copy_stage(
                        data,
                        band,
                        extent,
                        (source(0, rows, vy), source(1, columns, vx) * depth),
                        (target(0, rows, vy), target(1, columns, vx) * depth),
                    )
                with T.sblock("pack"):
                    dsp.window_stages(band, packed, windows, rows.slack, columns.slack * depth)
            else:
                with T.sblock("pack"):
                    vy, vx = T.axis.remap("SS", [y, x])
                    dsp.window_stages(
                        data, packed, windows, start(0, rows, vy), start(1, columns, vx) * depth
                    )
            if panels:
                with T.sblock("product"):
                    vy, vx = T.axis.remap("SS", [y, x])
                    dsp.panel_stages(
                        packed, weights, requantization, sums, output, panel_form, pixel(vy, vx), epilogue
                    )
            else:
                for n in T.serial(pairs):
                    if strips:
                        with T.sblock("expand"):
                            vn = T.axis.spatial(pairs, n)
                            dsp.expand_stage(weights, expanded, vn, groups)
                        with T.sblock("product"):
                            vy, vx, vn = T.axis.remap("SSS", [y, x, n])
                            dsp.strip_stages(
                                packed,
                                expanded,
                                requantization,
                                sums,
                                output,
                                windows.pixels,
                                groups,
                                (vn, pixel(vy, vx), T.min(vn * 2, last_channel)),
                                epilogue,
                            )
                    else:
                        with T.sblock("product"):
                            vy, vx, vn = T.axis.remap("SSS", [y, x, n])
                            dsp.direct_stages(
                                packed,
                                weights,
                                requantization,
                                sums,
                                output,
                                form,
                                (vn, pixel(vy, vx), T.min(vn * 2, last_channel)),
                                epilogue,
                            )

    return main
