"""The matrix tile: two pixels by two channels, SMLAD over the depth, requantised and stored.

All fourteen registers are in use: four accumulators, four words of pixels, four words of weights, two pointers.
Ten instructions (two loads, eight SMLAD) do sixteen products. A strip runs the tile along the pixels for one channel
pair, so that what belongs to the pair stays in one stack frame. Sizes are arguments: one function serves all layers
with the same requantisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import MicroKernel
from .assembly import Intrinsic, Unrolled, naked_function
from .epilogue import AWAY, FITTED, Accumulator, Epilogue
from .scratch import pixel_pairs, weight_groups

_STEP = [
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


@dataclass(frozen=True)
class Product:
    """What a strip's tiles multiply, and how.

    key: part of the function's name. loop: over the depth, in steps of `groups` groups of four. nbytes: of a channel
    pair's weights per group. scale: bits by which sums are shifted left.
    """

    key: str
    loop: Unrolled
    groups: int
    nbytes: int
    scale: int

    def reduction(self, groups: int) -> int:
        """An argument of the function: bytes of weights, and above that where the loop is entered."""
        return groups * self.nbytes + (self.loop.entry(groups // self.groups) << 16)

    def instructions(self, pixels: int, groups: int) -> int:
        """Instructions of one call beside requantisation and stores, with the caller's."""
        steps = groups // self.groups
        tile = 8 + len(self.loop.step) * steps + 3 * self.loop.passes(steps) + (4 if self.scale else 0)
        return 46 + -(-pixels // 2) * tile


# Weights in scratch, and where code is to be small.
_EXPANDED = {
    compact: Product("", Unrolled(_STEP, 4 if compact else 16), 1, 16, 0) for compact in (False, True)
}


def strip_instructions(pixels: int, groups: int, compact: bool) -> int:
    """Instructions of one call beside requantisation and stores, with the caller's."""
    return _EXPANDED[compact].instructions(pixels, groups)


@script.macro
def strip_stages(
    packed: Any,
    expanded: Any,
    requantization: Any,
    sums: Any,
    output: Any,
    pixels: Any,
    groups: Any,
    offsets: Any,
    epilogue: Any,
) -> None:
    """Outputs of a channel pair for a strip of pixels.

    packed[ceil(pixels / 2), groups, 2, 4], expanded[groups, 2, 4], requantization[pairs, 4], sums[pixels, 2],
    output[pixel, channel]. offsets: pair, first output pixel and channel.
    """
    T.reads(
        packed[0 : pixel_pairs(pixels, groups), 0:groups, 0:2, 0:4],
        expanded[0 : weight_groups(groups), 0:2, 0:4],
        requantization[offsets[0], 0:4],
    )
    T.writes(
        sums[0:pixels, 0:2],
        output[offsets[1] : offsets[1] + pixels, offsets[2] : offsets[2] + 2],
    )
    for p, c in T.grid(pixels, 2):
        with T.sblock("bias"):
            vp, vc = T.axis.remap("SS", [p, c])
            sums[vp, vc] = epilogue.bias(requantization[offsets[0], vc])
    for p, c, k, i in T.grid(pixels, 2, groups, 4):
        with T.sblock("products"):
            vp, vc, vk, vi = T.axis.remap("SSRR", [p, c, k, i])
            sums[vp, vc] = sums[vp, vc] + T.Cast("int32", packed[vp // 2, vk, vp % 2, vi]) * T.Cast(
                "int32", expanded[vk, vc, vi]
            )
    for p, c in T.grid(pixels, 2):
        with T.sblock("requantize"):
            vp, vc = T.axis.remap("SS", [p, c])
            output[offsets[1] + vp, offsets[2] + vc] = epilogue.value(
                sums[vp, vc], requantization[offsets[0], vc], requantization[offsets[0], vc + 2]
            )


def matrix_strip(pixels: int, groups: int, channels: int, epilogue: Epilogue, compact: bool) -> Intrinsic:
    """A strip of pixels, `channels` values from one output pixel to the next; see `strip_stages`.

    compact: by little code.
    """
    pairs, room = pixel_pairs(pixels, groups), weight_groups(groups)
    micro_kernel = strip_function(_EXPANDED[compact], epilogue, compact)
    function, block = micro_kernel.name, pixels + (channels << 16)
    reduction, origin = _EXPANDED[compact].reduction(groups), epilogue.origin

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(a: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            packed = T.match_buffer(a, (pairs, groups, 2, 4), "int16", offset_factor=1)
            expanded = T.match_buffer(w, (room, 2, 4), "int16", offset_factor=1)
            requantization = T.match_buffer(r, (1, 4), "int32", offset_factor=1)
            sums = T.match_buffer(s, (pixels, 2), "int32", offset_factor=1)
            output = T.match_buffer(o, (pixels, 2), "int8", offset_factor=1, strides=[channels, 1])
            with T.sblock("root"):
                strip_stages(
                    packed, expanded, requantization, sums, output, pixels, groups, (0, 0, 0), epilogue
                )

        @script.prim_func(s_tir=True)
        def implementation(a: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            packed = T.match_buffer(a, (pairs, groups, 2, 4), "int16", offset_factor=1)
            expanded = T.match_buffer(w, (room, 2, 4), "int16", offset_factor=1)
            requantization = T.match_buffer(r, (1, 4), "int32", offset_factor=1)
            sums = T.match_buffer(s, (pixels, 2), "int32", offset_factor=1)
            output = T.match_buffer(o, (pixels, 2), "int8", offset_factor=1, strides=[channels, 1])
            with T.sblock("root"):
                T.reads(
                    packed[0:pairs, 0:groups, 0:2, 0:4], expanded[0:room, 0:2, 0:4], requantization[0, 0:4]
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
                        block,
                        reduction,
                        origin,
                    )
                )

        return description, implementation

    name = f"{function}_{pixels}_{groups}_{channels}_{origin}"
    return Intrinsic(name, micro_kernel, build)


def strip_function(product: Product, epilogue: Epilogue, compact: bool) -> MicroKernel:
    """A strip of pixels for a channel pair; r0 walks over pixels, r1 over weights.

    The frame, upwards from the stack pointer, is what each part of a tile loads at once: the epilogue's registers;
    weights, biases and where the loop is entered; the end of the weights, the channels, whether a pixel is left over.
    """
    lines = [
        "push {r4-r11, lr}",
        "ldrd r10, r11, [sp, #36]",
        "ldmia r2, {r4-r7}",
        *(f"ubfx r{number + 4}, r{number}, #0, #{epilogue.bits}" for number in (4, 5)),
        *(f"asr r{number}, r{number}, #{epilogue.bits}" for number in (4, 5)),
        *(f"lsl r{number}, r{number}, #{product.scale}" for number in (4, 5) if product.scale),
        "uxth r2, r11",
        "adr lr, 2f",
        "add lr, lr, r11, lsr #16",
        "uxth r12, r10",
        "lsr r11, r12, #1",
        # Pixels take 16 bytes per group and pair, weights `nbytes`.
        *(f"lsl r11, r11, #{extra}" for extra in [(16 // product.nbytes).bit_length() - 1] if extra),
        "mla r11, r11, r2, r0",
        "lsr r10, r10, #16",
        "and r12, r12, #1",
        "add r2, r1",
        "push {r2, r10, r12}",
        "push {r4, r5, lr}",
        "push {r1, r4, r5}",
    ]
    if epilogue.form == FITTED or epilogue.divides:
        # All channels have one addend when divided; then it is the last word.
        divided = epilogue.divides
        words, shift, out, end, channels = 7 + divided, ("r8", "r9"), "r10", "r11", "r12"
        last, saved = (("lr", "lr"), "{r6-r12, lr}") if divided else (("r8", "r9"), "{r6-r12}")
        lines += ["mov r12, r10", "mov r10, r3", "ldr r2, [sp, #80]"]
        channels_slot, out_slot, end_slot = 6, 4, 5
    else:
        words, last, shift, out, end, channels = 8, ("r10", "r11"), ("r8", "r9"), "r12", "lr", "r6"
        saved = "{r6-r12, lr}"
        lines += ["mov lr, r11", "mov r12, r3", "ldr r2, [sp, #80]"]
        channels_slot, out_slot, end_slot = words + 7, 6, 7
    lines += [*epilogue.addend(last[0], "r2", shift[0]), *epilogue.addend(last[1], "r2", shift[1])]
    lines += [f"push {saved}", "1:", f"add r1, sp, #{4 * words}", "ldmia r1, {r1-r5, pc}"]
    lines += product.loop.body(2, [f"ldr r6, [sp, #{4 * (words + 6)}]", "cmp r1, r6"])
    lines += [f"ldmia sp, {saved}"]
    lines += [f"asr r{number}, r{number}, #{product.scale}" for number in (2, 3, 4, 5) if product.scale]
    accumulators = [
        Accumulator(f"r{number}", f"r{6 + number % 2}", last[number % 2], shift[number % 2])
        for number in (2, 3, 4, 5)
    ]
    lines += epilogue.requantize(accumulators, ("r1", end))
    lines += [f"ldr {end}, [sp, #{4 * end_slot}]"] if epilogue.form == AWAY else []
    lines += [f"ldr {channels}, [sp, #{4 * channels_slot}]"] if channels_slot > words else []
    lines += [
        # The second pixel first: when it is none, there is no distance to the first one, which takes its place.
        f"add r1, {out}, {channels}",
        "strb r4, [r1]",
        "strb r5, [r1, #1]",
        f"strb r2, [{out}]",
        f"strb r3, [{out}, #1]",
        f"add {out}, r1, {channels}",
        f"str {out}, [sp, #{4 * out_slot}]",
        f"cmp r0, {end}",
        "bne 1b",
        f"ldr r1, [sp, #{4 * (words + 8)}]",
        "cbz r1, 3f",
        "movs r1, #0",
        f"str r1, [sp, #{4 * (words + 8)}]",
        f"str r1, [sp, #{4 * channels_slot}]",
        f"ldr r1, [sp, #{4 * words}]",
        f"ldr r2, [sp, #{4 * (words + 6)}]",
        "subs r2, r2, r1",
        *(f"lsls r2, r2, #{extra}" for extra in [(16 // product.nbytes).bit_length() - 1] if extra),
        "adds r2, r2, r0",
        f"str r2, [sp, #{4 * end_slot}]",
        "b 1b",
        "3:",
        f"add sp, #{4 * (words + 9)}",
        "pop {r4-r11, pc}",
    ]
    weights = "const int16_t *weights" if product.nbytes == 16 else "const int8_t *weights"
    parameters = (
        f"const int16_t *pixels, {weights}, const int32_t *requantization, int8_t *output,"
        " int32_t block, int32_t reduction, int32_t origin"
    )
    name = f"tinyml_dsp_{'compact_' if compact else ''}{product.key}strip_{epilogue.key}"
    return naked_function(name, parameters, lines)
