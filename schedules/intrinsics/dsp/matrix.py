"""The matrix tile: two pixels by two channels, SMLAD over the depth, requantised and stored.

All fourteen registers are in use: four accumulators, four words of pixels, four words of weights, two pointers.
Ten instructions (two loads, eight SMLAD) do sixteen products. A strip runs the tile along the pixels for one channel
pair, so that what belongs to the pair stays in one stack frame.
"""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ...kernel import MicroKernel
from .assembly import Intrinsic, define, naked_function, repeat
from .epilogue import AWAY, Epilogue
from .scratch import pixel_pairs, weight_groups

# Instructions per strip and per tile beside reduction and requantisation, as generated below.
STRIP_INSTRUCTIONS = 18
TILE_INSTRUCTIONS = 7
# Largest offset of a load or store.
MAX_OFFSET = 4095

_PAIR = [
    "ldmia r0!, {r6-r9}",
    "ldmia r1!, {r10-r12, lr}",
    "smlad r2, r6, r10, r2",
    "smlad r3, r6, r12, r3",
    "smlad r4, r8, r10, r4",
    "smlad r5, r8, r12, r5",
    "smlad r2, r7, r11, r2",
    "smlad r3, r7, lr, r3",
    "smlad r4, r9, r11, r4",
    "smlad r5, r9, lr, r5",
]
_SINGLE = ["ldrd r6, r7, [r0], #16", _PAIR[1], _PAIR[2], _PAIR[3], _PAIR[6], _PAIR[7]]


