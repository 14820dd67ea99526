"""Tiles of up to four pixels and all channels for many taps: a loop over taps inside of one over pairs of channels.

As `wide_tile.py`, where unrolled taps would be too much code. Every pixel has an address register of its own, which
goes back to the pixel's first tap for the next two channels; what else a tile needs waits on the stack. The function of
a shape hands over its sizes to one that all shapes share.
"""

from __future__ import annotations

from itertools import pairwise

from ...kernel import MicroKernel
from .assembly import (
    ACCUMULATOR_LIST,
    ACCUMULATORS,
    SAVED_BYTES,
    data,
    function,
    restore,
    save,
    shared_function,
)
from .epilogue import correct_ties, narrow
from .ordering import ordered
from .strip import ACCUMULATOR_BYTES, PARAMETERS, TILE, VECTOR, Strip

# Stack after the accumulators: of the call, of the tile, of the next two channels, and of the shape (`_sizes`).
_WEIGHTS, _TABLES, _OUTPUT, _LEFT, _DATA, _TABLE, _PLACE, _CHANNELS, _TURNS, _DEPTH, _PITCH, _STEP = range(
    ACCUMULATOR_BYTES, ACCUMULATOR_BYTES + 48, 4
)
_STACK = ACCUMULATOR_BYTES + 52
_MOST_UNROLLED = 4
_PIXELS = ("r3", "r5", "r7", "r11")
# Registers of two channels' places of one pixel and of the next.
_PLACES_OF_PIXELS = (("r0", "r2"), ("r2", "r6"), ("r6", "r8"))
_PAIR, _TEMPORARY, PLACES = ("q4", "q5"), "q6", "q7"


def deep_name(strip: Strip, pixels: int) -> str:
    """Name of the micro-kernel."""
    plane = f"_plane{strip.plane}" if strip.plane else ""
    shape = f"{pixels}x{strip.depth}_every{strip.pitch}"
    return f"tinyml_mve_deep_tile_{shape}{plane}_{strip.requantization.name}"


def deep_applies(strip: Strip) -> bool:
    """Whether the taps are whole vectors."""
    return strip.depth % VECTOR == 0


def deep_kernels(strip: Strip, pixels: int) -> tuple[MicroKernel, MicroKernel]:
    """The function that all shapes share, and the one of a shape with the parameters of wide tiles.

    It computes all channels of `pixels` pixels, or four of them at a time.
    """
    code = [*_prologue(strip, pixels), "1:", *_tile(pixels), "2:", *_begin(), "3:"]
    code += [*_taps(strip, pixels), "bne 3b", *_end(strip, pixels), "bgt 2b"]
    # An odd last channel is computed once more with the one before.
    code += ["bne 5f", *_odd(), "b 2b", "5:", *(_next(strip) if pixels == TILE else []), *restore(_STACK)]
    planes = "_planes" if strip.plane else ""
    shared = f"tinyml_mve_deep_tile_{pixels}_by{_unrolled(strip)}{planes}_{strip.requantization.name}"
    own = ["adr.w r12, 8f", f"b.w {shared}", ".balign 4", "8:", *data(_sizes(strip), 4)]
    return (
        shared_function(shared, PARAMETERS, ordered(code, sources=(*_PIXELS, "r1"))),
        function(deep_name(strip, pixels), PARAMETERS, own),
    )


