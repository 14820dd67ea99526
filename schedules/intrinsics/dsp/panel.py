"""Three to five pixels by one channel: a panel of all pixels in scratch, weights straight from flash.

With so few pixels the tile of two by two computes some of them twice or, for every channel pair, sets up a call that
is as long as its products. Here a call computes all channels of the pixels, and a list load brings one word of each
pixel: with weights as `direct.py` scales them 27 instructions do 40 products of five pixels, 22 do 32 of four.
Without scaling a word of weights becomes its even and its odd bytes, which is 15 instructions for 20 products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import Array, MicroKernel
from .assembly import Intrinsic, Unrolled, naked_function
from .epilogue import Accumulator, Epilogue
from .scratch import SCALED_GROUPS

# Pixels that have an accumulator and an operand each, beside two words of weights and two pointers.
MIN_PIXELS, MAX_PIXELS = 3, 5
_SCALE = 8


def _loop(pixels: int, scaled: bool, compact: bool) -> Unrolled:
    """Products of a step: two groups when scaled, one when not. r0 walks over the panel, r1 over weights."""
    sums = [f"r{2 + pixel}" for pixel in range(pixels)]
    data = [f"r{7 + pixel}" for pixel in range(pixels)]
    load = f"ldmia r0!, {{{data[0]}-{data[-1]}}}"

    def multiply(weights: str) -> list[str]:
        return [
            load,
            *(f"smlad {one}, {word}, {weights}, {one}" for one, word in zip(sums, data, strict=True)),
        ]

    if not scaled:
        step = [
            "ldr lr, [r1], #4",
            "sxtb16 r12, lr",
            *multiply("r12"),
            "sxtb16 lr, lr, ror #8",
            *multiply("lr"),
        ]
        return Unrolled(step, 4 if compact else 8)
    step = ["ldrd r12, lr, [r1], #8"]
    for weights in ("r12", "lr"):
        step += [*multiply(weights), f"sxtb16 {weights}, {weights}", *multiply(weights)]
    return Unrolled(step, 1 if compact else 4)


def panel_instructions(pixels: int, groups: int, channels: int, scaled: bool, compact: bool) -> float:
    """Instructions of one call beside requantisation and stores, with the caller's."""
    loop = _loop(pixels, scaled, compact)
    steps = groups // SCALED_GROUPS if scaled else groups
    channel = 17 + pixels * (2 if scaled else 1) + len(loop.step) * steps + 3 * loop.passes(steps)
    return 50 + channels * channel


def panel_bias(epilogue: Epilogue, weight: Array | None) -> Epilogue | None:
    """The epilogue with the biases of scaled sums, for weights int8[channels, n] that are scaled; None: not scaled.

    A sum begins with a word of the table, shifted so that the bias is in units of 256. What shares the word with it
    and the constant of the scaled products make less than a unit with these biases, where sums have nothing. None
    when a bias becomes too large.
    """
    if weight is None:
        return epilogue
    even = weight[:, ::2].astype("int64").sum(axis=1)
    low = epilogue.table[:, 2].astype("int64")
    beside = low << (_SCALE - epilogue.bits) if epilogue.bits < _SCALE else low >> (epilogue.bits - _SCALE)
    biases: Array = epilogue.table[:, 0].astype("int64") - (127 * even + beside >> _SCALE)
    return epilogue.with_bias(biases)


def _first(word: Any, epilogue: Epilogue, scaled: bool) -> Any:
    """What a sum begins with."""
    if not scaled:
        return epilogue.bias(word)
    if epilogue.bits < _SCALE:
        return T.shift_left(word, _SCALE - epilogue.bits)
    return T.shift_right(word, epilogue.bits - _SCALE)


def _product(panel: Any, weights: Any, at: Any, scaled: bool) -> Any:
    """A value of a pixel times its weight; when scaled, two of them: times 256, but for a constant.

    at: pixel, group, pair of the panel's word, and channel.
    """
    pixel, group, half, channel = at
    if not scaled:
        word, pair = half // 2, half % 2
        return T.Cast("int32", panel[group, word, pixel, pair]) * T.Cast(
            "int32", weights[channel, group, pair * 2 + word]
        )
    even = T.Cast("int32", weights[channel, group, half * 2])
    both = T.Cast("int32", weights[channel, group, half * 2 + 1]) * 256 + T.bitwise_and(even, 255)
    partner = T.Cast("int32", panel[group, 0, pixel, half])
    return partner * both + T.Cast("int32", panel[group, 1, pixel, half]) * even


@script.macro
def panel_stages(
    panel: Any,
    weights: Any,
    requantization: Any,
    sums: Any,
    output: Any,
    form: Any,
    first: Any,
    epilogue: Any,
) -> None:
    """All channels of some pixels.

    panel[groups, 2, pixels, 2] (scaled if the form is), weights[channels, groups, 4], requantization[channels, 2],
    sums[pixels], output[pixel, channel]. form: pixels, groups, channels, and whether it is scaled. first: output pixel.
    """
    T.reads(
        panel[0 : form[1], 0:2, 0 : form[0], 0:2],
        weights[0 : form[2], 0 : form[1], 0:4],
        requantization[0 : form[2], 0:2],
    )
    T.writes(sums[0 : form[0], 0 : form[2]], output[first : first + form[0], 0 : form[2]])
    for c, p in T.grid(form[2], form[0]):
        with T.sblock("bias"):
            vc, vp = T.axis.remap("SS", [c, p])
            sums[vp, vc] = _first(requantization[vc, 0], epilogue, form[3])
    for c, p, k, i in T.grid(form[2], form[0], form[1], 2 if form[3] else 4):
        with T.sblock("products"):
            vc, vp, vk, vi = T.axis.remap("SSRR", [c, p, k, i])
            sums[vp, vc] = sums[vp, vc] + _product(panel, weights, (vp, vk, vi, vc), form[3])
    for c, p in T.grid(form[2], form[0]):
        with T.sblock("requantize"):
            vc, vp = T.axis.remap("SS", [c, p])
            output[first + vp, vc] = epilogue.value(
                T.shift_right(sums[vp, vc], _SCALE if form[3] else 0),
                requantization[vc, 0],
                requantization[vc, 1],
            )


