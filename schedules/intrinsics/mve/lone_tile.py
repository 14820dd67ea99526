"""One pixel and all channels: how a function of wide tiles computes what is left of its pixels by fours.

The pixel stays in registers while weights stream by, and eight channels are requantised at once: their constants are
gathered from the tables of four pairs. A wide tile of one pixel (`wide_tile.py`) would requantise two at a time. Up to
eight taps of two channels fill one vector of weights, which meets the pixel in either half.
"""

from __future__ import annotations

from dataclasses import dataclass

from .assembly import (
    ACCUMULATOR_LIST,
    ACCUMULATORS,
    BYTE_RANGE,
    Cursor,
    add_constant,
    load_constant,
)
from .epilogue import correct_ties, narrow
from .strip import MAX_UNROLLED, TILE, VECTOR, Strip

# Pairs of channels that accumulators hold.
PAIRS = 4
# Taps of two channels that fill a vector.
_HALF = VECTOR // 2
# Registers of weights, which become outputs; of data and constants that do not stay; of the first vectors of data.
_BOTH, _PASSING, _DATA = ("q0", "q1"), "q2", ("q3", "q4", "q5", "q6")
_TABLES, _PLACES = "q7", _DATA[-1]


@dataclass(frozen=True)
class Frame:
    """Offsets in the stack of a function of wide tiles.

    weights: of their address, the tables' follows. output: of the pixel's address, the pixels left less TILE follow.
    spare: of sixteen bytes. word: of four more. channels: of their number.
    """

    weights: int
    output: int
    spare: int
    word: int
    channels: int


def lone_applies(strip: Strip, channels: int) -> bool:
    """Whether channels fill the accumulators, offsets of their planes have sixteen bits, and the code is not long."""
    if (2 * PAIRS - 1) * strip.plane >> 16:
        return False
    return strip.depth <= MAX_UNROLLED and channels >= 2 * PAIRS


