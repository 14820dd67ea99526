"""Tiles of up to four pixels and all channels: weights and tables stream by, two channels at a time.

A strip sets up once for two channels and then walks over pixels, which pays for long strips only. Here the pixels stay:
their first vectors in registers, the rest at fixed offsets, while one loop over pairs of channels reads weights and
constants in the order in which they lie. Each vector of sums belongs to one channel, so that its constants are scalar
operands from core registers: three loads bring those of two channels. The end of a pair's requantisation, a chain of
instructions that wait for each other, runs beside the first products of the next pair.

Tiles of four pixels follow each other in one call. Where pixels are left, the last one overlaps, or they are computed
one by one (`lone_tile.py`).
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
    load_constant,
    restore,
    save,
)
from .deep_tile import PLACES, deep_instructions, deep_kernels, deep_name, places
from .epilogue import correct_ties, narrow
from .lone_tile import Frame, lone_code, lone_instructions
from .ordering import ordered
from .strip import ACCUMULATOR_BYTES, MAX_UNROLLED, PARAMETERS, SMALL, TILE, VECTOR, Strip

# Stack after the accumulators: weights, tables, the tile's output, pixels left after the tile.
_WEIGHTS, _TABLES, _OUTPUT, _LEFT = range(ACCUMULATOR_BYTES, ACCUMULATOR_BYTES + 16, 4)
_SPILLED = ACCUMULATOR_BYTES + 16
_STACK = _SPILLED + VECTOR + 4
_FRAME = Frame(_WEIGHTS, _OUTPUT, _SPILLED, _SPILLED + VECTOR, _STACK + SAVED_BYTES + 4)
# Registers of sums, which become outputs, of weights, and of places. Data that does not stay passes through the first
# one, which is free once the outputs of the pair before are stored.
_SUMS, _PAIR, _PLACES = ("q4", "q5"), ("q6", "q5"), PLACES
# With so many vectors of taps the places go to the stack, so that weights have a third register to be loaded ahead.
_MANY = 3
_PASSING = _SUMS[0]


@dataclass(frozen=True)
class WideTile:
    """Shape of a tile.

    strip: its taps and their weights, with one row and in the "deep" form. pixels: up to TILE; with TILE, a call
    computes that many pixels or more. lone: some are left of such tiles, which are computed one by one.
    """

    strip: Strip
    pixels: int
    lone: bool = False

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        strip = self.strip
        if self.deep:
            return deep_name(strip, self.pixels)
        over = "_over" if strip.overrun and strip.tail else ""
        shape = f"{self.pixels}x{strip.depth}_every{strip.pitch}{over}"
        plane = f"_plane{strip.plane}" if strip.plane else ""
        frame = f"_{SMALL}" if strip.frame == SMALL else ""
        lone = "_lone" if self.lone else ""
        return f"tinyml_mve_wide_tile_{shape}{plane}{frame}{lone}_{strip.requantization.name}"

    @property
    def deep(self) -> bool:
        """Whether the taps are a loop (`deep_tile.py`)."""
        return self.strip.depth > MAX_UNROLLED

    @property
    def spills_places(self) -> bool:
        """Whether the places of the outputs lie on the stack while products run."""
        return len(_starts(self.strip)) >= _MANY

    @property
    def overlaps_pairs(self) -> bool:
        """Whether a pair ends beside the first products of the next one."""
        small = self.strip.frame == SMALL
        return (
            self.pixels == TILE
            and not self.deep
            and not small
            and not self.strip.requantization.needs_temporary
        )


def wide_kernels(tile: WideTile) -> tuple[MicroKernel, ...]:
    """The micro-kernel behind those it shares: all channels of the tile's pixels, or of `pixels` of them, by tiles."""
    if tile.deep:
        return deep_kernels(tile.strip, tile.pixels)
    code = [*_prologue(tile), "1:", *_start(tile)]
    if tile.overlaps_pairs:
        code += ["2:", *_first(tile), "b 4f", "3:", *_closing(tile), *_first(tile), "4:", *_rest(tile)]
        code += ["bgt 3b", *_closing(tile)]
    else:
        code += ["2:", *_first(tile), *_rest(tile), *_closing(tile), "bgt 2b"]
    # An odd last channel is computed once more with the one before.
    code += [
        "bne 5f",
        *add_constant("r3", -_step(tile)),
        "b 2b",
        "5:",
    ]
    if tile.lone:
        code += [*_next_whole(tile), "bge 1b"]
        code += [*lone_code(tile.strip, _FRAME, aligned=_aligned(tile)), "6:"]
    elif tile.pixels == TILE:
        code += _next(tile)
    code += restore(_STACK)
    return (function(tile.name, PARAMETERS, ordered(code, sources=("r7", "r1", "r9", "q7"))),)


