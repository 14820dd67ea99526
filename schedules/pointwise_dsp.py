"""Arm DSP schedule of pointwise convolutions: a matrix product of int16 operands in scratch.

A block of pixels is expanded to int16 once, then every channel pair's weights are expanded and run along the
block (int16 operands: Lai et al., "CMSIS-NN", 2018, section 3.2; here the expansion of the weights is shared by all
pixels of the block). Odd channel counts compute one channel twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from .intrinsics import dsp
from .kernel import Array, Kernel, Problem

# Scratch of one layer: int16 pixels and weights.
MAX_SCRATCH_BYTES = 4608
MAX_BLOCK = 64
# Neighbouring pixels' outputs are within a store's offset.
MAX_CHANNELS = 2040


def schedule_pointwise_dsp(problem: Problem) -> Kernel | None:
    """Schedule 1x1 convolutions of stride 1 without padding."""
    if problem.operator != "conv2d" or "dsp" not in problem.features or "weight" not in problem.constants:
        return None
    weight, attrs = problem.constants["weight"], problem.attrs
    channels, kernel_h, kernel_w, depth = weight.shape
    pixels = problem.outputs // channels
    if (kernel_h, kernel_w) != (1, 1) or tuple(attrs["strides"]) != (1, 1) or any(attrs["padding"]):
        return None
    groups = -(-depth // 4)
    block = block_of(pixels, groups)
    if block is None or not 2 <= channels <= MAX_CHANNELS:
        return None
    epilogue = dsp.epilogue_of(problem, 0)
    if epilogue is None:
        return None
    first = pair_starts(channels)
    pack = dsp.pack_pixel_pairs(block, depth)
    expand = dsp.expand_weights(groups)
    strip = dsp.matrix_strip(block, groups, channels, epilogue)
    sch = dsp.schedule(_function(pixels, depth, channels, block, epilogue))
    sch.tensorize(sch.get_sblock("pack"), pack.name)
    sch.tensorize(sch.get_sblock("expand"), expand.name)
    sch.tensorize(sch.get_sblock("strip"), strip.name)
    blocks = -(-pixels // block)
    per_pair = 12 + 6 * groups + 25 + block * (7 + 5 * groups + 2 * epilogue.instructions)
    return Kernel(
        rule="dsp pointwise",
        function=sch.mod["main"],
        constants={
            "weights": pair_weights(weight.reshape(channels, depth), first),
            "requantization": epilogue.pairs(first),
        },
        instructions=blocks * (20 + block * groups * 3.5 + len(first) * per_pair),
        micro_kernels=(pack.micro_kernel, expand.micro_kernel, strip.micro_kernel),
    )


def block_of(pixels: int, groups: int) -> int | None:
    """Pixels per block: the blocks cover the image with the least recomputation that the scratch allows."""
    most = min(MAX_BLOCK, pixels, 2 * ((MAX_SCRATCH_BYTES - 16 * groups) // (16 * groups)))
    if most < 2:
        return None
    blocks = -(-pixels // most)
    return -(-pixels // blocks)


def pair_starts(channels: int) -> list[int]:
    """First channels of the pairs; the last pair overlaps the one before it when the count is odd."""
    return [min(first, channels - 2) for first in range(0, channels, 2)]


def pair_weights(weight: Array, first: list[int]) -> Array:
    """Weights int8[channels, depth] as the tile reads them: int8[pairs, groups, 2, 4], zero beyond the depth."""
    channels, depth = weight.shape
    groups = -(-depth // 4)
    padded = np.zeros((channels, groups * 4), np.int8)
    padded[:, :depth] = weight
    pairs = np.stack([padded[first], padded[np.asarray(first) + 1]], axis=1)
    return np.ascontiguousarray(pairs.reshape(len(first), 2, groups, 4).transpose(0, 2, 1, 3))


def _function(pixels: int, depth: int, channels: int, block: int, epilogue: dsp.Epilogue) -> Any:
    groups, pairs = -(-depth // 4), -(-channels // 2)
    blocks, last_pixel, last_channel = -(-pixels // block), pixels - block, channels - 2
    pixel_pairs, room = dsp.pixel_pairs(block, groups), dsp.weight_groups(groups)
    value = epilogue.value

    @T.prim_func(s_tir=True)
    def main(d: T.handle, w: T.handle, r: T.handle, o: T.handle) -> None:
        data = T.match_buffer(d, (pixels, depth), "int8")
        weights = T.match_buffer(w, (pairs, groups, 2, 4), "int8")
        requantization = T.match_buffer(r, (pairs, 6), "int32")
        output = T.match_buffer(o, (pixels, channels), "int8")
        packed = T.sblock_alloc_buffer((pixel_pairs, groups, 2, 4), "int16")
        expanded = T.sblock_alloc_buffer((room, 2, 4), "int16")
        sums = T.sblock_alloc_buffer((block, 2), "int32")
        for t in T.serial(blocks):
            with T.sblock("pack"):
                vt = T.axis.spatial(blocks, t)
                dsp.pack_stage(data, packed, T.min(vt * block, last_pixel), block, depth)
            for n in T.serial(pairs):
                with T.sblock("expand"):
                    vn = T.axis.spatial(pairs, n)
                    dsp.expand_stage(weights, expanded, vn, groups)
                with T.sblock("strip"):
                    vt, vn = T.axis.remap("SS", [t, n])
                    dsp.strip_stages(
                        packed,
                        expanded,
                        requantization,
                        sums,
                        output,
                        block,
                        groups,
                        (vn, T.min(vt * block, last_pixel), T.min(vn * 2, last_channel)),
                        value,
                    )

    return main
