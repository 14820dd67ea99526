"""Strips of any depth by one function: a loop over the reduction, entered in its middle.

What depends on the shape is a block of words behind a few instructions that hand its address over in r12. Four pixel
pointers, the weights and the loop counter take the odd registers, so everything else lives on the stack. The weights
lie in the order in which they are read: vectors of two channels alternate, then what is left of each channel.
"""

from __future__ import annotations

from ...kernel import MicroKernel
from .assembly import ACCUMULATORS, SAVED_BYTES, data, function, restore, save, shared_function
from .epilogue import Homes, load_pairs, requantize_tile
from .ordering import ordered
from .places import places_of_outputs
from .strip import PARAMETERS, TILE, VECTOR, Strip

# Vectors per iteration: half a kilobyte of code, and three percent of the instructions for the loop.
_UNROLL = 4
_POINTERS = ("r1", "r5", "r7", "r9")
# Stack after the eight accumulators: biases, weights, output, tiles left, zero point, bytes of four output pixels,
# bytes from the end of a tile to the next one, iterations, where the loop is entered and left.
_BIAS, _WEIGHTS, _OUTPUT, _TILES, _ZERO_POINT, _STEP = 32, 40, 44, 48, 52, 56
_NEXT, _TURNS, _ENTRY, _EXIT = 60, 64, 68, 72
_STACK = 76
_HOMES = Homes({"multiplier": "q4", "places": "q5", "shift": "q6", "addend": "q7"}, {}, "q0")
# Words of the block (the third is odd, as addresses of Thumb code are), and bytes of an instruction of the loop.
_BLOCK_NEXT, _BLOCK_TURNS, _BLOCK_SKIPPED, _BLOCK_PITCH, _BLOCK_MASK = range(0, 20, 4)
_WIDE = 4


