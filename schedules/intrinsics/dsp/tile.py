"""The matrix tile with weights straight from flash: two pixels by two channels, no scratch for weights.

The scaled form saves half of the weights' expansion. Two weights in a half word are worth 256 b + a, and one SXTB16
yields the even ones a. With u = 256 x - y + 127 prepared for an even value x and its odd partner y,

    (256 b + a) y + a u = 256 (a x + b y) + 127 a,

so two SMLAD on the packed word and its even bytes are four products without unpacking the odd weights. The sum of 127 a
is a constant that the bias takes away; the 127 keeps u within 16 bits. Sums must stay within 24 bits, which
the schedule proves. Twelve instructions do sixteen products; the plain form takes fourteen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import Array, MicroKernel
from .assembly import Intrinsic, Unrolled, naked_function
from .epilogue import Accumulator, Epilogue

# What `scaled_bias` and `pack_scaled` need: sums below this magnitude.
MAX_SUM = 2**23 - 1

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
_SCALED_STEP = [
    "ldrd r10, r11, [r1], #8",
    "ldmia r0!, {r6-r9}",
    "sxtb16 r12, r10",
    "sxtb16 lr, r11",
    "smlad r2, r6, r10, r2",
    "smlad r3, r6, r11, r3",
    "smlad r4, r8, r10, r4",
    "smlad r5, r8, r11, r5",
    "smlad r2, r7, r12, r2",
    "smlad r3, r7, lr, r3",
    "smlad r4, r9, r12, r4",
    "smlad r5, r9, lr, r5",
]


def _loop(scaled: bool, compact: bool) -> Unrolled:
    return Unrolled(_SCALED_STEP if scaled else _PLAIN_STEP, 4 if compact else 12)


def tile_instructions(groups: int, scaled: bool, compact: bool) -> int:
    """Instructions of one call beside requantisation and stores, with the caller's."""
    loop = _loop(scaled, compact)
    return 42 + groups * len(loop.step) + 3 * loop.passes(groups)


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


def _product(packed: Any, weights: Any, pairs: Any, group: Any, pixel: Any, channel: Any, index: Any) -> Any:
    """Two values of a pixel times their weights as the scaled form computes them: times 256, but for a constant."""
    even = T.Cast("int32", weights[pairs[1], group, channel, index * 2])
    odd = T.Cast("int32", weights[pairs[1], group, channel, index * 2 + 1])
    both = odd * 256 + T.bitwise_and(even, 255)
    partner = T.Cast("int32", packed[pairs[0], group, pixel, index])
    return partner * both + T.Cast("int32", packed[pairs[0], group, pixel, index + 2]) * even


@script.macro
def tile_stages(
    packed: Any,
    weights: Any,
    requantization: Any,
    sums: Any,
    output: Any,
    form: Any,
    offsets: Any,
    epilogue: Any,
) -> None:
    """Outputs of two pixels and two channels.

    packed[pixel pairs, groups, 2, 4] (scaled if the form is), weights[channel pairs, groups, 2, 4],
    requantization[channel pairs, 4], sums[2, 2], output[pixel, channel]. form: groups, and whether it is scaled.
    offsets: pixel pair, channel pair, first output pixel and channel.
    """
    T.reads(
        packed[offsets[0], 0 : form[0], 0:2, 0:4],
        weights[offsets[1], 0 : form[0], 0:2, 0:4],
        requantization[offsets[1], 0:4],
    )
    T.writes(sums[0:2, 0:2], output[offsets[2] : offsets[2] + 2, offsets[3] : offsets[3] + 2])
    for p, c in T.grid(2, 2):
        with T.sblock("bias"):
            vp, vc = T.axis.remap("SS", [p, c])
            sums[vp, vc] = epilogue.bias(requantization[offsets[1], vc]) * (256 if form[1] else 1)
    if form[1]:
        for p, c, k, i in T.grid(2, 2, form[0], 2):
            with T.sblock("products"):
                vp, vc, vk, vi = T.axis.remap("SSRR", [p, c, k, i])
                sums[vp, vc] = sums[vp, vc] + _product(
                    packed, weights, (offsets[0], offsets[1]), vk, vp, vc, vi
                )
    else:
        for p, c, k, i, j in T.grid(2, 2, form[0], 2, 2):
            with T.sblock("products"):
                vp, vc, vk, vi, vj = T.axis.remap("SSRRR", [p, c, k, i, j])
                sums[vp, vc] = sums[vp, vc] + T.Cast(
                    "int32", packed[offsets[0], vk, vp, vi * 2 + vj]
                ) * T.Cast("int32", weights[offsets[1], vk, vc, vj * 2 + vi])
    for p, c in T.grid(2, 2):
        with T.sblock("requantize"):
            vp, vc = T.axis.remap("SS", [p, c])
            output[offsets[2] + vp, offsets[3] + vc] = epilogue.value(
                T.shift_right(sums[vp, vc], 8 if form[1] else 0),
                requantization[offsets[1], vc],
                requantization[offsets[1], vc + 2],
            )


