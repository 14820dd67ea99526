"""Tiles of up to four pixels and all channels: weights and tables stream by, two channels at a time.

A strip sets up once for two channels and then walks over pixels, which pays for long strips only. Here the pixels stay:
their first vectors in registers, the rest at fixed offsets, while one loop over pairs of channels reads weights and
constants in the order in which they lie. Each vector of sums belongs to one channel, so that its constants are scalar
operands from core registers: three loads bring those of two channels.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import MicroKernel
from .assembly import (
    ACCUMULATOR_LIST,
    ACCUMULATORS,
    BYTE_RANGE,
    SAVED_BYTES,
    WORD_RANGE,
    Cursor,
    add_constant,
    function,
    restore,
    save,
)
from .epilogue import correct_ties, narrow
from .lone_tile import lone_instructions, lone_kernel, lone_name
from .ordering import ordered
from .strip import ACCUMULATOR_BYTES, TILE, VECTOR, Strip

# `table` as strips have it, one after the other; `channels` is the distance of two output pixels, or of two
# planes.
_PARAMETERS = (
    "const int8_t *data",
    "const int8_t *weight",
    "const int32_t *table",
    "int8_t *output",
    "int32_t pairs",
    "int32_t channels",
    "int32_t zero_point",
)
_STACK = ACCUMULATOR_BYTES + 4
# Registers of two channels' places of one pixel and of the next.
_PIXELS = (("r0", "r2"), ("r2", "r6"), ("r6", "r8"))
# Registers of weights, which become outputs, of data that does not stay, and of places.
_PAIR, _PASSING, _PLACES = ("q4", "q5"), "q6", "q7"


@dataclass(frozen=True)
class WideTile:
    """Shape of a tile.

    strip: its taps and their weights, with one row and in the "deep" form. pixels: up to TILE. lone: one pixel, by a
    function of its own (`lone_tile.py`).
    """

    strip: Strip
    pixels: int
    lone: bool = False

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        strip = self.strip
        if self.lone:
            return lone_name(strip)
        over = "_over" if strip.overrun and strip.tail else ""
        shape = f"{self.pixels}x{strip.depth}_every{strip.pitch}{over}"
        plane = f"_plane{strip.plane}" if strip.plane else ""
        return f"tinyml_mve_wide_tile_{shape}{plane}_{strip.requantization.name}"


def wide_kernel(tile: WideTile) -> MicroKernel:
    """Micro-kernel: `pairs` pairs of channels of the tile's pixels."""
    if tile.lone:
        return lone_kernel(tile.strip, _PARAMETERS)
    code = [*_prologue(tile), "1:", *_pair(tile), "bne 1b", *restore(_STACK)]
    return function(tile.name, _PARAMETERS, ordered(code, sources=("r7", "r1", "r9")))


def wide_instructions(tile: WideTile, pairs: int) -> float:
    """Instructions of one call."""
    if tile.lone:
        return lone_instructions(tile.strip, pairs)
    return len(_prologue(tile)) + pairs * (len(_pair(tile)) + 1) + len(restore(_STACK))


def _aligned(tile: WideTile) -> bool:
    """Whether all vectors of data begin at words."""
    return tile.strip.pitch % 4 == 0 and all(start % 4 == 0 for start in _starts(tile.strip))


def _starts(strip: Strip) -> list[int]:
    """First taps of the vectors; without overrun the last one ends with the last tap."""
    starts = list(range(0, strip.depth, VECTOR))
    if strip.tail and not strip.overrun and len(starts) > 1:
        starts[-1] = strip.depth - VECTOR
    return starts


def _masks_low(strip: Strip) -> bool:
    """Whether the taps of the last vector are its first lanes."""
    return strip.overrun or strip.depth < VECTOR


def _tap_mask(strip: Strip) -> int:
    low = (1 << strip.tail) - 1
    return low if _masks_low(strip) else low << (VECTOR - strip.tail)


def _cursor(tile: WideTile) -> Cursor:
    """Where data that does not stay is read from: in the reach of as much as possible."""
    offsets = [
        pixel * tile.strip.pitch + start for pixel in range(tile.pixels) for start in _starts(tile.strip)[1:]
    ]
    reach = WORD_RANGE if _aligned(tile) else BYTE_RANGE
    return Cursor("r7", max(0, max(offsets) - reach) if offsets else 0)


