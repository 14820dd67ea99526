"""Schedule of depthwise_conv2d for Armv6-M: one channel after the other, its plane packed into words of two pixels.

The upper and the lower half of the output rows are made together; with an odd number of rows they share one. What
lies outside the image with both pixels of a word is filled once, because it is the same for all channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.thumb1_assembly import WORD
from .intrinsics.thumb1_pairs import LARGEST_WEIGHTS
from .intrinsics.thumb1_planes import CHUNK, PackPlane, PairWindows, WindowOperands
from .kernel import Array, Candidate, Kernel, Problem
from .parts import Parts
from .requantize_split import SplitRequantization, choose_split, reachable
from .tensor_ir import drop_unit_loops

# Bytes of a plane that a layer may take from the arena, and taps whose code is of bearable size.
SCRATCH_LIMIT, LARGEST_WINDOW = 3072, 25
# Measured on Cortex-M0.
INSTRUCTIONS_PER_PRODUCT = 2.6
INSTRUCTIONS_PER_OUTPUT = 24.0
INSTRUCTIONS_PER_WORD = 6.8
INSTRUCTIONS_PER_CHANNEL = 220.0


def schedule_depthwise_pairs(problem: Problem) -> Candidate | None:
    """Schedule depthwise_conv2d with small windows and images on Armv6-M; None otherwise."""
    if problem.operator != "depthwise_conv2d" or "thumb1" not in problem.features:
        return None
    attrs, weight = problem.attrs, problem.constants["weight"]
    _, kernel_h, kernel_w, channels = weight.shape
    stride_h, stride_w = attrs["strides"]
    if stride_h != stride_w or tuple(attrs["dilation"]) != (1, 1) or kernel_h * kernel_w > LARGEST_WINDOW:
        return None
    if _largest_couple(weight) > LARGEST_WEIGHTS:
        return None
    limits = reachable(weight, problem.constants["bias"], attrs["input_zero_point"], channel_axis=3)
    form = choose_split(problem.constants, attrs, limits)
    if form is None:
        return None
    rows, columns = problem.output_shape[1:3]
    windows = PairWindows(
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride=stride_w,
        rows=-(-rows // 2),
        columns=columns,
        second=rows // 2,
        plane_pitch=(columns - 1) * stride_w + kernel_w,
        pitch=channels,
        clamp_min=attrs["clamp_min"],
        clamp_max=attrs["clamp_max"],
        form=form.form,
        point=form.point,
        rounding=form.rounding,
    )
    scratch = WORD * int(np.prod(windows.plane))
    pack = _packing(problem, windows)
    if pack is None or scratch > SCRATCH_LIMIT:
        return None
    parts = _parts(problem, pack, windows)
    return Candidate(
        rule="depthwise pixel pairs",
        instructions=parts.total,
        parts=parts,
        build=lambda: _build(problem, pack, windows, form),
        micro_kernels=lambda: (windows.micro_kernel(), pack.micro_kernel()),
        scratch=scratch,
    )


def _build(problem: Problem, pack: PackPlane, windows: PairWindows, form: SplitRequantization) -> Kernel:
    sch = s_tir.Schedule(drop_unit_loops(_function(problem, pack, windows)))
    sch.tensorize(sch.get_sblock("pack"), pack.register())
    sch.tensorize(sch.get_sblock("windows"), windows.register())
    weight = problem.constants["weight"]
    zero_sums = problem.attrs["input_zero_point"] * weight.astype(np.int64).sum(axis=(0, 1, 2))
    return Kernel(
        function=sch.mod["main"],
        constants={
            "weight": np.ascontiguousarray(weight.reshape(windows.taps, -1).T),
            "factors": form.without(zero_sums),
            "fine": form.fine,
        },
        micro_kernels=(windows.micro_kernel(), pack.micro_kernel()),
    )


def _largest_couple(weight: Array) -> int:
    """Largest sum of magnitudes of weights whose products are added in sixteen bits."""
    magnitudes = np.abs(weight.astype(np.int64))
    couples = [magnitudes[:, :, first : first + 2].sum(axis=2) for first in range(0, weight.shape[2], CHUNK)]
    return int(max(couple.max() for couple in couples))


def _packing(problem: Problem, windows: PairWindows) -> PackPlane | None:
    """What packs the planes; None for images so low that a row of words has both pixels outside between others."""
    _, height, width, depth = problem.shapes["data"]
    top, left, _, _ = problem.attrs["padding"]
    distance, (rows, columns) = windows.second * windows.stride, windows.plane
    first = max(top - distance, 0)
    inside = min(columns - left, width)
    if distance >= height or left >= columns or rows <= top:
        return None
    return PackPlane(
        top=top - first,
        rows=min(rows, top + height) - first,
        height=height,
        columns=inside,
        distance=distance,
        pitch=depth,
        row_pitch=width * depth,
        plane_pitch=windows.plane_pitch,
        zero_point=problem.attrs["input_zero_point"],
    )


def _parts(problem: Problem, pack: PackPlane, windows: PairWindows) -> Parts:
    """Estimate for the layer."""
    images, *_, channels = problem.output_shape
    outputs = 2 * windows.rows * windows.columns
    channel = Parts(
        products=INSTRUCTIONS_PER_PRODUCT * windows.taps * outputs,
        outputs=INSTRUCTIONS_PER_OUTPUT * outputs,
        copies=INSTRUCTIONS_PER_WORD * pack.rows * pack.columns,
        calls=INSTRUCTIONS_PER_CHANNEL,
        # One for the pair of outputs.
        multiplications=windows.taps * outputs / 2,
    )
    return channel * (images * channels)


def _function(problem: Problem, pack: PackPlane, windows: PairWindows) -> Any:
    """TensorIR of the layer."""
    images, height, width, depth = problem.shapes["data"]
    rows, columns, channels = problem.output_shape[1:]
    top, left, _, _ = problem.attrs["padding"]
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer((images * height, width * depth), "int8"))
        weight = T.arg("weight", T.buffer((channels, windows.taps), "int8"))
        factors = T.arg("factors", T.buffer((channels, 2), "int32"))
        fine = T.arg("fine", T.buffer((channels,), "int8"))
        output = T.arg("output", T.buffer((images * rows, columns * channels), "int8"))
        with T.sblock("root"):
            plane = T.sblock_alloc_buffer(windows.plane, "int32")
            IRBuilder.name("plane", plane)
            sums = T.sblock_alloc_buffer((2, windows.rows, windows.columns), "int32")
            with T.grid(*windows.plane) as (y, x), T.sblock("outside"):
                vy, vx = T.axis.remap("SS", [y, x])
                T.buffer_store(plane, T.int32(pack.zero_point * 0x10001), [vy, vx])
            with T.grid(images, channels) as (image, channel):
                with T.sblock("pack"):
                    vn, vc = T.axis.spatial(images, image), T.axis.spatial(channels, channel)
                    origin = (vn * height, vc // problem.attrs["depth_multiplier"])
                    pack.block(plane, (top - pack.top, left), data, origin)
                with T.sblock("windows"):
                    vn, vc = T.axis.spatial(images, image), T.axis.spatial(channels, channel)
                    windows.block(
                        WindowOperands(plane, weight, factors, fine, output, sums, vc, (vn * rows, vc))
                    )
    return builder.get()
