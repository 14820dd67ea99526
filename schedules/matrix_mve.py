"""Convolution on Arm MVE as a product of matrices: windows copied side by side, then strips or wide tiles over them.

Where the windows come from is left to the rules: from a band with borders or straight from the image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.im2col import Windows, im2col_instructions, im2col_kernel
from .intrinsics.mve.strip import TILE, VECTOR, Strip
from .kernel import Candidate, MicroKernel, Problem
from .parts import Parts
from .plan_mve import plan
from .requantize_mve import Epilogue, Rounding
from .strip_mve import pack_weights, register_strip, strip_kernels_of, strip_parts, strip_stages
from .wide_mve import WideRow, tensorize_wide, wide_row_stages, wide_rows

# Scratch that a layer should take, and must not exceed.
SCRATCH = 2600
MAX_SCRATCH = 5000


def _ways(strip: Strip, pixels: int, channels: int, *, wide: bool) -> list[tuple[Parts, WideRow | None]]:
    """Ways to multiply `pixels` windows side by side by the weights, with their instructions."""
    if wide:
        return [(row.parts, row) for row in wide_rows(strip, pixels, channels)]
    if pixels < TILE:
        return []
    return [(strip_parts(strip, pixels) * -(-channels // 2), None)]


def plan_matrix(
    problem: Problem,
    epilogue: Epilogue,
    name: str,
    strip: Strip,
    source: Callable[[int], tuple[int, Windows, float]],
    build: Callable[[Strip | WideRow, int], Any],
    brings: Callable[[int], tuple[MicroKernel, ...]],
    *,
    wide: bool,
) -> Candidate | None:
    """The cheapest way to make some output rows at a time within the scratch; None where there is none.

    source: for a number of output rows at a time the bytes of scratch beside the matrix, the windows, and what it takes
        for the whole image to bring the input where windows are copied from.
    build: the function for a way to multiply and a number of output rows at a time.
    brings: micro-kernels that bring the input for a number of output rows at a time.
    """
    _, height, width, channels = problem.output_shape
    choices: list[tuple[bool, float, int, Parts, WideRow | None]] = []
    for rows in range(1, height + 1):
        beside, windows, brought = source(rows)
        size = beside + copied_bytes(windows, rows * width)
        if size > MAX_SCRATCH:
            continue
        bands = -(-height // rows)
        copies = Parts(copies=brought + bands * rows * im2col_instructions(windows, width))
        for products, row in _ways(strip, rows * width, channels, wide=wide):
            parts = products * bands + copies
            waits = row.waits * bands if row else 0.0
            choices.append((size > SCRATCH, parts.total + waits, rows, parts, row))
    if not choices:
        return None
    _, _, rows, parts, row = min(choices, key=lambda choice: choice[:3])
    beside, windows, _ = source(rows)
    return plan(
        waits=row.waits * -(-height // rows) if row else 0.0,
        scratch=beside + copied_bytes(windows, rows * width),
        rule=f"{name}, wide" if row else name,
        instructions=parts.total,
        parts=parts,
        function=lambda: build(row or strip, rows),
        constants=lambda: {
            "weight": pack_weights(problem.constants["weight"], row.strip if row else strip),
            "table": epilogue.pairs(),
        },
        micro_kernels=lambda: (
            *(row.micro_kernels() if row else strip_kernels_of(strip)),
            *brings(rows),
            im2col_kernel(windows),
        ),
    )


def copied_bytes(windows: Windows, pixels: int) -> int:
    """Bytes of the copied windows, with what the last segment writes too much."""
    return pixels * windows.pitch + VECTOR


def windows_of(problem: Problem, row_distance: int) -> Windows:
    """Windows of a convolution whose kernel rows lie `row_distance` bytes from each other."""
    _, kernel_h, kernel_w, depth = problem.shapes["weight"]
    dilation_w = problem.attrs["dilation"][1]
    apart = dilation_w > 1
    return Windows(
        rows=kernel_h,
        row_distance=row_distance,
        columns=kernel_w if apart else 1,
        column_distance=dilation_w * depth,
        segment=depth if apart else kernel_w * depth,
        step=problem.attrs["strides"][1] * depth,
        pitch=-(-kernel_h * kernel_w * depth // 4) * 4,
    )


def _source_row(windows: Windows, pitch: int, tap: Any) -> Any:
    return tap // (windows.columns * windows.segment) * (windows.row_distance // pitch)


def _source_column(windows: Windows, tap: Any) -> Any:
    column = tap % (windows.columns * windows.segment)
    return column // windows.segment * windows.column_distance + column % windows.segment


@script.macro
def window_stage(
    target: Any, source: Any, windows: Any, width: Any, pitch: Any, rows: Any, span: Any, offsets: Any
) -> None:
    """target[0, start + x * pitch + k] = tap k of window x; offsets: start in the target, row of the source."""
    T.reads(source[offsets[1] : offsets[1] + rows, 0:span])
    T.writes(target[0:1, offsets[0] : offsets[0] + (width - 1) * windows.pitch + windows.depth])
    for x, k in T.grid(width, windows.depth):
        with T.sblock("window_value"):
            vx, vk = T.axis.remap("SS", [x, k])
            target[0, offsets[0] + vx * windows.pitch + vk] = source[
                offsets[1] + _source_row(windows, pitch, vk), vx * windows.step + _source_column(windows, vk)
            ]


@script.macro
def matrix_strips(
    matrix: Any,
    weight: Any,
    table: Any,
    sums: Any,
    output: Any,
    way: Any,
    shape: Any,
    band: Any,
    bands: Any,
    finish: Any,
) -> None:
    """Products of the windows of a band, by strips of all pairs of channels or by wide tiles.

    shape: output rows of one band, and the output.
    """
    if isinstance(way, WideRow):
        wide_row_stages(
            matrix,
            weight,
            table,
            sums,
            output,
            way,
            band,
            bands,
            lambda vb: T.min(vb * shape[0], shape[1] - shape[0]) * shape[2],
            0,
            finish,
        )
    else:
        for n in range((shape[3] + 1) // 2):
            with T.sblock("strip"):
                vn, vb = T.axis.remap("SS", [n, band])
                strip_stages(
                    matrix,
                    weight,
                    table,
                    sums,
                    output,
                    way,
                    shape[0] * shape[2],
                    (
                        0,
                        0,
                        T.min(vn * 2, shape[3] - 2),
                        vn,
                        T.min(vb * shape[0], shape[1] - shape[0]) * shape[2],
                    ),
                    finish,
                )


def bind_matrix(sch: Any, way: Strip | WideRow, pixels: int, rounding: Rounding) -> None:
    """Bind the micro-kernels of the products."""
    if isinstance(way, WideRow):
        tensorize_wide(sch, way, rounding)
    else:
        sch.tensorize(sch.get_sblock("strip"), register_strip(way, pixels, rounding))


def extent(windows: Windows, width: int, pitch: int) -> tuple[int, int]:
    """Rows and columns of the band that the windows of one output row touch."""
    rows = (windows.rows - 1) * (windows.row_distance // pitch) + 1
    columns = (windows.columns - 1) * windows.column_distance + windows.segment
    return rows, (width - 1) * windows.step + columns


@cache
def register_windows(windows: Windows, width: int, pitch: int) -> str:
    rows, span = extent(windows, width, pitch)
    size = (width - 1) * windows.pitch + windows.depth

    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def copy(source_handle: T.handle, target_handle: T.handle) -> None:
            source = T.match_buffer(
                source_handle, (rows, span), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            target = T.match_buffer(target_handle, (1, size), "int8", offset_factor=1, strides=[T.int32(), 1])
            with T.sblock("root"):
                if computes:
                    window_stage(target, source, windows, width, pitch, rows, span, (0, 0))
                else:
                    T.reads(source[0:rows, 0:span])
                    T.writes(target[0:1, 0:size])
                    T.evaluate(
                        T.call_extern(
                            "int32", windows.name, source.access_ptr("r"), target.access_ptr("w"), width
                        )
                    )

        return copy

    name = f"{windows.name}_of_{width}_row{pitch}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name
