"""One pixel and all channels, with weights and tables as wide tiles read them: what is left of a row of pixels.

The pixel stays in registers while weights stream by, and eight channels are requantised at once: their constants are
gathered from the tables of four pairs. A wide tile of one pixel (`wide_tile.py`) would requantise two at a time.
"""

from __future__ import annotations

from ...kernel import MicroKernel
from .assembly import (
    ACCUMULATOR_LIST,
    ACCUMULATORS,
    BYTE_RANGE,
    SAVED_BYTES,
    add_constant,
    function,
    restore,
    save,
)
from .epilogue import correct_ties, narrow
from .strip import ACCUMULATOR_BYTES, PARAMETERS, VECTOR, Strip

# Pairs of channels that accumulators hold.
PAIRS = 4
# Registers of weights, which become outputs; of data and constants that do not stay; of the first vectors of data.
_BOTH, _PASSING, _DATA = ("q0", "q1"), "q2", ("q3", "q4", "q5", "q6")
_TABLES = "q7"


def lone_applies(strip: Strip, channels: int) -> bool:
    """Whether the pixel is within reach of one register, channels fill the accumulators, and offsets of their planes
    have sixteen bits.
    """
    if (2 * PAIRS - 1) * strip.plane >> 16:
        return False
    return strip.depth <= BYTE_RANGE + 1 and channels % (2 * PAIRS) == 0


def lone_name(strip: Strip) -> str:
    """Name of the micro-kernel."""
    plane = f"_plane{strip.plane}" if strip.plane else ""
    return f"tinyml_mve_lone_tile_{strip.depth}{plane}_{strip.requantization.name}"


def lone_kernel(strip: Strip) -> MicroKernel:
    """Micro-kernel with the parameters of wide tiles: a number of channels that 2 * PAIRS divides."""
    code = [*_prologue(strip), "1:", *_group(strip), "bne 1b", *restore(_stack(strip))]
    return function(lone_name(strip), PARAMETERS, code)


def lone_instructions(strip: Strip, pairs: int) -> float:
    """Instructions of one call."""
    return len(_prologue(strip)) + pairs // PAIRS * (len(_group(strip)) + 1) + len(restore(_stack(strip)))


def _stack(strip: Strip) -> int:
    """Accumulators, and offsets of outputs in planes."""
    return ACCUMULATOR_BYTES + (VECTOR if strip.plane else 0) + 4


def _table_bytes(strip: Strip) -> int:
    """Of a pair: words of two channels, then a byte for each shift."""
    return 4 * (2 * len(strip.requantization.words) + 1)


def _prologue(strip: Strip) -> list[str]:
    arguments = _stack(strip) + SAVED_BYTES
    code = [*save(_stack(strip)), "mov r7, r0", f"ldr r5, [sp, #{arguments + 4}]", "lsrs r5, r5, #3"]
    code += [f"ldr r11, [sp, #{arguments + 8}]"] if strip.requantization.kind != "fit" else []
    code += ["movs r0, #0", f"vidup.u32 {_TABLES}, r0, #1", f"movs r4, #{_table_bytes(strip)}"]
    code += [f"vmul.i32 {_TABLES}, {_TABLES}, r4", f"vadd.i32 {_TABLES}, {_TABLES}, r2"]
    if strip.plane:
        code += ["movs r0, #0", f"vidup.u16 {_PASSING}, r0, #1", f"movw r4, #{strip.plane}"]
        code += [f"vmul.i16 {_PASSING}, {_PASSING}, r4", f"vstrw.32 {_PASSING}, [sp, #{ACCUMULATOR_BYTES}]"]
    code += [f"movw r0, #{(1 << strip.tail) - 1}", "vmsr p0, r0"] if strip.tail else []
    starts = range(0, strip.depth, VECTOR)
    for x, start in zip(_DATA, starts, strict=False):
        code += _masked(strip, start, [f"vldrb.u8 {x}, [r7, #{start}]"])
    return code


def _masked(strip: Strip, start: int, loads: list[str]) -> list[str]:
    """Loads of taps from `start` on; of a last vector that is not full nothing behind the taps."""
    if start + VECTOR <= strip.depth:
        return loads
    return [f"vps{'t' * len(loads)}", *(load.replace("vldrb.", "vldrbt.") for load in loads)]


def _group(strip: Strip) -> list[str]:
    """Eight channels, up to the flags of the loop counter."""
    how = strip.requantization
    code: list[str] = []
    for pair in range(PAIRS):
        for index, start in enumerate(range(0, strip.depth, VECTOR)):
            data = _DATA[index] if index < len(_DATA) else _PASSING
            if index >= len(_DATA):
                code += _masked(strip, start, [f"vldrb.u8 {data}, [r7, #{start}]"])
            size = min(VECTOR, strip.depth - start)
            code += _masked(strip, start, [f"vldrb.u8 {x}, [r1], #{size}" for x in _BOTH])
            product = "vmladava" if index else "vmladav"
            code += [
                f"{product}.s8 {ACCUMULATORS[PAIRS * channel + pair]}, {data}, {_BOTH[channel]}"
                for channel in range(2)
            ]
    code += [f"stm sp, {ACCUMULATOR_LIST}"]
    code += [f"vldrw.u32 {_BOTH[0]}, [sp]", f"vldrw.u32 {_BOTH[1]}, [sp, #{VECTOR}]"]

    def with_words(row: int, operation: str) -> None:
        for channel, x in enumerate(_BOTH):
            code.append(f"vldrw.u32 {_PASSING}, [{_TABLES}, #{8 * row + 4 * channel}]")
            code.append(f"{operation} {x}, {x}, {_PASSING}")

    with_words(0, "vadd.i32")
    with_words(1, "vqrdmulh.s32")
    code += ["movs r0, #1", *correct_ties(_BOTH, "r0")] if how.kind == "sign" else []
    if how.kind == "fit":
        with_words(2, "vadd.i32")
    shift = "vshl" if how.kind == "fit" else "vrshl"
    # Shifts take the lowest byte of a lane.
    code += [f"vldrw.u32 {_PASSING}, [{_TABLES}, #{8 * len(how.words)}]"]
    code += [f"{shift}.s32 {_BOTH[0]}, {_BOTH[0]}, {_PASSING}", f"vshr.u32 {_PASSING}, {_PASSING}, #8"]
    code += [f"{shift}.s32 {_BOTH[1]}, {_BOTH[1]}, {_PASSING}"]
    code += narrow(how, *_BOTH, _PASSING, "r11")
    if strip.plane:
        code += [
            f"vldrw.u32 {_PASSING}, [sp, #{ACCUMULATOR_BYTES}]",
            f"vstrb.16 {_BOTH[0]}, [r3, {_PASSING}]",
        ]
        code += add_constant("r3", 2 * PAIRS * strip.plane)
    else:
        code.append(f"vstrb.16 {_BOTH[0]}, [r3], #{2 * PAIRS}")
    code += [f"movs r0, #{PAIRS * _table_bytes(strip)}", f"vadd.i32 {_TABLES}, {_TABLES}, r0"]
    return [*code, "subs r5, r5, #1"]
