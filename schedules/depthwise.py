"""Scalar schedule of depthwise_conv2d: one output pixel, up to four channels in registers.

Neighbouring channels share the address arithmetic and the clamped window; their weights and activations lie side by
side in NHWC.
"""

from __future__ import annotations

from typing import Any

from .rule import CLAMP_WINDOW, accumulators, extent_of, inline_injective, largest_divisor, operator_name


def schedule_depthwise(sch: Any, features: frozenset[str]) -> Any | None:
    """Schedule depthwise_conv2d; None for every other operator."""
    if operator_name(sch) != "depthwise_conv2d":
        return None
    inline_injective(sch)
    accumulate, requantize = sch.get_sblock("accumulate"), sch.get_sblock("requantize")
    channel = sch.get_loops(requantize)[-1]
    tile = largest_divisor(extent_of(sch, channel), accumulators(features))
    outer, inner = sch.split(channel, [None, tile])
    sch.compute_at(accumulate, outer, preserve_unit_loops=True)
    *_, tile_channel, kernel_h, kernel_w = sch.get_loops(accumulate)
    sch.reorder(kernel_h, kernel_w, tile_channel)
    sch.annotate(kernel_h, CLAMP_WINDOW, 1)
    sch.annotate(kernel_w, CLAMP_WINDOW, 1)
    initial = sch.decompose_reduction(accumulate, kernel_h)
    for loop in (tile_channel, inner, sch.get_loops(initial)[-1]):
        sch.unroll(loop)
    return sch
