"""Strips with weights straight from flash: the tile of `matrix.py` along the pixels, no scratch for weights.

The scaled form saves half of the weights' expansion. Two weights in a half word are worth 256 b + a, and one SXTB16
yields the even ones a. With u = 256 x - y + 127 prepared for an even value x and its odd partner y,

    (256 b + a) y + a u = 256 (a x + b y) + 127 a,

so two SMLAD on the packed word and its even bytes are four products without unpacking the odd weights. The sum of 127 a
is a constant that the bias takes away; the 127 keeps u within 16 bits. Sums must stay within 24 bits, which
the schedule proves. A word becomes its even bytes in place, so that the weights of two groups are loaded at once: 23
instructions do 32 products, where the plain form takes 14 for 16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import Array
from .assembly import Intrinsic, Unrolled
from .epilogue import Epilogue
from .matrix import Product, strip_function
from .scratch import SCALED_GROUPS, pixel_pairs

# What `scaled_bias` and `pack_scaled` need: sums below this magnitude.
MAX_SUM = 2**23 - 1

# One group.
_PLAIN_STEP = [
    "ldrd r10, r11, [r1], #8",
    "ldmia r0!, {r6-r9}",
    "sxtb16 r12, r10",
    "sxtb16 r10, r10, ror #8",
    "sxtb16 lr, r11",
    "sxtb16 r11, r11, ror #8",
    "smlad r2, r6, r12, r2",
    "smlad r3, r6, lr, r3",
    "smlad r4, r8, r12, r4",
    "smlad r5, r8, lr, r5",
    "smlad r2, r7, r10, r2",
    "smlad r3, r7, r11, r3",
    "smlad r4, r9, r10, r4",
    "smlad r5, r9, r11, r5",
]
# Two groups.
_SCALED_STEP = [
    "ldmia r1!, {r10-r12, lr}",
    *(
        line
        for first, second in (("r10", "r11"), ("r12", "lr"))
        for line in (
            "ldmia r0!, {r6-r9}",
            f"smlad r2, r6, {first}, r2",
            f"smlad r3, r6, {second}, r3",
            f"smlad r4, r8, {first}, r4",
            f"smlad r5, r8, {second}, r5",
            f"sxtb16 {first}, {first}",
            f"sxtb16 {second}, {second}",
            f"smlad r2, r7, {first}, r2",
            f"smlad r3, r7, {second}, r3",
            f"smlad r4, r9, {first}, r4",
            f"smlad r5, r9, {second}, r5",
        )
    ),
]


def direct_product(scaled: bool, compact: bool) -> Product:
    """How a strip with weights from flash multiplies. compact: by little code."""
    if scaled:
        return Product("scaled_", Unrolled(_SCALED_STEP, 2 if compact else 6), SCALED_GROUPS, 8, 8)
    return Product("plain_", Unrolled(_PLAIN_STEP, 4 if compact else 12), 1, 8, 0)


def pack_scaled(weight: Array) -> Array:
    """Weights int8[..., 2n] above -128 with each pair (a, b) as the bytes of 256 b + a."""
    words = weight[..., 1::2].astype(np.int32) * 256 + weight[..., ::2]
    packed: Array = np.ascontiguousarray(words.astype("<i2")).view(np.int8)
    return packed


def scaled_bias(bias: Array, weight: Array) -> Array:
    """Biases of the scaled sums in units of 256, int64[channels], for weights int8[channels, n]."""
    even = weight[:, ::2].astype(np.int64).sum(axis=1)
    # What is left of the constant is below a unit, where sums have nothing.
    biases: Array = bias.astype(np.int64) - (127 * even >> 8)
    return biases


def _product(packed: Any, weights: Any, pair: Any, group: Any, pixel: Any, channel: Any, index: Any) -> Any:
    """Two values of a pixel times their weights as the scaled form computes them: times 256, but for a constant."""
    even = T.Cast("int32", weights[pair, group, channel, index * 2])
    odd = T.Cast("int32", weights[pair, group, channel, index * 2 + 1])
    both = odd * 256 + T.bitwise_and(even, 255)
    partner = T.Cast("int32", packed[pixel // 2, group, pixel % 2, index])
    return partner * both + T.Cast("int32", packed[pixel // 2, group, pixel % 2, index + 2]) * even


@script.macro
def direct_stages(
    packed: Any,
    weights: Any,
    requantization: Any,
    sums: Any,
    output: Any,
    form: Any,
    offsets: Any,
    epilogue: Any,
) -> None:
    """Outputs of a channel pair for a strip of pixels.

    packed[ceil(pixels / 2), groups, 2, 4] (scaled if the form is), weights[channel pairs, groups, 2, 4],
    requantization[channel pairs, 4], sums[pixels, 2], output[pixel, channel]. form: pixels, groups, and whether it is
    scaled. offsets: channel pair, first output pixel and channel.
    """
    T.reads(
        packed[0 : pixel_pairs(form[0], form[1]), 0 : form[1], 0:2, 0:4],
        weights[offsets[0], 0 : form[1], 0:2, 0:4],
        requantization[offsets[0], 0:4],
    )
    T.writes(
        sums[0 : form[0], 0:2],
        output[offsets[1] : offsets[1] + form[0], offsets[2] : offsets[2] + 2],
    )
    for p, c in T.grid(form[0], 2):
        with T.sblock("bias"):
            vp, vc = T.axis.remap("SS", [p, c])
            sums[vp, vc] = epilogue.bias(requantization[offsets[0], vc]) * (256 if form[2] else 1)
    if form[2]:
        for p, c, k, i in T.grid(form[0], 2, form[1], 2):
            with T.sblock("products"):
                vp, vc, vk, vi = T.axis.remap("SSRR", [p, c, k, i])
                sums[vp, vc] = sums[vp, vc] + _product(packed, weights, offsets[0], vk, vp, vc, vi)
    else:
        for p, c, k, i, j in T.grid(form[0], 2, form[1], 2, 2):
            with T.sblock("products"):
                vp, vc, vk, vi, vj = T.axis.remap("SSRRR", [p, c, k, i, j])
                sums[vp, vc] = sums[vp, vc] + T.Cast(
                    "int32", packed[vp // 2, vk, vp % 2, vi * 2 + vj]
                ) * T.Cast("int32", weights[offsets[0], vk, vc, vj * 2 + vi])
    for p, c in T.grid(form[0], 2):
        with T.sblock("requantize"):
            vp, vc = T.axis.remap("SS", [p, c])
            output[offsets[1] + vp, offsets[2] + vc] = epilogue.value(
                T.shift_right(sums[vp, vc], 8 if form[2] else 0),
                requantization[offsets[0], vc],
                requantization[offsets[0], vc + 2],
            )


def direct_strip(
    pixels: int, groups: int, channels: int, epilogue: Epilogue, scaled: bool, compact: bool
) -> Intrinsic:
    """A strip of pixels, `channels` values from one output pixel to the next; see `direct_stages`.

    compact: by little code.
    """
    form, pairs = (pixels, groups, scaled), pixel_pairs(pixels, groups)
    product = direct_product(scaled, compact)
    micro_kernel = strip_function(product, epilogue, compact)
    function, block = micro_kernel.name, pixels + (channels << 16)
    reduction, origin = product.reduction(groups), epilogue.origin

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(a: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            packed = T.match_buffer(a, (pairs, groups, 2, 4), "int16", offset_factor=1)
            weights = T.match_buffer(w, (1, groups, 2, 4), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (1, 4), "int32", offset_factor=1)
            sums = T.match_buffer(s, (pixels, 2), "int32", offset_factor=1)
            output = T.match_buffer(o, (pixels, 2), "int8", offset_factor=1, strides=[channels, 1])
            with T.sblock("root"):
                direct_stages(packed, weights, requantization, sums, output, form, (0, 0, 0), epilogue)

        @script.prim_func(s_tir=True)
        def implementation(a: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            packed = T.match_buffer(a, (pairs, groups, 2, 4), "int16", offset_factor=1)
            weights = T.match_buffer(w, (1, groups, 2, 4), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (1, 4), "int32", offset_factor=1)
            sums = T.match_buffer(s, (pixels, 2), "int32", offset_factor=1)
            output = T.match_buffer(o, (pixels, 2), "int8", offset_factor=1, strides=[channels, 1])
            with T.sblock("root"):
                T.reads(
                    packed[0:pairs, 0:groups, 0:2, 0:4],
                    weights[0, 0:groups, 0:2, 0:4],
                    requantization[0, 0:4],
                )
                T.writes(sums[0:pixels, 0:2], output[0:pixels, 0:2])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        function,
                        packed.access_ptr("r"),
                        weights.access_ptr("r"),
                        requantization.access_ptr("r"),
                        output.access_ptr("w"),
                        block,
                        reduction,
                        origin,
                    )
                )

        return description, implementation

    return Intrinsic(f"{function}_{pixels}_{groups}_{channels}_{origin}", micro_kernel, build)