def matrix_tile(groups: int, channels: int, epilogue: Epilogue, scaled: bool, compact: bool) -> Intrinsic:
    """Two pixels by two channels, `channels` values from one output pixel to the next; see `tile_stages`.

    compact: by little code.
    """
    form = (groups, scaled)
    micro_kernel = _tile_function(epilogue, scaled, compact)
    function, origin = micro_kernel.name, epilogue.origin
    reduction = groups * 8 + (_loop(scaled, compact).entry(groups) << 16)

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(a: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            packed = T.match_buffer(a, (1, groups, 2, 4), "int16", offset_factor=1)
            weights = T.match_buffer(w, (1, groups, 2, 4), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (1, 4), "int32", offset_factor=1)
            sums = T.match_buffer(s, (2, 2), "int32", offset_factor=1)
            output = T.match_buffer(o, (2, 2), "int8", offset_factor=1, strides=[channels, 1])
            with T.sblock("root"):
                tile_stages(packed, weights, requantization, sums, output, form, (0, 0, 0, 0), epilogue)

        @script.prim_func(s_tir=True)
        def implementation(a: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            packed = T.match_buffer(a, (1, groups, 2, 4), "int16", offset_factor=1)
            weights = T.match_buffer(w, (1, groups, 2, 4), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (1, 4), "int32", offset_factor=1)
            sums = T.match_buffer(s, (2, 2), "int32", offset_factor=1)
            output = T.match_buffer(o, (2, 2), "int8", offset_factor=1, strides=[channels, 1])
            with T.sblock("root"):
                T.reads(packed[0, 0:groups, 0:2, 0:4], weights[0, 0:groups, 0:2, 0:4], requantization[0, 0:4])
                T.writes(sums[0:2, 0:2], output[0:2, 0:2])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        function,
                        packed.access_ptr("r"),
                        weights.access_ptr("r"),
                        requantization.access_ptr("r"),
                        output.access_ptr("w"),
                        reduction,
                        channels,
                        origin,
                    )
                )

        return description, implementation

    return Intrinsic(f"{function}_{groups}_{channels}_{origin}", micro_kernel, build)


def _tile_function(epilogue: Epilogue, scaled: bool, compact: bool) -> MicroKernel:
    """r0 walks over pixels, r1 over weights; on the stack: requantisation, output, end of the weights."""
    lines = [
        "push {r4-r11, lr}",
        "ldr r12, [sp, #36]",
        "uxth r4, r12",
        "add r4, r1",
        "push {r2, r3, r4}",
        "ldrd r2, r3, [r2]",
        *(f"asr {word}, {word}, #{epilogue.bits}" for word in ("r2", "r3")),
        *(f"lsl {word}, {word}, #8" for word in ("r2", "r3") if scaled),
        "mov r4, r2",
        "mov r5, r3",
        "adr lr, 1f",
        "add lr, lr, r12, lsr #16",
        "bx lr",
        *_loop(scaled, compact).body(1, ["ldr r6, [sp, #8]", "cmp r1, r6"]),
        "pop {r0, r1, r12}",
        "ldmia r0, {r6-r9}",
        "ldr lr, [sp, #44]",
        *(f"asr r{number}, r{number}, #8" for number in (2, 3, 4, 5) if scaled),
        *epilogue.unpack("r6", "r10", "lr", "r12"),
        *epilogue.unpack("r7", "r11", "lr", "r0"),
    ]
    accumulators = [
        Accumulator(f"r{number}", *(("r8", "r10", "r12"), ("r9", "r11", "r0"))[number % 2])
        for number in (2, 3, 4, 5)
    ]
    lines += epilogue.requantize(accumulators, ("r6", "r7"))
    lines += [
        "ldr r0, [sp, #40]",
        "strb r2, [r1]",
        "strb r3, [r1, #1]",
        "add r1, r0",
        "strb r4, [r1]",
        "strb r5, [r1, #1]",
        "pop {r4-r11, pc}",
    ]
    parameters = (
        "const int16_t *pixels, const int8_t *weights, const int32_t *requantization, int8_t *output,"
        " int32_t reduction, int32_t channels, int32_t origin"
    )
    name = f"tinyml_dsp_{'compact_' if compact else ''}{'scaled' if scaled else 'plain'}_tile_{epilogue.key}"
    return naked_function(name, parameters, lines)
