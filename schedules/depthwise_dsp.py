"""Arm DSP schedule of depthwise convolutions on channel planes.

Four channels at a time become int16 planes in scratch, with borders that hold the input zero point; each channel's
plane is then convolved by itself. Images that are too large for the scratch run in bands of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from . import script
from .intrinsics import dsp
from .kernel import Array, Candidate, Kernel, Problem
from .pareto import undominated
from .parts import Parts

MIN_SCRATCH_BYTES, MAX_SCRATCH_BYTES = 64, 4608
MAX_KERNEL_COLUMNS = 16
# Four pixels of a row are within an immediate addition.
MAX_CHANNELS = 1020


@dataclass(frozen=True)
class _Geometry:
    """A depthwise convolution with a kernel whose columns are not dilated.

    image: rows, columns, channels. output: rows, columns. kernel: rows, columns. padding: top, left.
    """

    image: tuple[int, int, int]
    output: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    row_step: int
    padding: tuple[int, int]
    multiplier: int


@dataclass(frozen=True)
class _Bands:
    """Bands of output rows and the planes they need.

    count, rows: bands and output rows of each; the last one may overlap the one before it.
    copied: image rows that are copied for a band, always the same number; which row of the planes they start at
        depends on the band.
    slack: rows of the planes above the first one that a window reads.
    """

    count: int
    rows: int
    copied: int
    slack: int
    planes: dsp.Planes
    left: int


def schedule_depthwise_dsp(problem: Problem) -> list[Candidate]:
    """Schedule depthwise_conv2d of one image; nothing when the rows of one output row do not fit the scratch."""
    if problem.operator != "depthwise_conv2d" or "dsp" not in problem.features:
        return []
    if "weight" not in problem.constants or problem.output_shape[0] != 1:
        return []
    geometry = _geometry(problem)
    if problem.output_shape[3] > MAX_CHANNELS or geometry.kernel[1] > MAX_KERNEL_COLUMNS:
        return []
    epilogue = dsp.epilogue_of(problem, 3)
    if epilogue is None:
        return []
    return [_candidate(problem, geometry, bands, epilogue) for bands in _bands(geometry)]


def _candidate(problem: Problem, geometry: _Geometry, bands: _Bands, epilogue: dsp.Epilogue) -> Candidate:
    channels = problem.output_shape[3]
    window = dsp.Window(
        bands.rows,
        geometry.output[1],
        channels,
        geometry.kernel,
        geometry.row_step,
        geometry.strides,
        bands.left - geometry.padding[1],
        problem.objective == "size",
    )
    groups = -(-geometry.image[2] // bands.planes.lanes)
    copies = dsp.split_instructions(bands.copied, geometry.image[1], bands.planes.lanes)
    plane = Parts(calls=12) + dsp.plane_parts(window, epilogue)
    group = Parts(copies=copies, calls=12) + plane * (bands.planes.lanes * geometry.multiplier)
    parts = (Parts(copies=bands.planes.nbytes / 10) + group * groups) * bands.count
    return Candidate(
        rule="dsp depthwise",
        instructions=parts.total,
        parts=parts,
        build=lambda: _build(problem, geometry, bands, window, epilogue),
        micro_kernels=lambda: tuple(
            intrinsic.micro_kernel for intrinsic in _used(problem, geometry, bands, window, epilogue).values()
        ),
        scratch=bands.planes.nbytes,
    )


def _used(
    problem: Problem, geometry: _Geometry, bands: _Bands, window: dsp.Window, epilogue: dsp.Epilogue
) -> dict[str, dsp.Intrinsic]:
    """Micro-kernels by the block that each computes."""
    found = {}
    if _is_padded(problem):
        found["fill"] = dsp.fill_planes(bands.planes, problem.attrs["input_zero_point"])
    found["split"] = dsp.split_rows(bands.copied, geometry.image[1], geometry.image[2], bands.planes)
    found["plane"] = dsp.depthwise_plane(window, bands.planes, epilogue)
    return found


def _build(
    problem: Problem, geometry: _Geometry, bands: _Bands, window: dsp.Window, epilogue: dsp.Epilogue
) -> Kernel:
    value, used = problem.attrs["input_zero_point"], _used(problem, geometry, bands, window, epilogue)
    sch = dsp.schedule(_function(geometry, bands, window, epilogue, value, "fill" in used))
    for block, intrinsic in used.items():
        sch.tensorize(sch.get_sblock(block), intrinsic.register())
    return Kernel(
        function=sch.mod["main"],
        constants={
            "weights": _pack(problem.constants["weight"], geometry),
            "requantization": epilogue.rows,
        },
        micro_kernels=tuple(intrinsic.micro_kernel for intrinsic in used.values()),
    )


def _is_padded(problem: Problem) -> bool:
    return any(problem.attrs["padding"])


def _geometry(problem: Problem) -> _Geometry:
    """The problem as the planes see it: single columns lie down as rows, dilated columns get holes."""
    attrs = problem.attrs
    _, height, width, channels = problem.shapes["data"]
    kernel_h, kernel_w = problem.shapes["weight"][1:3]
    output = problem.output_shape[1], problem.output_shape[2]
    strides, dilation = tuple(attrs["strides"]), tuple(attrs["dilation"])
    top, left, _, right = attrs["padding"]
    if width == kernel_w == output[1] == 1 and left == right == 0:
        height, width = 1, height
        kernel_h, kernel_w = 1, kernel_w * kernel_h
        output, strides, dilation = (1, output[0]), (1, strides[0]), (1, dilation[0])
        top, left = 0, top
    return _Geometry(
        (height, width, channels),
        output,
        (kernel_h, (kernel_w - 1) * dilation[1] + 1),
        strides,
        dilation[0],
        (top, left),
        attrs["depth_multiplier"],
    )


def _pack(weight: Array, geometry: _Geometry) -> Array:
    """int8[channels, kernel rows, kernel columns rounded up to words], with zeros in the holes."""
    channels = weight.shape[3]
    rows, columns = geometry.kernel
    taps = weight.reshape(rows, -1, channels)
    packed = np.zeros((channels, rows, (columns + 3) // 4 * 4), np.int8)
    step = (columns - 1) // max(1, taps.shape[1] - 1) if taps.shape[1] > 1 else 1
    packed[:, :, 0:columns:step] = taps.transpose(2, 0, 1)
    return packed


def _bands(geometry: _Geometry) -> list[_Bands]:
    """Divisions into bands that fit the scratch: the fewer the faster, the more the less scratch."""
    height, width, channels = geometry.image
    top, left = geometry.padding
    left_columns = (left + 1) // 2 * 2
    window = left_columns - left + (geometry.output[1] - 1) * geometry.strides[1] + geometry.kernel[1]
    pitch = (max(window, left_columns + width) + 1) // 2 * 2
    options: list[tuple[int, _Bands]] = []
    for lanes in dsp.LANES:
        for count in range(1, geometry.output[0] + 1):
            rows = -(-geometry.output[0] // count)
            span = (rows - 1) * geometry.strides[0] + (geometry.kernel[0] - 1) * geometry.row_step + 1
            copied = min(span, height)
            starts = [
                min(band * rows, geometry.output[0] - rows) * geometry.strides[0] - top
                for band in range(-(-geometry.output[0] // rows))
            ]
            sources = [max(min(start, height - copied), 0) for start in starts]
            slack = max(0, *(start - source for start, source in zip(starts, sources, strict=True)))
            reach = max(source - start for start, source in zip(starts, sources, strict=True))
            # As little as a register tile would end up on the stack.
            least = MIN_SCRATCH_BYTES // (2 * lanes * pitch) + 1
            planes = dsp.Planes(max(slack + span, slack + reach + copied, least), lanes, pitch)
            if lanes <= channels and planes.nbytes <= MAX_SCRATCH_BYTES and dsp.reachable(planes, channels):
                bands = _Bands(len(starts), rows, copied, slack, planes, left_columns)
                groups = -(-channels // lanes)
                cost = len(starts) * groups * dsp.split_instructions(copied, width, lanes)
                options.append((cost, bands))
    return [bands for _, bands in undominated(options, lambda option: (option[0], option[1].planes.nbytes))]


def _function(
    geometry: _Geometry,
    bands: _Bands,
    window: dsp.Window,
    epilogue: dsp.Epilogue,
    zero_point: int,
    padded: bool,
) -> Any:
    height, width, inputs = geometry.image
    rows, columns = geometry.output
    channels, multiplier, shape = window.channels, geometry.multiplier, bands.planes
    lanes, slack = shape.lanes, bands.slack
    groups, last_group = -(-inputs // lanes), inputs - lanes
    kernel_rows, kernel_columns = geometry.kernel[0], 4 * window.row_words
    stride, top, left = geometry.strides[0], geometry.padding[0], bands.left
    last_row, last_copy, extent = rows - bands.rows, height - bands.copied, (bands.copied, width, lanes)
    last_target = shape.rows - bands.copied

    def start(band: Any) -> Any:
        return T.min(band * bands.rows, last_row) * stride - top

    def source(band: Any) -> Any:
        return T.max(T.min(start(band), last_copy), 0)

    def target(band: Any) -> Any:
        # The limits hold anyway; they tell TVM how large the planes are.
        return T.max(T.min(source(band) - start(band) + slack, last_target), 0)

    @script.prim_func(s_tir=True)
    def main(d: T.handle, w: T.handle, r: T.handle, o: T.handle) -> None:
        data = T.match_buffer(d, (height, width, inputs), "int8")
        weights = T.match_buffer(w, (channels, kernel_rows, kernel_columns), "int8")
        requantization = T.match_buffer(r, (channels, 2), "int32")
        output = T.match_buffer(o, (rows, columns, channels), "int8")
        planes = T.sblock_alloc_buffer((shape.rows, lanes, shape.pitch), "int16")
        sums = T.sblock_alloc_buffer((bands.rows, columns), "int32")
        for b in T.serial(bands.count):
            if padded:
                with T.sblock("fill"):
                    T.reads()
                    T.writes(planes[0 : shape.rows, 0:lanes, 0 : shape.pitch])
                    dsp.fill_stage(planes, shape, zero_point)
            for g in T.serial(groups):
                with T.sblock("split"):
                    vb, vg = T.axis.remap("SS", [b, g])
                    T.reads(
                        data[
                            source(vb) : source(vb) + bands.copied,
                            0:width,
                            T.min(vg * lanes, last_group) : T.min(vg * lanes, last_group) + lanes,
                        ]
                    )
                    T.writes(
                        planes[
                            target(vb) : target(vb) + bands.copied,
                            0:lanes,
                            left : left + width,
                        ]
                    )
                    dsp.split_stage(
                        data,
                        planes,
                        extent,
                        (source(vb), T.min(vg * lanes, last_group)),
                        (target(vb), left),
                    )
                for lane, m in T.grid(lanes, multiplier):
                    with T.sblock("plane"):
                        vb, vg, vl, vm = T.axis.remap("SSSS", [b, g, lane, m])
                        T.reads(
                            planes[slack : slack + window.span, vl, 0 : shape.pitch],
                            weights[
                                (T.min(vg * lanes, last_group) + vl) * multiplier + vm,
                                0:kernel_rows,
                                0:kernel_columns,
                            ],
                            requantization[(T.min(vg * lanes, last_group) + vl) * multiplier + vm, 0:2],
                        )
                        T.writes(
                            sums[0 : bands.rows, 0:columns],
                            output[
                                T.min(vb * bands.rows, last_row) : T.min(vb * bands.rows, last_row)
                                + bands.rows,
                                0:columns,
                                (T.min(vg * lanes, last_group) + vl) * multiplier + vm,
                            ],
                        )
                        dsp.plane_stages(
                            planes,
                            weights,
                            requantization,
                            sums,
                            output,
                            window,
                            (
                                slack,
                                vl,
                                T.min(vb * bands.rows, last_row),
                                (T.min(vg * lanes, last_group) + vl) * multiplier + vm,
                            ),
                            epilogue,
                        )

    return main