def wide_instructions(tile: WideTile, pixels: int, channels: int) -> float:
    """Instructions of one call."""
    if tile.deep:
        return deep_instructions(tile.strip, pixels, channels)
    pairs = -(-channels // 2)
    pair = len(_first(tile)) + len(_rest(tile)) + len(_closing(tile)) + 1
    back = len(add_constant("r3", -_step(tile))) + 2
    outside = len(_start(tile)) + (1 if tile.overlaps_pairs else 0) + 1 + back * (channels % 2)
    total = float(len(_prologue(tile)) + len(restore(_STACK)))
    tiles = -(-pixels // TILE)
    # On to the next tile, and what finds that there is none.
    between = (len(_next(tile)) - 1) * (tiles - 1) + 3 if tile.pixels == TILE else 0
    if tile.lone:
        tiles, left = divmod(pixels, TILE)
        between = (len(_next_whole(tile)) + 1) * tiles
        total += lone_instructions(tile.strip, _FRAME, left, channels, aligned=_aligned(tile))
    return total + between + tiles * (outside + pairs * pair)


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
    code = [*save(_STACK), "mov r7, r0", f"ldrd r6, r4, [sp, #{arguments}]", "sub r5, r4, #1"]
    if tile.pixels == TILE:
        code += ["subs r6, r6, #4", f"strd r1, r2, [sp, #{_WEIGHTS}]", f"strd r3, r6, [sp, #{_OUTPUT}]"]
    code.append("mov r9, r2")
    code += [f"ldr r11, [sp, #{arguments + 8}]"] if strip.requantization.kind != "fit" else []
    code += load_constant("r0", strip.plane << 16) if strip.plane else []
    code += places(bool(strip.plane))
    code += [f"vstrw.32 {_PLACES}, [sp, #{_SPILLED}]"] if tile.spills_places else []
    if strip.tail or tile.pixels < TILE:
        code += _predicate("r0", _tap_mask(strip) if strip.tail else _store_mask(tile))
    return code


def _start(tile: WideTile) -> list[str]:
    """Start of a tile: data that stays. r1: weights, r9: tables, r5: channels left but one."""
    strip = tile.strip
    code: list[str] = []
    data = Cursor("r7")
    # What lies behind a pixel of less than a vector is not read.
    masked = strip.depth < VECTOR and not strip.overrun
    for pixel in range(tile.pixels):
        *moves, load = data.load(f"q{pixel}", pixel * strip.pitch, aligned=not masked and _aligned(tile))
        code += [*moves, *(["vpst", load.replace("vldrb", "vldrbt")] if masked else [load])]
    return [*code, *data.move(_cursor(tile).position)]


def _next(tile: WideTile) -> list[str]:
    """On to the next tile, or to one that ends with the last pixel; past the end when there is none."""
    strip = tile.strip
    arguments = _STACK + SAVED_BYTES
    code = [f"ldrd r3, r2, [sp, #{_OUTPUT}]", "cmp r2, #0", "ble 6f"]
    # r0: pixels between the tiles.
    code += [f"ldr r4, [sp, #{arguments + 4}]", "movs r0, #4", "cmp r2, #4", "it lt", "movlt r0, r2"]
    code += [
        "add r3, r3, r0" if strip.plane else "mla r3, r0, r4, r3",
        "subs r2, r2, #4",
        f"strd r3, r2, [sp, #{_OUTPUT}]",
    ]
    code += [*load_constant("r2", strip.pitch), "mla r7, r0, r2, r7"]
    code += [*Cursor("r7", _cursor(tile).position).move(0)]
    code += [f"ldrd r1, r9, [sp, #{_WEIGHTS}]", "sub r5, r4, #1", "b 1b", "6:"]
    return code


def _next_whole(tile: WideTile) -> list[str]:
    """On to the next pixels, up to the flags that tell whether there are four of them."""
    strip = tile.strip
    code = [f"ldrd r3, r2, [sp, #{_OUTPUT}]", f"ldr r4, [sp, #{_FRAME.channels}]", "sub r5, r4, #1"]
    code += ["add r3, r3, #4" if strip.plane else "add r3, r3, r4, lsl #2"]
    code += ["subs r2, r2, #4", f"strd r3, r2, [sp, #{_OUTPUT}]", f"ldrd r1, r9, [sp, #{_WEIGHTS}]"]
    return [*code, *add_constant("r7", TILE * strip.pitch - _cursor(tile).position)]


def _store_mask(tile: WideTile) -> int:
    return (1 << 4 * tile.pixels) - 1


def _predicate(register: str, mask: int) -> list[str]:
    return [f"movw {register}, #{mask}", f"vmsr p0, {register}"]


def _changes_predicate(tile: WideTile) -> bool:
    """Whether taps and outputs need different predicates; fewer pixels leave accumulators free for them."""
    return bool(tile.strip.tail) and tile.pixels < TILE


def _first(tile: WideTile) -> list[str]:
    """Products of the first vector of taps of two channels."""
    code = _weights(tile, 0)
    for pixel in range(tile.pixels):
        code += _products("vmladav", pixel, f"q{pixel}", _PAIR)
    return code


def _rest(tile: WideTile) -> list[str]:
    """Products of the other vectors, and requantisation up to the shift; sets the flags of the loop."""
    strip, how = tile.strip, tile.strip.requantization
    data = _cursor(tile)
    home = data.position
    code: list[str] = []
    for index, start in enumerate(_starts(strip)[1:], 1):
        code += _weights(tile, index)
        for pixel in range(tile.pixels):
            code += data.load(_PASSING, pixel * strip.pitch + start, aligned=_aligned(tile))
            code += _products("vmladava", pixel, _PASSING, _pair(tile, index))
    code += data.move(home)
    code += [f"stm sp, {ACCUMULATOR_LIST}"]
    code += [f"vldrw.u32 {_SUMS[0]}, [sp]", f"vldrw.u32 {_SUMS[1]}, [sp, #{VECTOR}]"]
    fitted = how.kind == "fit"
    # The shifts are the lowest bytes of the last word and of that word eight bits further; the other bits do not count.
    code += ["ldm r9!, {r0, r2, r4, r6, " + ("r8, r10, r12}" if fitted else "r12}"), "lsr lr, r12, #8"]
    code += [f"vadd.i32 {x}, {x}, {bias}" for x, bias in zip(_SUMS, ("r0", "r2"), strict=True)]
    code += [f"vqrdmulh.s32 {x}, {x}, {factor}" for x, factor in zip(_SUMS, ("r4", "r6"), strict=True)]
    code += ["mov r0, #1", *correct_ties(_SUMS, "r0")] if how.kind == "sign" else []
    if fitted:
        code += [f"vadd.i32 {x}, {x}, {addend}" for x, addend in zip(_SUMS, ("r8", "r10"), strict=True)]
    return [*code, "subs r5, r5, #2"]


def _closing(tile: WideTile) -> list[str]:
    """The end of a pair: shift, narrow and store."""
    how = tile.strip.requantization
    shift = "vshl" if how.kind == "fit" else "vrshl"
    code = [f"{shift}.s32 {x}, {by}" for x, by in zip(_SUMS, ("r12", "lr"), strict=True)]
    code += narrow(how, *_SUMS, _PAIR[0], "r11")
    code += [f"vldrw.u32 {_PLACES}, [sp, #{_SPILLED}]"] if tile.spills_places else []
    if tile.pixels == TILE:
        code.append(f"vstrb.16 {_SUMS[0]}, [r3, {_PLACES}]")
    else:
        code += _predicate("r0", _store_mask(tile)) if _changes_predicate(tile) else []
        code += ["vpst", f"vstrbt.16 {_SUMS[0]}, [r3, {_PLACES}]"]
    return [*code, *add_constant("r3", 2 * _step(tile))]


def _step(tile: WideTile) -> int:
    """Bytes from an output to that of the next channel."""
    return tile.strip.plane or 1


def _products(mnemonic: str, pixel: int, vector: str, pair: tuple[str, str]) -> list[str]:
    return [
        f"{mnemonic}.s8 {ACCUMULATORS[TILE * channel + pixel]}, {vector}, {pair[channel]}"
        for channel in range(2)
    ]


def _pair(tile: WideTile, index: int) -> tuple[str, str]:
    """Registers of the weights of vector `index`: the first one is idle during the vector before."""
    turns = (*_PAIR, _PLACES)
    return (turns[2 * index % 3], turns[(2 * index + 1) % 3]) if tile.spills_places else _PAIR


def _weights(tile: WideTile, index: int) -> list[str]:
    """Weights of vector `index` of two channels."""
    strip = tile.strip
    if not strip.tail or index < len(_starts(strip)) - 1:
        return [f"vldrb.u8 {x}, [r1], #{VECTOR}" for x in _pair(tile, index)]
    code = _predicate("r6", _tap_mask(strip)) if _changes_predicate(tile) else []
    return [*code, *_tail_weights(strip, _pair(tile, index))]


def _tail_weights(strip: Strip, pair: tuple[str, str]) -> list[str]:
    """Weights of the last vector, zero where it has no new taps."""
    tail = strip.tail
    if _masks_low(strip):
        return ["vpstt", *(f"vldrbt.u8 {x}, [r1], #{tail}" for x in pair)]
    loads = [f"vldrbt.u8 {x}, [r1, #{(index + 1) * tail - VECTOR}]" for index, x in enumerate(pair)]
    return ["vpstt", *loads, f"add r1, r1, #{2 * tail}"]
