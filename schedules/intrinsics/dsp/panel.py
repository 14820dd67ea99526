"""A few pixels by one channel: a panel of all pixels in scratch, weights straight from flash.

With so few pixels the tile of two by two computes some of them twice or, for every channel pair, sets up a call that
is as long as its products. Here a call computes all channels of the pixels, and a list load brings one word of each
pixel: with weights as `direct.py` scales them 27 instructions do 40 products of five pixels, 23 do 32 of four. Words of
seven pixels need two loads beside as many sums: 40 instructions for 56 products. Without scaling a word of weights
becomes its even and its odd bytes, which is 15 instructions for 20 products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import Array, MicroKernel
from .assembly import Intrinsic, Unrolled, naked_function
from .epilogue import AWAY, Accumulator, Epilogue
from .scratch import SCALED_GROUPS
from .stores import neighbour_stores

# Pixels that have an accumulator and an operand each, beside two words of weights and two pointers.
MIN_PIXELS, MAX_PIXELS = 3, 5
# Pixels whose accumulators leave room for one word of weights, and for so many words of pixels at a time.
MOST_SCALED_PIXELS, _WIDE_WORDS = 7, 4
_SCALE = 8


def panel_sizes(scaled: bool) -> list[int]:
    """Numbers of pixels that a panel can have, the largest first."""
    sizes = list(range(MAX_PIXELS, MIN_PIXELS - 1, -1))
    return [MOST_SCALED_PIXELS, *sizes] if scaled else sizes


@dataclass(frozen=True)
class _Loop:
    """What is multiplied: two groups in a step when scaled, one when not.

    r0 walks over the panel, r1 over weights; r2 and up are sums, the registers behind them words of pixels, and what is
    left words of weights.
    """

    pixels: int
    scaled: bool
    compact: bool

    @property
    def sums(self) -> list[str]:
        """An accumulator of each pixel."""
        return [f"r{2 + pixel}" for pixel in range(self.pixels)]

    @property
    def is_wide(self) -> bool:
        """Whether words of all pixels do not fit beside their sums."""
        return self.pixels > MAX_PIXELS

    @property
    def first_free(self) -> int:
        """Number of the first register behind the sums that the epilogue may use, of six up to r12."""
        return 9 if self.is_wide else 7

    def _multiply(self, weights: str, bias: str = "") -> list[str]:
        """A word of each pixel times one of weights; the sums begin with a register if it is named."""
        lines, room = [], _WIDE_WORDS if self.is_wide else self.pixels
        for first in range(0, self.pixels, room):
            sums = self.sums[first : first + room]
            data = [f"r{self.first_free + pixel}" for pixel in range(len(sums))]
            lines.append(f"ldmia r0!, {{{data[0]}-{data[-1]}}}")
            lines += [
                f"smlad {one}, {word}, {weights}, {bias or one}" for one, word in zip(sums, data, strict=True)
            ]
        return lines

    def _begin(self, bias: str = "") -> list[str]:
        """The first products of a step."""
        if not self.scaled:
            return ["ldr lr, [r1], #4", "sxtb16 r12, lr", *self._multiply("r12", bias)]
        if self.is_wide:
            return ["ldr lr, [r1], #4", *self._multiply("lr", bias)]
        return ["ldrd r12, lr, [r1], #8", *self._multiply("r12", bias)]

    @property
    def ahead(self) -> list[str]:
        """The first products of the first step: the sum that is touched last holds the bias, and is what all add to."""
        return self._begin(self.sums[-1])

    @property
    def unrolled(self) -> Unrolled:
        """The loop; it is entered behind what is `ahead`."""
        if not self.scaled:
            step = [*self._begin(), "sxtb16 lr, lr, ror #8", *self._multiply("lr")]
            return Unrolled(step, 4 if self.compact else 8)
        first, second = ("lr", "lr") if self.is_wide else ("r12", "lr")
        half = [f"sxtb16 {first}, {first}", *self._multiply(first)]
        again = self._begin() if self.is_wide else self._multiply(second)
        step = [*self._begin(), *half, *again, f"sxtb16 {second}, {second}", *self._multiply(second)]
        return Unrolled(step, 1 if self.compact else 3 if self.is_wide else 4)

    def entry(self, groups: int) -> int:
        """Where the loop is entered, in bytes from its start, as an address of Thumb code."""
        steps = groups // SCALED_GROUPS if self.scaled else groups
        return self.unrolled.entry(steps) + 4 * len(self.ahead)


def panel_instructions(pixels: int, groups: int, channels: int, scaled: bool, compact: bool) -> float:
    """Instructions of one call beside requantisation and stores, with the caller's."""
    loop = _Loop(pixels, scaled, compact)
    steps = groups // SCALED_GROUPS if scaled else groups
    products = len(loop.unrolled.step) * steps + 3 * loop.unrolled.passes(steps)
    frame = 19 if loop.is_wide else 15
    return 50 + channels * (frame + (pixels if scaled else 0) + products)


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
    entry = _Loop(pixels, scaled, compact).entry(groups)
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
    """The frame, upwards from the stack pointer: panel, table, output, channels, origin, end of the table; end of the
    panel and where the loop is entered.

    At the start of every channel r0 is at the panel and another register at the channel's row of the table.
    """
    loop = _Loop(pixels, scaled, compact)
    sums, table = loop.sums, f"r{loop.first_free}"
    shift = epilogue.bits - (_SCALE if scaled else 0)
    lines = [
        "push {r4-r11, lr}",
        "ldrd r4, r5, [sp, #36]",
        "ldr r6, [sp, #44]",
        "add r7, r2, r4, lsl #3",
        "uxth r8, r5",
        "add r8, r0",
        "adr r9, 2f",
        "add r9, r9, r5, lsr #16",
        "push {r0, r2-r4, r6-r9}",
        f"mov {table}, r2",
        "1:",
        f"ldr {sums[-1]}, [{table}]",
        f"{'asr' if shift >= 0 else 'lsl'} {sums[-1]}, {sums[-1]}, #{abs(shift)}",
        *loop.ahead,
        "ldr pc, [sp, #28]",
        *loop.unrolled.body(2, [f"ldr {table}, [sp, #24]", f"cmp r0, {table}"]),
        *(_finish_wide if loop.is_wide else _finish)(loop, epilogue),
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


def _requantize(loop: _Loop, epilogue: Epilogue) -> list[str]:
    """Sums to outputs; r11 and r12 hold a row of the table, r10 the origin."""
    return [
        *epilogue.unpack("r11", "r11", "r10", "lr"),
        *(f"asr {one}, {one}, #{_SCALE}" for one in loop.sums if loop.scaled),
        *epilogue.requantize([Accumulator(one, "r12", "r11", "lr") for one in loop.sums], ("r0", "r10")),
        *(["ldr r0, [sp]"] if epilogue.form == AWAY else []),
    ]


def _finish(loop: _Loop, epilogue: Epilogue) -> list[str]:
    """Requantise and store a channel of all pixels, go on to the next and compare for the last."""
    # What nothing is shifted by can hold where the table ends.
    end = "r10" if epilogue.has_shifts else "lr"
    return [
        f"ldmia sp, {{r0, r7-r10{'' if epilogue.has_shifts else ', lr'}}}",
        "ldrd r11, r12, [r7], #8",
        *_requantize(loop, epilogue),
        *neighbour_stores(loop.sums, "r8", "r9", "r10"),
        "adds r8, #1",
        "strd r7, r8, [sp, #4]",
        *([f"ldr {end}, [sp, #20]"] if epilogue.has_shifts else []),
        f"cmp r7, {end}",
    ]


def _finish_wide(loop: _Loop, epilogue: Epilogue) -> list[str]:
    """The same with fewer registers."""
    return [
        "ldrd r0, r9, [sp]",
        "ldr r10, [sp, #16]",
        "ldrd r11, r12, [r9], #8",
        *_requantize(loop, epilogue),
        "ldrd r10, r11, [sp, #8]",
        *neighbour_stores(loop.sums, "r10", "r11", "r12"),
        "adds r10, #1",
        "strd r9, r10, [sp, #4]",
        "ldr r10, [sp, #20]",
        "cmp r9, r10",
    ]