def deep_instructions(strip: Strip, pixels: int, channels: int) -> float:
    """Instructions of one call for so many pixels."""
    size, tiles, pairs = min(TILE, pixels), -(-pixels // TILE), -(-channels // 2)
    turns = strip.depth // VECTOR // _unrolled(strip)
    pair = len(_begin()) + turns * (len(_taps(strip, size)) + 1) + len(_end(strip, size)) + 1
    around = 2 + len(_prologue(strip, size)) + len(restore(_STACK)) + (3 if size == TILE else 0)
    between = (len(_next(strip)) - 1) * (tiles - 1) if size == TILE else 0
    back = (len(_odd()) + 2) * (channels % 2)
    return around + between + tiles * (len(_tile(size)) + 1 + pairs * pair + back)


def _unrolled(strip: Strip) -> int:
    """Vectors of taps per turn of the loop."""
    vectors = strip.depth // VECTOR
    return next(count for count in range(_MOST_UNROLLED, 0, -1) if vectors % count == 0)


def _sizes(strip: Strip) -> tuple[int, ...]:
    """Turns of the loop, bytes of a pixel's taps, to the next pixel, and to the output of the next channel."""
    return strip.depth // VECTOR // _unrolled(strip), strip.depth, strip.pitch, strip.plane or 1


def places(planes: bool) -> list[str]:
    """Places of a tile's outputs, two channels of each pixel after the other.

    r4: the distance of two pixels, or with `planes` r0 that of two channels, shifted to the upper half.
    """
    code = [] if planes else ["add r4, r4, r4, lsl #16", "mov r0, #0x10000"]
    code += [f"add {there}, {here}, {'#0x10001' if planes else 'r4'}" for here, there in _PLACES_OF_PIXELS]
    return [*code, f"vmov {PLACES}[2], {PLACES}[0], r0, r6", f"vmov {PLACES}[3], {PLACES}[1], r2, r8"]


def _prologue(strip: Strip, pixels: int) -> list[str]:
    code = [*save(_STACK), f"strd r1, r2, [sp, #{_WEIGHTS}]", f"ldrd r6, r4, [sp, #{_STACK + SAVED_BYTES}]"]
    code += [f"subs r6, r6, #{TILE}", f"strd r3, r6, [sp, #{_OUTPUT}]", f"str r0, [sp, #{_DATA}]"]
    code += ["vldrw.u32 q0, [r12]", f"add r0, sp, #{_TURNS}", "vstrw.32 q0, [r0]"]
    code += [f"ldr r0, [sp, #{_STEP}]", "lsl r0, r0, #16"] if strip.plane else []
    code += places(bool(strip.plane))
    return code + ([f"movw r0, #{(1 << 4 * pixels) - 1}", "vmsr p0, r0"] if pixels < TILE else [])


def _tile(pixels: int) -> list[str]:
    """Start of a tile: r1 weights, addresses of pixels."""
    code = [f"ldrd r1, r9, [sp, #{_WEIGHTS}]", f"ldr r0, [sp, #{_OUTPUT}]", f"strd r9, r0, [sp, #{_TABLE}]"]
    code += [f"ldr r4, [sp, #{_STACK + SAVED_BYTES + 4}]", "subs r4, r4, #1", f"str r4, [sp, #{_CHANNELS}]"]
    code += [f"ldr {_PIXELS[0]}, [sp, #{_DATA}]", f"ldr r0, [sp, #{_PITCH}]"]
    return code + [f"add {here}, {before}, r0" for before, here in pairwise(_PIXELS[:pixels])]


def _begin() -> list[str]:
    return [f"ldr r9, [sp, #{_TURNS}]", *(f"mov {accumulator}, #0" for accumulator in ACCUMULATORS)]


def _taps(strip: Strip, pixels: int) -> list[str]:
    """Products of some vectors of taps, up to the flags of the loop."""
    code: list[str] = []
    for _ in range(_unrolled(strip)):
        code += [f"vldrb.u8 {weights}, [r1], #{VECTOR}" for weights in _PAIR]
        for pixel, address in enumerate(_PIXELS[:pixels]):
            code.append(f"vldrb.u8 q{pixel}, [{address}], #{VECTOR}")
            code += [
                f"vmladava.s8 {ACCUMULATORS[TILE * channel + pixel]}, q{pixel}, {weights}"
                for channel, weights in enumerate(_PAIR)
            ]
    return [*code, "subs r9, r9, #1"]


def _end(strip: Strip, pixels: int) -> list[str]:
    """Requantise and store two channels, up to the flags of the loop over channels."""
    how, fitted = strip.requantization, strip.requantization.kind == "fit"
    code = [
        f"stm sp, {ACCUMULATOR_LIST}",
        f"vldrw.u32 {_PAIR[0]}, [sp]",
        f"vldrw.u32 {_PAIR[1]}, [sp, #{VECTOR}]",
    ]
    code += [
        f"ldr r9, [sp, #{_TABLE}]",
        "ldm r9!, {r0, r2, r4, r6, " + ("r8, r10, r12}" if fitted else "r12}"),
    ]
    # The shifts are the lowest bytes of the last word and of that word eight bits further.
    code += [f"str r9, [sp, #{_TABLE}]", "lsr lr, r12, #8"]
    code += [f"vadd.i32 {x}, {x}, {bias}" for x, bias in zip(_PAIR, ("r0", "r2"), strict=True)]
    code += [f"vqrdmulh.s32 {x}, {x}, {factor}" for x, factor in zip(_PAIR, ("r4", "r6"), strict=True)]
    code += ["mov r0, #1", *correct_ties(_PAIR, "r0")] if how.kind == "sign" else []
    if fitted:
        code += [f"vadd.i32 {x}, {x}, {addend}" for x, addend in zip(_PAIR, ("r8", "r10"), strict=True)]
    shift = "vshl" if fitted else "vrshl"
    code += [f"{shift}.s32 {x}, {by}" for x, by in zip(_PAIR, ("r12", "lr"), strict=True)]
    code += [] if fitted else [f"ldr r10, [sp, #{_STACK + SAVED_BYTES + 8}]"]
    code += [*narrow(how, *_PAIR, _TEMPORARY, "r10"), f"ldr r8, [sp, #{_PLACE}]"]
    store = f"vstrb.16 {_PAIR[0]}, [r8, {PLACES}]"
    code += [store] if pixels == TILE else ["vpst", store.replace("vstrb", "vstrbt")]
    code += [f"ldr r6, [sp, #{_STEP}]", "add r8, r8, r6, lsl #1"] if strip.plane else ["adds r8, r8, #2"]
    code += [f"str r8, [sp, #{_PLACE}]", f"ldr r6, [sp, #{_DEPTH}]"]
    code += [f"subs {address}, {address}, r6" for address in _PIXELS[:pixels]]
    return [*code, f"ldr r6, [sp, #{_CHANNELS}]", "subs r6, r6, #2", f"str r6, [sp, #{_CHANNELS}]"]


def _odd() -> list[str]:
    code = [f"ldr r8, [sp, #{_PLACE}]", f"ldr r6, [sp, #{_STEP}]"]
    return [*code, "subs r8, r8, r6", f"str r8, [sp, #{_PLACE}]"]


def _next(strip: Strip) -> list[str]:
    """On to the next tile, or to one that ends with the last pixel; past the end when there is none."""
    code = [f"ldrd r3, r2, [sp, #{_OUTPUT}]", "cmp r2, #0", "ble 6f"]
    code += [f"movs r0, #{TILE}", f"cmp r2, #{TILE}", "it lt", "movlt r0, r2"]
    # r0: pixels between the tiles.
    code += [] if strip.plane else [f"ldr r4, [sp, #{_STACK + SAVED_BYTES + 4}]"]
    code += ["add r3, r3, r0" if strip.plane else "mla r3, r0, r4, r3", f"subs r2, r2, #{TILE}"]
    code += [f"strd r3, r2, [sp, #{_OUTPUT}]", f"ldr r2, [sp, #{_PITCH}]", f"ldr r4, [sp, #{_DATA}]"]
    return [*code, "mla r4, r0, r2, r4", f"str r4, [sp, #{_DATA}]", "b 1b", "6:"]
