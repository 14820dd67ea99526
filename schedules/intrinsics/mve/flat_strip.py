"""Strips with the reduction unrolled: a tile is straight code, four loads and eight products per sixteen taps."""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import MicroKernel
from .assembly import (
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
from .epilogue import Homes, assign_homes, load_shifts, requantize_tile
from .strip import ACCUMULATOR_BYTES, PARAMETERS, TILE, Strip, places_of_outputs

# Output pointer, counter, branch.
_TILE_LOOP = 3


@dataclass(frozen=True)
class Parts:
    """Code of a strip: what runs once after the constants are loaded, and what runs for every tile.

    loops: instructions of a tile beyond its lines, for the iterations of a loop in it.
    """

    homes: Homes
    prepare: list[str]
    tile: list[str]
    loops: int = 0


def flat_strip(strip: Strip) -> Parts:
    """Code of a strip; weights int8[2][depth]."""
    return _side_by_side(strip) if strip.side_by_side else _general(strip)


def strip_kernel(strip: Strip, parts: Parts) -> MicroKernel:
    """Micro-kernel of a strip from its parts."""
    return function(strip.name, PARAMETERS, assemble(strip, parts))


def instructions(strip: Strip, parts: Parts, pixels: int) -> float:
    """Instructions of one call."""
    frame = len(assemble(strip, Parts(parts.homes, parts.prepare, [])))
    return frame + (len(parts.tile) + parts.loops + _TILE_LOOP) * -(-pixels // TILE)


def assemble(strip: Strip, parts: Parts) -> list[str]:
    homes = parts.homes
    stack = ACCUMULATOR_BYTES + 16 * len(homes.slots) + 4
    arguments = stack + SAVED_BYTES
    code = [*save(stack), "mov r7, r3", "mov r3, r1", "mov r1, r0"]
    # Step 1. Constants of two channels, repeated for two pixels: a gather of 64-bit elements with equal offsets.
    code += [f"ldr r4, [sp, #{arguments + 4}]", "vmov.i32 q0, #0"]
    for name in (*strip.requantization.words, "shift"):
        vector = homes.registers.get(name, "q1")
        code += load_shifts(vector) if name == "shift" else [f"vldrd.u64 {vector}, [r2, q0]", "adds r2, #8"]
        code += [f"vstrw.32 q1, [sp, #{homes.slots[name]}]"] if name in homes.slots else []
    # Step 2. Places of the outputs.
    code += places_of_outputs(homes.registers.get("places", "q1"))
    code += [f"vstrw.32 q1, [sp, #{homes.slots['places']}]"] if "places" in homes.slots else []
    # Step 3. Loop: r1 data, r3 weights, r5 bytes of four output pixels, r7 output, r9 tiles left, r11 zero point.
    code += [f"ldr r9, [sp, #{arguments}]", "lsl r5, r4, #2", "lsr r9, r9, #2"]
    code += [f"ldr r11, [sp, #{arguments + 8}]"] if strip.requantization.kind != "fit" else []
    code += [*parts.prepare, "1:", *parts.tile, "add r7, r7, r5", "subs r9, r9, #1", "bgt 1b", "blt 2f"]
    # Step 4. Left-over pixels: one more tile that ends with the last pixel.
    code += [f"ldr r0, [sp, #{arguments}]", "ands r0, r0, #3", "beq 2f", "rsb r0, r0, #4"]
    code += [*load_constant("r2", strip.pitch), "mls r1, r0, r2, r1", "lsr r4, r5, #2", "mls r7, r0, r4, r7"]
    return [*code, "b 1b", "2:", *restore(stack)]


def store_tile(strip: Strip, first: str, second: str, homes: Homes) -> list[str]:
    code = requantize_tile(strip.requantization, first, second, homes, "r11", biased=False)
    places, load = homes.fetch("places")
    return [*code, *load, f"vstrb.16 {first}, [r7, {places}]"]


def _finish(strip: Strip, first: str, second: str, homes: Homes) -> list[str]:
    code = requantize_tile(strip.requantization, first, second, homes, "r11", biased=False)
    places, load = homes.fetch("places")
    return [*code, *load, f"vstrb.16 {first}, [r7, {places}]"]


def constants_of(strip: Strip) -> tuple[str, ...]:
    """Constants in the order in which they deserve a register."""
    return (*strip.requantization.constants, "places")


def _general(strip: Strip) -> Parts:
    chunks = strip.chunks()
    constants = constants_of(strip)
    # A single vector of weights per channel stays in q0 and q1; otherwise the epilogue may use q0.
    resident = len(chunks) == 1
    free: tuple[str, ...] = ("q4", "q5", "q6", "q7")
    temporary = "q0"
    if resident and (strip.requantization.needs_temporary or len(constants) > len(free)):
        free, temporary = free[:-1], free[-1]
    homes = assign_homes(constants, free, temporary, ACCUMULATOR_BYTES)
    aligned = strip.pitch % 4 == 0 and strip.row_pitch % 4 == 0
    furthest = max(offset for offset, _ in chunks) + (TILE - 1) * strip.pitch
    data = Cursor("r1", max(0, furthest - (WORD_RANGE if aligned else BYTE_RANGE)))
    weights_aligned = strip.row_bytes % 4 == 0
    weights_reach = WORD_RANGE if weights_aligned else BYTE_RANGE
    weights = Cursor("r3", max(0, chunks[-1][1] + strip.depth - weights_reach))
    data_start, weights_start = data.position, weights.position
    prepare = [*add_constant("r1", data_start), *add_constant("r3", weights_start)]
    if strip.tail:
        prepare += [f"movw r0, #{strip.tail_mask()}", "vmsr p0, r0"]
    core: list[str] = []
    for index, (data_offset, weight_offset) in reversed(list(enumerate(chunks))):
        masked = bool(strip.tail) and (index + 1) % (len(chunks) // strip.rows) == 0
        pair = weights.load_pair(
            "q0", "q1", weight_offset, weight_offset + strip.depth, aligned=weights_aligned, masked=masked
        )
        (prepare if resident else core).extend(pair)
        for pixel in reversed(range(TILE)):
            offset = pixel * strip.pitch + data_offset
            if index == 0 and pixel == 0:
                core += data.load_and_move("q2", offset, data_start + TILE * strip.pitch, aligned=aligned)
            else:
                core += data.load("q2", offset, aligned=aligned)
            for channel, vector in enumerate(("q0", "q1")):
                add = "vmladav" if index == len(chunks) - 1 else "vmladava"
                core.append(f"{add}.s8 {ACCUMULATORS[2 * pixel + channel]}, q2, {vector}")
    core += weights.move(weights_start)
    return Parts(homes, prepare, [*core, *_finish(strip, "q2", "q3", homes)])


def _side_by_side(strip: Strip) -> Parts:
    homes = assign_homes(constants_of(strip), ("q7",), "q6", ACCUMULATOR_BYTES)
    prepare = [
        "movw r0, #0x00ff",
        "vmsr p0, r0",
        "vpstt",
        "vldrwt.u32 q0, [r3]",
        "vldrwt.u32 q1, [r3, #8]",
        "mvn r0, r0",
        "vmsr p0, r0",
        "vpstt",
        "vldrwt.u32 q2, [r3, #-8]",
        "vldrwt.u32 q3, [r3]",
    ]
    core = ["vldrw.u32 q4, [r1], #32", "vldrw.u32 q5, [r1, #-16]"]
    for pair, vector in enumerate(("q4", "q5")):
        core += [f"vmladav.s8 {ACCUMULATORS[4 * pair + lane]}, {vector}, q{lane}" for lane in range(4)]
    return Parts(homes, prepare, [*core, *_finish(strip, "q4", "q5", homes)])
