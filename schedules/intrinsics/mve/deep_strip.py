"""Strips of great depth: a loop over the reduction instead of unrolled code.

Four pixel pointers, the weights and the loop counter take the odd registers, so everything else lives on the stack.
The weights of two channels alternate every sixteen bytes, in the order in which the loop reads them.
"""

from __future__ import annotations

from ...kernel import MicroKernel
from .assembly import (
    ACCUMULATORS,
    ADD_RANGE,
    SAVED_BYTES,
    add_constant,
    function,
    load_constant,
    restore,
    save,
)
from .epilogue import Homes, load_shifts, requantize_tile
from .strip import PARAMETERS, TILE, VECTOR, Strip, places_of_outputs

# Chunks per iteration: half a kilobyte of code, and three percent of the instructions for the loop.
_UNROLL = 4
_POINTERS = ("r1", "r5", "r7", "r9")
# Stack after the eight accumulators: biases, weights, output, tiles left, zero point, bytes of four output pixels.
_BIAS, _WEIGHTS, _OUTPUT, _TILES, _ZERO_POINT, _STEP = 32, 40, 44, 48, 52, 56
_STACK = 60
_HOMES = Homes({"multiplier": "q4", "places": "q5", "shift": "q6", "addend": "q7"}, {}, "q0")


def deep_strip_kernel(strip: Strip) -> MicroKernel:
    """Micro-kernel of a strip of one segment; weights int8[vectors][2][16]."""
    before, loop, after = _parts(strip)
    arguments = _STACK + SAVED_BYTES
    code = [*save(_STACK), f"ldr r4, [sp, #{arguments + 4}]", f"ldr r6, [sp, #{arguments + 8}]"]
    code += [f"str r1, [sp, #{_WEIGHTS}]", f"str r3, [sp, #{_OUTPUT}]", "mov r3, r1", "lsl r8, r4, #2"]
    code += [f"str r6, [sp, #{_ZERO_POINT}]", f"str r8, [sp, #{_STEP}]", "ldrd r10, r12, [r2], #8"]
    code += [f"strd r10, r12, [sp, #{_BIAS}]", "vmov.i32 q0, #0", "mov r1, r0"]
    for name in strip.requantization.words[1:]:
        code += [f"vldrd.u64 {_HOMES.registers[name]}, [r2, q0]", "adds r2, #8"]
    code += load_shifts(_HOMES.registers["shift"])
    code += places_of_outputs(_HOMES.registers["places"])
    code += [f"ldr r9, [sp, #{arguments}]", "lsr r9, r9, #2", f"str r9, [sp, #{_TILES}]"]
    code += load_constant("r0", strip.pitch)
    code += [f"add {_POINTERS[pixel + 1]}, {_POINTERS[pixel]}, r0" for pixel in range(TILE - 1)]
    code += ["1:", *before, "3:", *loop, *after, "bgt 1b", "blt 2f"]
    # Left-over pixels: one more tile that ends with the last pixel.
    code += [f"ldr r0, [sp, #{arguments}]", "ands r0, r0, #3", "beq 2f", "rsb r0, r0, #4"]
    code += load_constant("r2", strip.pitch)
    code += [f"mls {pointer}, r0, r2, {pointer}" for pointer in _POINTERS]
    code += [f"ldr r2, [sp, #{arguments + 4}]", f"ldr r4, [sp, #{_OUTPUT}]", "mls r4, r0, r2, r4"]
    code += [f"str r4, [sp, #{_OUTPUT}]", "b 1b", "2:", *restore(_STACK)]
    return function(strip.name, PARAMETERS, code)


def deep_strip_instructions(strip: Strip, pixels: int) -> float:
    """Instructions of one call."""
    before, loop, after = _parts(strip)
    turns = strip.depth // VECTOR // _UNROLL
    frame = 45
    return frame + (len(before) + len(loop) * turns + len(after) + 1) * -(-pixels // TILE)


def _parts(strip: Strip) -> tuple[list[str], list[str], list[str]]:
    """Code of a tile before its loop, in the loop, and after it up to the flags of the tile counter."""
    whole, tail = divmod(strip.depth, VECTOR)
    turns, rest = divmod(whole, _UNROLL)
    load = "vldrw.u32" if strip.depth % 4 == 0 and strip.pitch % 4 == 0 else "vldrb.u8"
    before = [
        f"ldrd {ACCUMULATORS[2 * pixel]}, {ACCUMULATORS[2 * pixel + 1]}, [sp, #{_BIAS}]"
        for pixel in range(TILE)
    ]
    before += [*(_chunk(load, "], #16") * rest), f"movs r11, #{turns}"]
    loop = [*(_chunk(load, "], #16") * _UNROLL), "subs r11, r11, #1", "bne 3b"]
    # The last vector ends with the last tap; the weights of what it repeats are zero.
    last = _chunk(load, f", #{tail - VECTOR}]") if tail else []
    finish = requantize_tile(strip.requantization, "q2", "q3", _HOMES, "r0", biased=True)
    # The zero point needs a register as soon as the accumulators are stored.
    finish.insert(1, f"ldr r0, [sp, #{_ZERO_POINT}]")
    after = [
        *last,
        *finish,
        f"ldr r11, [sp, #{_OUTPUT}]",
        f"ldr r0, [sp, #{_STEP}]",
        "vstrb.16 q2, [r11, q5]",
    ]
    after += ["add r11, r11, r0", f"str r11, [sp, #{_OUTPUT}]"]
    step = TILE * strip.pitch - whole * VECTOR
    if abs(step) <= ADD_RANGE:
        after += [line for pointer in _POINTERS for line in add_constant(pointer, step)]
    else:
        after += [*load_constant("r0", step), *(f"add {pointer}, {pointer}, r0" for pointer in _POINTERS)]
    after += [f"ldr r3, [sp, #{_WEIGHTS}]", f"ldr r0, [sp, #{_TILES}]", "subs r0, r0, #1"]
    return before, loop, [*after, f"str r0, [sp, #{_TILES}]"]


def _chunk(load: str, end: str) -> list[str]:
    """Products of sixteen taps. end: of the address of a pixel."""
    code = [f"{load} q0, [r3], #32", f"{load} q1, [r3, #-16]"]
    for pixel, pointer in enumerate(_POINTERS):
        code.append(f"{load} q2, [{pointer}{end}")
        code += [f"vmladava.s8 {ACCUMULATORS[2 * pixel + c]}, q2, q{c}" for c in range(2)]
    return code