def _prologue(tile: WideTile) -> list[str]:
    strip = tile.strip
    arguments = _STACK + SAVED_BYTES
    code = [*save(_STACK), "mov r7, r0", "mov r9, r2", f"ldrd r5, r4, [sp, #{arguments}]"]
    code += [f"ldr r11, [sp, #{arguments + 8}]"] if strip.requantization.kind != "fit" else []
    # Places of the outputs: two channels of each pixel after the other.
    if strip.plane:
        code += ["lsl r0, r4, #16", *(f"add {there}, {here}, #0x10001" for here, there in _PIXELS)]
    else:
        code += ["add r4, r4, r4, lsl #16", "mov r0, #0x10000"]
        code += [f"add {there}, {here}, r4" for here, there in _PIXELS]
    code += [f"vmov {_PLACES}[2], {_PLACES}[0], r0, r6"]
    code += [f"vmov {_PLACES}[3], {_PLACES}[1], r2, r8"]
    if strip.tail or tile.pixels < TILE:
        code += _predicate("r0", _tap_mask(strip) if strip.tail else _store_mask(tile))
    data = Cursor("r7")
    # What lies behind a pixel of less than a vector is not read.
    masked = strip.depth < VECTOR and not strip.overrun
    for pixel in range(tile.pixels):
        *moves, load = data.load(f"q{pixel}", pixel * strip.pitch, aligned=not masked and _aligned(tile))
        code += [*moves, *(["vpst", load.replace("vldrb", "vldrbt")] if masked else [load])]
    return [*code, *data.move(_cursor(tile).position)]


def _store_mask(tile: WideTile) -> int:
    return (1 << 4 * tile.pixels) - 1


def _predicate(register: str, mask: int) -> list[str]:
    return [f"movw {register}, #{mask}", f"vmsr p0, {register}"]


def _pair(tile: WideTile) -> list[str]:
    """One pair of channels, up to the flags of the loop counter."""
    strip, how = tile.strip, tile.strip.requantization
    data = _cursor(tile)
    home = data.position
    starts = _starts(strip)
    # Fewer pixels leave accumulators free, and need another predicate for what they store.
    changes = bool(strip.tail) and tile.pixels < TILE
    code: list[str] = []
    for index, start in enumerate(starts):
        masked = bool(strip.tail) and index == len(starts) - 1
        code += _predicate("r6", _tap_mask(strip)) if masked and changes else []
        code += _tail_weights(strip) if masked else [f"vldrb.u8 {x}, [r1], #{VECTOR}" for x in _PAIR]
        for pixel in range(tile.pixels):
            vector = f"q{pixel}"
            if index:
                vector = _PASSING
                code += data.load(vector, pixel * strip.pitch + start, aligned=_aligned(tile))
            product = "vmladava" if index else "vmladav"
            code += [
                f"{product}.s8 {ACCUMULATORS[TILE * channel + pixel]}, {vector}, {_PAIR[channel]}"
                for channel in range(2)
            ]
    code += data.move(home)
    code += [f"stm sp, {ACCUMULATOR_LIST}"]
    code += [f"vldrw.u32 {_PAIR[0]}, [sp]", f"vldrw.u32 {_PAIR[1]}, [sp, #{VECTOR}]"]
    fitted = how.kind == "fit"
    code += ["ldm r9!, {r0, r2, r4, r6" + (", r8, r10}" if fitted else "}")]
    code += ["ldrsb r12, [r9], #1", "ldrsb lr, [r9], #3"]
    code += [f"vadd.i32 {x}, {x}, {bias}" for x, bias in zip(_PAIR, ("r0", "r2"), strict=True)]
    code += [f"vqrdmulh.s32 {x}, {x}, {factor}" for x, factor in zip(_PAIR, ("r4", "r6"), strict=True)]
    code += ["mov r0, #1", *correct_ties(_PAIR, "r0")] if how.kind == "sign" else []
    if fitted:
        code += [f"vadd.i32 {x}, {x}, {addend}" for x, addend in zip(_PAIR, ("r8", "r10"), strict=True)]
    shift = "vshl" if fitted else "vrshl"
    code += [f"{shift}.s32 {x}, {by}" for x, by in zip(_PAIR, ("r12", "lr"), strict=True)]
    code += narrow(how, *_PAIR, _PASSING, "r11")
    if tile.pixels == TILE:
        code.append(f"vstrb.16 {_PAIR[0]}, [r3, {_PLACES}]")
    else:
        code += _predicate("r0", _store_mask(tile)) if changes else []
        code += ["vpst", f"vstrbt.16 {_PAIR[0]}, [r3, {_PLACES}]"]
    step = add_constant("r3", 2 * strip.plane) if strip.plane else ["add r3, r3, #2"]
    return [*code, *step, "subs r5, r5, #1"]


def _tail_weights(strip: Strip) -> list[str]:
    """Weights of the last vector, zero where it has no new taps."""
    tail = strip.tail
    if _masks_low(strip):
        return ["vpstt", *(f"vldrbt.u8 {x}, [r1], #{tail}" for x in _PAIR)]
    loads = [f"vldrbt.u8 {x}, [r1, #{(index + 1) * tail - VECTOR}]" for index, x in enumerate(_PAIR)]
    return ["vpstt", *loads, f"add r1, r1, #{2 * tail}"]