def lone_groups(channels: int) -> int:
    """How often accumulators are filled."""
    return -(-channels // (2 * PAIRS))


def lone_code(strip: Strip, frame: Frame, *, aligned: bool) -> list[str]:
    """The pixels left, up to label 6; r7, r3: data and outputs of the first one, r1, r9: weights and tables.

    aligned: whether vectors of data begin at words.
    """
    code = [
        *_places(strip, frame),
        "7:",
        *_pixel(strip, frame, aligned),
        "8:",
        *_group(strip, frame, aligned),
    ]
    # Of less than eight channels left, the group begins before them.
    code += ["bge 8b", "adds r0, r5, #8", "beq 10f", "blt 9f", *_back(strip, frame), "b 8b"]
    code += ["9:", *_last_two(strip, frame), "10:", *_left(strip, frame), "beq 6f"]
    return [*code, *_advance(strip, frame), "b 7b"]


def lone_instructions(strip: Strip, frame: Frame, pixels: int, channels: int, *, aligned: bool) -> float:
    """Instructions of so many pixels."""
    groups = lone_groups(channels) * (len(_group(strip, frame, aligned)) + 1)
    once = len(_pixel(strip, frame, aligned)) + 2 + len(_left(strip, frame)) + 1
    if channels % (2 * PAIRS):
        once += 1 + len(_back(strip, frame)) + 1 + 2
    if channels % 2:
        once += 1 + len(_last_two(strip, frame))
    advance = len(_advance(strip, frame)) + 1
    return len(_places(strip, frame)) + pixels * (once + groups) + (pixels - 1) * advance


def _table_bytes(strip: Strip) -> int:
    """Of a pair: words of two channels, then a byte for each shift."""
    return 4 * (2 * len(strip.requantization.words) + 1)


def _vectors(strip: Strip) -> list[int]:
    """First taps of the vectors of data; of a half filled one there are two."""
    return [0, 0] if strip.depth <= _HALF else list(range(0, strip.depth, VECTOR))


def _places_stay(strip: Strip) -> bool:
    """Whether offsets of outputs in planes have a register."""
    return bool(strip.plane) and len(_vectors(strip)) < len(_DATA)


def _places(strip: Strip, frame: Frame) -> list[str]:
    """Offsets of eight outputs in planes."""
    if not strip.plane:
        return []
    target = _PLACES if _places_stay(strip) else _PASSING
    code = ["mov r0, #0", f"vidup.u16 {target}, r0, #1", f"movw r0, #{strip.plane}"]
    code.append(f"vmul.i16 {target}, {target}, r0")
    return code if _places_stay(strip) else [*code, f"vstrw.32 {target}, [sp, #{frame.spare}]"]


def _predicate(lanes: int, first: int = 0) -> list[str]:
    return [f"movw r0, #{((1 << lanes) - 1) << first}", "vmsr p0, r0"]


def _pixel(strip: Strip, frame: Frame, aligned: bool) -> list[str]:
    """Start of a pixel: its data, r5: channels left but eight, tables of the four pairs before the first one."""
    size, depth = _table_bytes(strip), strip.depth
    code = ["mov r0, #0", f"vidup.u32 {_TABLES}, r0, #1", f"mov r0, #{size}", f"sub r9, r9, #{PAIRS * size}"]
    code += [f"vmul.i32 {_TABLES}, {_TABLES}, r0", f"vadd.i32 {_TABLES}, {_TABLES}, r9"]
    code += ["mov r9, #1"] if strip.requantization.kind == "sign" else []
    code += [f"ldr r5, [sp, #{frame.channels}]", f"sub r5, r5, #{2 * PAIRS}"]
    if depth <= _HALF:
        low, high = _DATA[:2]
        code += [*_predicate(depth), "vpst", f"vldrbt.u8 {low}, [r7]"]
        code += [*_predicate(depth, depth), "vpst", f"vldrbt.u8 {high}, [r7, #{-depth}]"]
        return code + (_predicate(2 * depth) if depth < _HALF else [])
    code += _predicate(strip.tail) if strip.tail else []
    data = Cursor("r7")
    for x, start in zip(_DATA, _vectors(strip), strict=False):
        code += _load(strip, data, x, start, aligned)
    return [*code, *data.move(0)]


def _load(strip: Strip, data: Cursor, vector: str, start: int, aligned: bool) -> list[str]:
    """Data from tap `start` on; of a last vector that is not full nothing behind the taps."""
    whole = start + VECTOR <= strip.depth
    # Where bytes are out of reach, the register moves by words for the sake of other loads.
    moves = [] if whole or start <= data.position + BYTE_RANGE else data.move(start)
    *more, load = data.load(vector, start, aligned=aligned and whole)
    return [*moves, *more, *_masked(whole, [load])]


def _masked(whole: bool, loads: list[str]) -> list[str]:
    """Loads, predicated unless they are of a whole vector."""
    if whole:
        return loads
    return [f"vps{'t' * len(loads)}", *(load.replace("vldrb.", "vldrbt.") for load in loads)]


def _group(strip: Strip, frame: Frame, aligned: bool) -> list[str]:
    """Eight channels, up to the flags of the loop over them."""
    return [*_products(strip, aligned), *_outputs(strip), *_store(strip, frame), f"subs r5, r5, #{2 * PAIRS}"]


def _products(strip: Strip, aligned: bool) -> list[str]:
    """Sums of four pairs of channels."""
    code: list[str] = []
    data = Cursor("r7")
    for pair in range(PAIRS):
        sums = ACCUMULATORS[pair], ACCUMULATORS[PAIRS + pair]
        if strip.depth <= _HALF:
            weights = _BOTH[pair % 2]
            whole = strip.depth == _HALF
            code += _masked(whole, [f"vldrb.u8 {weights}, [r1], #{2 * strip.depth}"])
            code += [f"vmladav.s8 {one}, {x}, {weights}" for one, x in zip(sums, _DATA, strict=False)]
            continue
        for index, start in enumerate(_vectors(strip)):
            x = _DATA[index] if index < len(_DATA) else _PASSING
            code += [] if index < len(_DATA) else _load(strip, data, x, start, aligned)
            size = min(VECTOR, strip.depth - start)
            code += _masked(size == VECTOR, [f"vldrb.u8 {weights}, [r1], #{size}" for weights in _BOTH])
            product = "vmladava" if index else "vmladav"
            code += [f"{product}.s8 {one}, {x}, {w}" for one, w in zip(sums, _BOTH, strict=True)]
    return [*code, *data.move(0)]


def _outputs(strip: Strip) -> list[str]:
    """Sums to eight outputs in the even bytes of q0."""
    how = strip.requantization
    code = [f"stm sp, {ACCUMULATOR_LIST}"]
    code += [f"vldrw.u32 {_BOTH[0]}, [sp]", f"vldrw.u32 {_BOTH[1]}, [sp, #{VECTOR}]"]

    def with_words(row: int, operation: str) -> None:
        for channel, x in enumerate(_BOTH):
            place = 8 * row + 4 * channel
            # The first constants move on to the tables of these channels.
            address = f"[{_TABLES}, #{place}]" if place else f"[{_TABLES}, #{PAIRS * _table_bytes(strip)}]!"
            code.append(f"vldrw.u32 {_PASSING}, {address}")
            code.append(f"{operation} {x}, {x}, {_PASSING}")

    with_words(0, "vadd.i32")
    with_words(1, "vqrdmulh.s32")
    code += correct_ties(_BOTH, "r9") if how.kind == "sign" else []
    if how.kind == "fit":
        with_words(2, "vadd.i32")
    shift = "vshl" if how.kind == "fit" else "vrshl"
    # Shifts take the lowest byte of a lane.
    code += [f"vldrw.u32 {_PASSING}, [{_TABLES}, #{8 * len(how.words)}]"]
    code += [f"{shift}.s32 {_BOTH[0]}, {_BOTH[0]}, {_PASSING}", f"vshr.u32 {_PASSING}, {_PASSING}, #8"]
    code += [f"{shift}.s32 {_BOTH[1]}, {_BOTH[1]}, {_PASSING}"]
    return [*code, *narrow(how, *_BOTH, _PASSING, "r11")]


def _store(strip: Strip, frame: Frame) -> list[str]:
    """Store eight outputs and move on."""
    if not strip.plane:
        return [f"vstrb.16 {_BOTH[0]}, [r3], #{2 * PAIRS}"]
    places = _PLACES if _places_stay(strip) else _PASSING
    code = [] if _places_stay(strip) else [f"vldrw.u32 {places}, [sp, #{frame.spare}]"]
    return [*code, f"vstrb.16 {_BOTH[0]}, [r3, {places}]", *add_constant("r3", 2 * PAIRS * strip.plane)]


def _back(strip: Strip, frame: Frame) -> list[str]:
    """From r0 channels left to the last eight; the output before them is kept where their number is odd, in r5 -1."""
    code = [f"rsb r0, r0, #{2 * PAIRS}", "lsr r2, r0, #1"]
    code += [*load_constant("r4", strip.plane), "mls r3, r0, r4, r3"] if strip.plane else ["sub r3, r3, r0"]
    code += [f"movw r4, #{2 * strip.depth}", "mls r1, r2, r4, r1"]
    code += [f"movw r4, #{_table_bytes(strip)}", "mul r2, r2, r4", f"vsub.i32 {_TABLES}, {_TABLES}, r2"]
    code += ["ldrb r4, [r3]", f"str r4, [sp, #{frame.word}]"]
    return [*code, "and r0, r0, #1", "rsb r5, r0, #0"]


def _last_two(strip: Strip, frame: Frame) -> list[str]:
    """An odd last channel comes with the one before, which is there twice: all others move up by one."""
    move = [f"ldr r0, [sp, #{frame.word}]", "vshlc q0, r0, #16", "vmov.16 q0[7], r0"]
    return [*move, *add_constant("r3", -2 * PAIRS * (strip.plane or 1)), *_store(strip, frame)]


def _left(strip: Strip, frame: Frame) -> list[str]:
    """One pixel less, up to the flags."""
    load = f"ldrd r3, r2, [sp, #{frame.output}]" if strip.plane else f"ldr r2, [sp, #{frame.output + 4}]"
    return [load, "sub r2, r2, #1", f"adds r0, r2, #{TILE}"]


def _advance(strip: Strip, frame: Frame) -> list[str]:
    """On to the next pixel."""
    if strip.plane:
        code = ["add r3, r3, #1", f"strd r3, r2, [sp, #{frame.output}]"]
    else:
        code = [f"str r2, [sp, #{frame.output + 4}]"]
    return [*code, f"ldrd r1, r9, [sp, #{frame.weights}]", *add_constant("r7", strip.pitch)]