@T.macro
def strip_stages(
    packed: Any,
    expanded: Any,
    requantization: Any,
    sums: Any,
    output: Any,
    pixels: Any,
    groups: Any,
    offsets: Any,
    value: Any,
) -> None:
    """Outputs of a channel pair for a strip of pixels.

    packed[ceil(pixels / 2), groups, 2, 4], expanded[groups, 2, 4], requantization[pairs, 6], sums[pixels, 2],
    output[pixel, channel]. offsets: pair, first output pixel and channel. value: meaning of the epilogue.
    """
    T.reads(
        packed[0 : pixel_pairs(pixels, groups), 0:groups, 0:2, 0:4],
        expanded[0 : weight_groups(groups), 0:2, 0:4],
        requantization[offsets[0], 0:6],
    )
    T.writes(
        sums[0:pixels, 0:2],
        output[offsets[1] : offsets[1] + pixels, offsets[2] : offsets[2] + 2],
    )
    for p, c in T.grid(pixels, 2):
        with T.sblock("bias"):
            vp, vc = T.axis.remap("SS", [p, c])
            sums[vp, vc] = requantization[offsets[0], vc]
    for p, c, k, i in T.grid(pixels, 2, groups, 4):
        with T.sblock("products"):
            vp, vc, vk, vi = T.axis.remap("SSRR", [p, c, k, i])
            sums[vp, vc] = sums[vp, vc] + T.Cast("int32", packed[vp // 2, vk, vp % 2, vi]) * T.Cast(
                "int32", expanded[vk, vc, vi]
            )
    for p, c in T.grid(pixels, 2):
        with T.sblock("requantize"):
            vp, vc = T.axis.remap("SS", [p, c])
            output[offsets[1] + vp, offsets[2] + vc] = value(
                sums[vp, vc], requantization[offsets[0], vc + 2], requantization[offsets[0], vc + 4]
            )


def matrix_strip(pixels: int, groups: int, channels: int, epilogue: Epilogue) -> Intrinsic:
    """A strip of pixels, `channels` values from one output pixel to the next; see `strip_stages`."""
    pairs, room, value = pixel_pairs(pixels, groups), weight_groups(groups), epilogue.value
    micro_kernel = _strip_function(groups, channels, epilogue, pixels % 2)
    function, length = micro_kernel.name, pixels // 2 * groups * 16

    def build() -> tuple[Any, Any]:
        @T.prim_func(s_tir=True)
        def description(a: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            packed = T.match_buffer(a, (pairs, groups, 2, 4), "int16", offset_factor=1)
            expanded = T.match_buffer(w, (room, 2, 4), "int16", offset_factor=1)
            requantization = T.match_buffer(r, (1, 6), "int32", offset_factor=1)
            sums = T.match_buffer(s, (pixels, 2), "int32", offset_factor=1)
            output = T.match_buffer(o, (pixels, 2), "int8", offset_factor=1, strides=[channels, 1])
            with T.sblock("root"):
                strip_stages(packed, expanded, requantization, sums, output, pixels, groups, (0, 0, 0), value)

        @T.prim_func(s_tir=True)
        def implementation(a: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            packed = T.match_buffer(a, (pairs, groups, 2, 4), "int16", offset_factor=1)
            expanded = T.match_buffer(w, (room, 2, 4), "int16", offset_factor=1)
            requantization = T.match_buffer(r, (1, 6), "int32", offset_factor=1)
            sums = T.match_buffer(s, (pixels, 2), "int32", offset_factor=1)
            output = T.match_buffer(o, (pixels, 2), "int8", offset_factor=1, strides=[channels, 1])
            with T.sblock("root"):
                T.reads(
                    packed[0:pairs, 0:groups, 0:2, 0:4], expanded[0:room, 0:2, 0:4], requantization[0, 0:6]
                )
                T.writes(sums[0:pixels, 0:2], output[0:pixels, 0:2])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        function,
                        packed.access_ptr("r"),
                        expanded.access_ptr("r"),
                        requantization.access_ptr("r"),
                        output.access_ptr("w"),
                        length,
                    )
                )

        return description, implementation

    return define(f"{function}_{pixels}", micro_kernel, build)


def _strip_function(groups: int, channels: int, epilogue: Epilogue, odd: int) -> MicroKernel:
    """r0 walks over pixels, r1 over weights. The frame, upwards from the stack pointer, is what each part of a tile
    loads at once: the epilogue's registers, then weights and biases, then the end of the weights.
    """
    if not epilogue.has_shifts:
        prepare, last, shift, out, end = [], ("r8", "r9"), ("", ""), "r10", "r11"
    elif epilogue.shift is not None:
        addend = (2 * epilogue.zero_point + 1) << (epilogue.shift - 1)
        prepare = [f"movw r8, #{addend & 0xFFFF}", f"movt r8, #{addend >> 16 & 0xFFFF}"]
        last, shift, out, end = ("r8", "r8"), ("", ""), "r9", "r10"
    else:
        prepare = [*epilogue.addend("r10", "r8"), *epilogue.addend("r11", "r9")]
        last, shift, out, end = ("r10", "r11"), ("r8", "r9"), "r12", "lr"
    saved = f"{{r6-{end}}}" if end != "lr" else "{r6-r12, lr}"
    words = {"r10": 5, "r11": 6, "lr": 8}[end]
    lines = [
        "push {r4-r11, lr}",
        "ldr lr, [sp, #36]",
        "ldmia r2, {r4-r9}",
        f"movw r12, #{groups * 16}",
        "add r12, r1",
        "push {r4, r5, r12}",
        "push {r1, r4, r5}",
        *prepare,
        f"mov {out}, r3",
        f"add {end}, r0, lr",
        f"push {saved}",
    ]
    start = [f"add r1, sp, #{4 * words}", "ldmia r1, {r1-r5}"]
    until = [f"ldr r6, [sp, #{4 * (words + 5)}]", "cmp r1, r6"]

    def finish(accumulators: tuple[int, ...]) -> list[str]:
        lines = []
        for position, number in enumerate(accumulators):
            side = position % 2
            lines += epilogue.requantize(
                f"r{number}", f"r{6 + side}", last[side], shift[side], free=("r1", end)
            )
        # The end was free for a moment.
        return [*lines, f"ldr {end}, [sp, #{4 * (words - 1)}]"] if epilogue.form == AWAY else lines

    advance = (
        [f"strb r2, [{out}], #{2 * channels}"]
        if 2 * channels < 256
        else [f"strb r2, [{out}]", f"add {out}, #{2 * channels}"]
    )
    lines += ["cmp r0, " + end, "beq 4f"] if odd else []
    lines += [
        "1:",
        *start,
        *repeat(groups, lambda: _PAIR, 2, lambda: until),
        f"ldmia sp, {saved}",
        *finish((2, 3, 4, 5)),
        f"strb r3, [{out}, #1]",
        f"strb r4, [{out}, #{channels}]",
        f"strb r5, [{out}, #{channels + 1}]",
        *advance,
        f"str {out}, [sp, #{4 * (words - 2)}]",
        f"cmp r0, {end}",
        "bne 1b",
    ]
    if odd:
        lines += [
            "4:",
            *start,
            *repeat(groups, lambda: _SINGLE, 3, lambda: until),
            f"ldmia sp, {saved}",
            *finish((2, 3)),
            f"strb r2, [{out}]",
            f"strb r3, [{out}, #1]",
        ]
    lines += [f"add sp, #{4 * (words + 6)}", "pop {r4-r11, pc}"]
    name = f"tinyml_dsp_strip_{groups}_{channels}_{epilogue.key}{'_odd' if odd else ''}"
    parameters = (
        "const int16_t *pixels, const int16_t *weights, const int32_t *requantization, int8_t *output,"
        " int32_t bytes"
    )
    return naked_function(name, parameters, lines)
