"""The loops in C that convolution, depthwise and dense layers share: up to four output channels in registers."""

from __future__ import annotations

from tvm import s_tir

from .kernel import Kernel, Problem
from .tensor_ir import CLAMP_WINDOW, accumulators, extent_of, inline_injective, largest_divisor


def build_channel_tile(problem: Problem, reductions: int) -> Kernel:
    """The operator's own TensorIR with its channels in tiles.

    reductions: loops of the accumulation, kernel_h and kernel_w first where there are two or more.
    """
    sch = s_tir.Schedule(problem.compute())
    # Step 1. The padding stage becomes a guard inside the window loops.
    inline_injective(sch)
    accumulate, requantize = sch.get_sblock("accumulate"), sch.get_sblock("requantize")
    # Step 2. A tile of channels lives in registers from the first product to the requantised store.
    channel = sch.get_loops(requantize)[-1]
    tile = largest_divisor(extent_of(sch, channel), accumulators(problem.features))
    outer, inner = sch.split(channel, [None, tile])
    sch.compute_at(accumulate, outer, preserve_unit_loops=True)
    tile_channel, *summed = sch.get_loops(accumulate)[-reductions - 1 :]
    sch.reorder(*summed, tile_channel)
    # Step 3. Taps outside the image contribute nothing: the window loops are clamped instead of guarded.
    for loop in summed[:2] if reductions > 1 else ():
        sch.annotate(loop, CLAMP_WINDOW, 1)
    initial = sch.decompose_reduction(accumulate, summed[0])
    # Step 4. Unrolled tiles keep the accumulators out of memory.
    for loop in (tile_channel, inner, sch.get_loops(initial)[-1]):
        sch.unroll(loop)
    return Kernel(sch.mod["main"], problem.stored)