def deep_strip_kernels(strip: Strip) -> tuple[MicroKernel, MicroKernel]:
    """The function that all depths share, and the one of a strip; weights int8[vectors][2][16], then int8[2][rest]."""
    whole, tail = divmod(strip.depth, VECTOR)
    turns = -(-whole // _UNROLL)
    skipped = (turns * _UNROLL - whole) * len(_vector()) * _WIDE
    words = (TILE * strip.pitch - whole * VECTOR, turns, skipped + 1, strip.pitch, (1 << tail) - 1)
    shared = f"tinyml_mve_deep_strip_{strip.requantization.name}{strip.suffix}"
    code = ["adr.w r12, 8f", f"b.w {shared}", ".balign 4", "8:", *data(words, 4)]
    return shared_function(shared, PARAMETERS, _code(strip)), function(strip.name, PARAMETERS, code)


def deep_strip_instructions(strip: Strip, pixels: int) -> float:
    """Instructions of one call."""
    whole, tail = divmod(strip.depth, VECTOR)
    products = len(_vector()) * whole + 2 * -(-whole // _UNROLL) + (len(_rest()) if tail else 0)
    return (
        len(_prologue(strip)) + 40 + (len(_before()) + products + len(_after(strip)) + 3) * -(-pixels // TILE)
    )


def _code(strip: Strip) -> list[str]:
    arguments = _STACK + SAVED_BYTES
    code = [*_prologue(strip), "ldrd r10, r12, [r2]", f"strd r10, r12, [sp, #{_BIAS}]"]
    code += load_pairs(strip.requantization, "r2", _HOMES)
    code += places_of_outputs(_HOMES.registers["places"], planes=strip.plane > 0)
    code += ["1:", *_before(), f"ldr pc, [sp, #{_ENTRY}]", "3:", *_vector() * _UNROLL]
    code += ["subs r11, r11, #1", "bne 3b", f"ldr pc, [sp, #{_EXIT}]", "4:", *_rest(), "5:"]
    code += [*_after(strip), "bgt 1b", "blt 2f"]
    # Left-over pixels: one more tile that ends with the last pixel.
    code += [f"ldrd r0, r4, [sp, #{arguments}]", "ands r0, r0, #3", "beq 2f", "rsb r0, r0, #4"]
    # The distance of two pixels is that of the first two pointers.
    code += ["sub r2, r5, r1", *(f"mls {pointer}, r0, r2, {pointer}" for pointer in _POINTERS)]
    back = "sub r2, r2, r0" if strip.plane else "mls r2, r0, r4, r2"
    code += [f"ldr r2, [sp, #{_OUTPUT}]", back, f"str r2, [sp, #{_OUTPUT}]"]
    # ADR counts from words: the function needs their alignment in a section of its own, too.
    return [*code, "b 1b", "2:", *restore(_STACK), ".balign 4"]


def _prologue(strip: Strip) -> list[str]:
    arguments = _STACK + SAVED_BYTES
    code = [*save(_STACK), f"strd r1, r3, [sp, #{_WEIGHTS}]", "mov r3, r1", "mov r1, r0"]
    code += [f"ldrd r9, r4, [sp, #{arguments}]", f"ldr r6, [sp, #{arguments + 8}]"]
    code += ["movs r8, #4" if strip.plane else "lsl r8, r4, #2", f"strd r6, r8, [sp, #{_ZERO_POINT}]"]
    code += ["lsr r9, r9, #2", f"str r9, [sp, #{_TILES}]"]
    code += [f"ldrd r6, r0, [r12, #{_BLOCK_NEXT}]", f"strd r6, r0, [sp, #{_NEXT}]"]
    # Where the loop is entered: behind the vectors that its first turn leaves out, or past it without any vector.
    code += ["adr.w r6, 3f", f"ldr r8, [r12, #{_BLOCK_SKIPPED}]", "add r6, r6, r8"]
    code += [f"ldr r8, [r12, #{_BLOCK_MASK}]", "vmsr p0, r8", "adr.w r10, 4f"]
    code += ["cmp r8, #0", "it eq", "adreq.w r10, 5f", "add r10, r10, #1"]
    code += ["cmp r0, #0", "it eq", "moveq r6, r10"]
    code += [f"strd r6, r10, [sp, #{_ENTRY}]", f"ldr r0, [r12, #{_BLOCK_PITCH}]"]
    return [*code, *(f"add {_POINTERS[p + 1]}, {_POINTERS[p]}, r0" for p in range(TILE - 1))]


def _before() -> list[str]:
    """Start of a tile."""
    code = [f"ldrd {ACCUMULATORS[2 * p]}, {ACCUMULATORS[2 * p + 1]}, [sp, #{_BIAS}]" for p in range(TILE)]
    return [*code, f"ldr r11, [sp, #{_TURNS}]"]


def _vector() -> list[str]:
    """Products of sixteen taps; every instruction is a wide one."""
    code = ["vldrb.u8 q0, [r3], #16", "vldrb.u8 q1, [r3], #16"]
    for pixel, pointer in enumerate(_POINTERS):
        data = f"q{2 + pixel % 2}"
        code.append(f"vldrb.u8 {data}, [{pointer}], #16")
        code += [f"vmladava.s8 {ACCUMULATORS[2 * pixel + c]}, {data}, q{c}" for c in range(2)]
    return ordered(code)


def _rest() -> list[str]:
    """Products of the taps after whole vectors, under the predicate."""
    # A predicated load leaves zero in the other lanes; how many it took tells where the second channel begins.
    code = [
        "vpst",
        "vldrbt.u8 q0, [r3]",
        "vmrs r11, p0",
        "clz r11, r11",
        "rsb r11, r11, #32",
        "add r3, r3, r11",
    ]
    code += ["vpst", "vldrbt.u8 q1, [r3]"]
    for pixel, pointer in enumerate(_POINTERS):
        code += ["vpst", f"vldrbt.u8 q2, [{pointer}]"]
        code += [f"vmladava.s8 {ACCUMULATORS[2 * pixel + c]}, q2, q{c}" for c in range(2)]
    return code


def _after(strip: Strip) -> list[str]:
    """End of a tile, up to the flags of the tile counter."""
    finish = requantize_tile(strip.requantization, "q2", "q3", _HOMES, "r0", biased=True)
    # The zero point needs a register as soon as the accumulators are stored.
    finish.insert(1, f"ldr r0, [sp, #{_ZERO_POINT}]")
    code = [
        *finish,
        f"ldrd r0, r2, [sp, #{_OUTPUT}]",
        f"ldrd r4, r6, [sp, #{_STEP}]",
        "vstrb.16 q2, [r0, q5]",
    ]
    code += [*(f"add {pointer}, {pointer}, r6" for pointer in _POINTERS)]
    code += [f"ldr r3, [sp, #{_WEIGHTS}]", "add r0, r0, r4", "subs r2, r2, #1"]
    return ordered([*code, f"strd r0, r2, [sp, #{_OUTPUT}]"])
