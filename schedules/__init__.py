"""TensorIR schedules: one rule per file, of whose candidates one is selected.

Loops, tiles, packing and fusion are decided here; what happens inside one register tile belongs to `intrinsics/`.
The plain schedule always applies.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import (
    add,
    add_dsp,
    add_mve,
    add_rvv,
    add_thumb1,
    byte_table,
    conv2d_dsp,
    conv2d_mve,
    conv2d_pixels_rvv,
    conv2d_rvv,
    convolution,
    copies,
    dense,
    dense_dsp,
    dense_mve,
    dense_rvv,
    dense_scalar,
    dense_thumb1,
    depthwise,
    depthwise_dsp,
    depthwise_lanes_mve,
    depthwise_mve,
    depthwise_row,
    depthwise_row_dsp,
    depthwise_rvv,
    depthwise_strip,
    depthwise_thumb1,
    elementwise_mve,
    elementwise_rvv,
    extreme,
    im2col,
    lookup_rvv,
    mean_rvv,
    multiply,
    pairs_mve,
    pairs_thumb1,
    panels_dsp,
    pixels,
    pixels_dsp,
    pixels_mve,
    plain,
    pointwise,
    pointwise_packed,
    pool,
    pool_dsp,
    pool_mve,
    pool_rvv,
    product_dsp,
    quantize,
    quantize_rvv,
    scale_sum_mve,
    softmax,
    softmax_mve,
    softmax_rvv,
    table_dsp,
    windows_mve,
)
from .dead_channels import with_ordinary_constants
from .kernel import Answer, Candidate, Kernel, MicroKernel, Problem, Rule, stored_constant
from .parts import Parts
from .selection import Choice, code_bytes, rounds, select

RULES: tuple[Rule, ...] = (
    conv2d_mve.schedule_conv2d_mve,
    depthwise_mve.schedule_depthwise_mve,
    depthwise_lanes_mve.schedule_depthwise_lanes_mve,
    windows_mve.schedule_windows_mve,
    pool_mve.schedule_pool_mve,
    elementwise_mve.schedule_quantize_mve,
    elementwise_mve.schedule_lookup_mve,
    add_mve.schedule_add_mve,
    pairs_mve.schedule_pairs_mve,
    pixels_mve.schedule_pixels_mve,
    scale_sum_mve.schedule_scale_sum_mve,
    dense_mve.schedule_dense_mve,
    softmax_mve.schedule_softmax_mve,
    conv2d_rvv.schedule_conv2d_rvv,
    conv2d_pixels_rvv.schedule_conv2d_pixels_rvv,
    depthwise_rvv.schedule_depthwise_rvv,
    dense_rvv.schedule_dense_rvv,
    quantize_rvv.schedule_quantize_rvv,
    add_rvv.schedule_add_rvv,
    lookup_rvv.schedule_lookup_rvv,
    pool_rvv.schedule_pool_rvv,
    mean_rvv.schedule_mean_rvv,
    softmax_rvv.schedule_softmax_rvv,
    elementwise_rvv.schedule_elementwise_rvv,
    conv2d_dsp.schedule_conv2d_dsp,
    panels_dsp.schedule_panels_dsp,
    depthwise_dsp.schedule_depthwise_dsp,
    depthwise_row_dsp.schedule_depthwise_row_dsp,
    dense_dsp.schedule_dense_dsp,
    add_dsp.schedule_add_dsp,
    pool_dsp.schedule_pool_dsp,
    pool_dsp.schedule_mean_dsp,
    pixels_dsp.schedule_pixels_dsp,
    table_dsp.schedule_table_dsp,
    product_dsp.schedule_product_dsp,
    product_dsp.schedule_extreme_dsp,
    pairs_thumb1.schedule_pairs,
    depthwise_thumb1.schedule_depthwise_pairs,
    add_thumb1.schedule_add_loop,
    add.schedule_add,
    multiply.schedule_multiply,
    extreme.schedule_extreme,
    quantize.schedule_quantize,
    copies.schedule_copies,
    pointwise_packed.schedule_pointwise_packed,
    byte_table.schedule_byte_table,
    pointwise.schedule_pointwise,
    im2col.schedule_im2col,
    convolution.schedule_convolution,
    depthwise_row.schedule_depthwise_row,
    depthwise_strip.schedule_depthwise_strip,
    depthwise.schedule_depthwise,
    dense_scalar.schedule_dense_tiles,
    dense_thumb1.schedule_dense_lanes,
    dense.schedule_dense,
    pixels.schedule_pixels,
    pool.schedule_pool,
    softmax.schedule_softmax,
)

# Rules that read and write planes where a problem has some.
PLANE_RULES: tuple[Rule, ...] = (conv2d_mve.schedule_conv2d_mve, depthwise_mve.schedule_depthwise_mve)


def candidates(problem: Problem) -> list[Candidate]:
    """What all rules that apply offer, the cheapest first; the plain schedule when none does.

    Nothing where a problem has planes that no rule reads or writes.
    """
    planes = bool(problem.data_plane or problem.output_plane)
    if "clamp_min" in problem.attrs and problem.attrs["clamp_min"] == problem.attrs["clamp_max"]:
        # TVM sees that no sum is needed, and the stages that rules look for are not connected any more.
        return [] if planes else [plain.schedule_plain(problem)]
    if not problem.activations:
        # A pass folds it; where that is left out, how fast it is does not matter.
        return [plain.schedule_plain(problem)]
    problem = with_ordinary_constants(problem)
    rules = [rule for rule in RULES if not planes or rule in PLANE_RULES]
    offers = [candidate for rule in rules for candidate in _offers(rule(problem))]
    fallback = [] if planes else [plain.schedule_plain(problem)]
    return sorted(offers, key=lambda offer: offer.instructions) or fallback


def _offers(answer: Answer) -> Sequence[Candidate]:
    if isinstance(answer, Candidate):
        return [answer]
    return answer or []


__all__ = [
    "RULES",
    "Candidate",
    "Choice",
    "Kernel",
    "MicroKernel",
    "Parts",
    "Problem",
    "Rule",
    "candidates",
    "code_bytes",
    "rounds",
    "select",
    "stored_constant",
]