def panel_strip(
    pixels: int, groups: int, channels: int, epilogue: Epilogue, scaled: bool, compact: bool
) -> Intrinsic:
    """All channels of some pixels; see `panel_stages`. compact: by little code."""
    micro_kernel = _panel_function(pixels, epilogue, scaled, compact)
    function, form = micro_kernel.name, (pixels, groups, channels, scaled)
    loop = _loop(pixels, scaled, compact)
    entry = loop.entry(groups // SCALED_GROUPS if scaled else groups)
    reduction, origin = 8 * pixels * groups + (entry << 16), epilogue.origin

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(p: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            panel = T.match_buffer(p, (groups, 2, pixels, 2), "int16", offset_factor=1)
            weights = T.match_buffer(w, (channels, groups, 4), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (channels, 2), "int32", offset_factor=1)
            sums = T.match_buffer(s, (pixels, channels), "int32", offset_factor=1)
            output = T.match_buffer(o, (pixels, channels), "int8", offset_factor=1)
            with T.sblock("root"):
                panel_stages(panel, weights, requantization, sums, output, form, 0, epilogue)

        @script.prim_func(s_tir=True)
        def implementation(p: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            panel = T.match_buffer(p, (groups, 2, pixels, 2), "int16", offset_factor=1)
            weights = T.match_buffer(w, (channels, groups, 4), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (channels, 2), "int32", offset_factor=1)
            sums = T.match_buffer(s, (pixels, channels), "int32", offset_factor=1)
            output = T.match_buffer(o, (pixels, channels), "int8", offset_factor=1)
            with T.sblock("root"):
                T.reads(
                    panel[0:groups, 0:2, 0:pixels, 0:2],
                    weights[0:channels, 0:groups, 0:4],
                    requantization[0:channels, 0:2],
                )
                T.writes(sums[0:pixels, 0:channels], output[0:pixels, 0:channels])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        function,
                        panel.access_ptr("r"),
                        weights.access_ptr("r"),
                        requantization.access_ptr("r"),
                        output.access_ptr("w"),
                        channels,
                        reduction,
                        origin,
                    )
                )

        return description, implementation

    return Intrinsic(f"{function}_{groups}_{channels}_{origin}", micro_kernel, build)


def _panel_function(pixels: int, epilogue: Epilogue, scaled: bool, compact: bool) -> MicroKernel:
    """r0 walks over the panel, r1 over weights; r2 and up are sums, r7 and up a word of each pixel.

    The frame, upwards from the stack pointer: table, output, channels, origin; panel and where the loop is entered;
    ends of panel and table.
    """
    sums = [f"r{2 + pixel}" for pixel in range(pixels)]
    shift = epilogue.bits - (_SCALE if scaled else 0)
    loop = _loop(pixels, scaled, compact)
    lines = [
        "push {r4-r11, lr}",
        "ldrd r4, r5, [sp, #36]",
        "ldr r6, [sp, #44]",
        "add r7, r2, r4, lsl #3",
        "uxth r8, r5",
        "add r8, r0",
        "adr r9, 2f",
        "add r9, r9, r5, lsr #16",
        "push {r7}",
        "push {r0, r8, r9}",
        "push {r2, r3, r4, r6}",
        "1:",
        "ldr r12, [sp]",
        "ldr lr, [r12]",
        "ldr r0, [sp, #16]",
        *(f"{'asr' if shift >= 0 else 'lsl'} {one}, lr, #{abs(shift)}" for one in sums),
        "ldr pc, [sp, #24]",
        *loop.body(2, ["ldr r7, [sp, #20]", "cmp r0, r7"]),
        "ldmia sp, {r7-r10}",
        "ldrd r11, r12, [r7], #8",
        *epilogue.unpack("r11", "r11", "r10", "lr"),
        *(f"asr {one}, {one}, #{_SCALE}" for one in sums if scaled),
        *epilogue.requantize([Accumulator(one, "r12", "r11", "lr") for one in sums], ("r0", "r10")),
        *_stores(sums),
        "adds r8, #1",
        "strd r7, r8, [sp]",
        "ldr r10, [sp, #28]",
        "cmp r7, r10",
        "bne 1b",
        "add sp, #32",
        "pop {r4-r11, pc}",
    ]
    kind = f"{'compact_' if compact else ''}{'scaled' if scaled else 'plain'}"
    parameters = (
        "const int16_t *panel, const int8_t *weights, const int32_t *requantization, int8_t *output,"
        " int32_t channels, int32_t reduction, int32_t origin"
    )
    return naked_function(f"tinyml_dsp_{kind}_panel{pixels}_{epilogue.key}", parameters, lines)


def _stores(sums: Sequence[str]) -> list[str]:
    """A channel of neighbouring pixels: r8 is the place of the first, r9 the distance, r0 free."""
    places = ["[r8]", "[r8, r9]", "[r8, r9, lsl #1]", "[r0, r9, lsl #1]", "[r8, r9, lsl #2]"]
    stores = [f"strb {one}, {place}" for one, place in zip(sums, places, strict=False)]
    return [*(["add r0, r8, r9"] if len(sums) > 3 else []), *stores]
