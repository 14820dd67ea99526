"""Strips with the reduction unrolled: a tile is straight code, four loads and eight products per sixteen taps.

Two registers take turns to hold data, and the weights of a vector are loaded while the one before is multiplied, those
of a tile's first vector while the tile before is requantised: then no load waits for a product. The accumulators start
with the biases. The end of a tile's requantisation, a chain of instructions that wait for each other, runs beside the
first products of the next tile.

What comes before the first tile and after the last one is the same for all shapes, so strips may share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    shared_function,
)
from .epilogue import Homes, assign_homes, load_pairs, narrow, requantize_tile, scale
from .ordering import ordered
from .places import literals, places_of_outputs
from .strip import ACCUMULATOR_BYTES, PARAMETERS, SMALL, TILE, VECTOR, Strip

# Output pointer, counter, branch.
_TILE_LOOP = 3


@dataclass(frozen=True)
class Parts:
    """Code of a strip.

    prepare: what runs once after the constants are loaded.
    tile: what runs for every tile; r3 is its place in the output.
    opening, closing: the first and the last part of a tile when they are not in `tile`; the closing of one tile may run
        beside the opening of the next. Where the biases have no home, they lie where the stack begins.
    loops: instructions of a tile beyond its lines, for the iterations of a loop in it.
    """

    homes: Homes
    prepare: list[str]
    tile: list[str]
    loops: int = 0
    opening: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()


def flat_strip(strip: Strip) -> Parts:
    """Code of a strip; weights int8[2][depth]."""
    return _side_by_side(strip) if strip.side_by_side else _general(strip)


def flat_strip_kernels(strip: Strip) -> tuple[MicroKernel, ...]:
    """The micro-kernel of a strip, and the frame that it may share with others."""
    parts = flat_strip(strip)
    if not strip.shares_frame:
        return (strip_kernel(strip, parts),)
    # Everything after the first instruction, which keeps the registers.
    entry = [*ordered(_enter(strip, parts)[1:]), "bx lr", *literals()]
    return shared_function(_frame_name(strip), PARAMETERS, entry), strip_kernel(strip, parts)


def _frame_name(strip: Strip) -> str:
    return f"tinyml_mve_strip_frame_{strip.requantization.kind}{strip.suffix}"


def strip_kernel(strip: Strip, parts: Parts) -> MicroKernel:
    """Micro-kernel of a strip from its parts."""
    return function(strip.name, PARAMETERS, ordered(assemble(strip, parts), sources=("r7", "r1")))


def instructions(strip: Strip, parts: Parts, pixels: int) -> float:
    """Instructions of one call."""
    tile = len(parts.opening) + len(parts.tile) + len(parts.closing) + _TILE_LOOP
    # Without opening and closing nothing is written twice.
    whole = replace(parts, tile=[*parts.opening, *parts.tile, *parts.closing], opening=(), closing=())
    frame = len(assemble(strip, whole)) - tile + (5 if parts.opening else 0)
    frame += len(_enter(strip, parts)) if strip.shares_frame else 0
    return frame + (tile + parts.loops) * -(-pixels // TILE)


def _stack(homes: Homes) -> int:
    return ACCUMULATOR_BYTES + 16 * len(homes.slots) + 4


def _enter(strip: Strip, parts: Parts) -> list[str]:
    """What comes before the loop, but for what depends on the shape."""
    homes = parts.homes
    stack = _stack(homes)
    arguments = stack + SAVED_BYTES
    code = [*save(stack), "mov r7, r0", f"ldrd r9, r4, [sp, #{arguments}]"]
    # Step 1. Constants of two channels.
    code += load_pairs(strip.requantization, "r2", homes)
    if "bias" not in (*homes.registers, *homes.slots):
        code += ["vldrd.u64 q1, [q0]", "vstrw.32 q1, [sp]", f"vstrw.32 q1, [sp, #{VECTOR}]"]
    # Step 2. Places of the outputs.
    planes = strip.plane > 0
    code += places_of_outputs(homes.registers.get("places", "q1"), strip.shares_frame, planes)
    code += [f"vstrw.32 q1, [sp, #{homes.slots['places']}]"] if "places" in homes.slots else []
    # Step 3. Loop: r7 data, r1 weights, r5 bytes of four output pixels, r3 output, r9 pixels left but three, r11 zero
    # point.
    code += ["movs r5, #4" if planes else "lsl r5, r4, #2", "subs r9, r9, #3"]
    return code + ([f"ldr r11, [sp, #{arguments + 8}]"] if strip.requantization.kind != "fit" else [])


def assemble(strip: Strip, parts: Parts) -> list[str]:
    """All instructions of a strip but those of a shared frame."""
    code = _enter(strip, parts)
    if strip.shares_frame:
        code = [code[0], f"bl {_frame_name(strip)}"]
    end = [*parts.closing, "add r3, r3, r5"]
    count = ["subs r9, r9, #4", "bgt 1b"]
    if parts.opening:
        code += [*parts.prepare, "4:", f"ldm sp, {ACCUMULATOR_LIST}", *parts.opening, "b 5f"]
        code += ["1:", *end, *parts.opening, "5:", *parts.tile, *count, *end]
    else:
        code += [*parts.prepare, "1:", *parts.tile, *end, *count]
    # Left-over pixels: one more tile that ends with the last pixel.
    code += ["adds r0, r9, #3", "ble 2f", "rsb r0, r0, #4"]
    code += [*load_constant("r2", strip.pitch), "mls r7, r0, r2, r7", "lsr r4, r5, #2", "mls r3, r0, r4, r3"]
    return [*code, "b 4b" if parts.opening else "b 1b", "2:", *restore(_stack(parts.homes))]


def constants_of(strip: Strip) -> tuple[str, ...]:
    """Constants in the order in which they deserve a register."""
    first, rest = strip.requantization.constants[:3], strip.requantization.constants[3:]
    return (*first, "places", *rest)


def _finish(strip: Strip, first: str, second: str, homes: Homes) -> list[str]:
    code = requantize_tile(strip.requantization, first, second, homes, "r11", biased=False)
    places, load = homes.fetch("places")
    return [*code, *load, f"vstrb.16 {first}, [r3, {places}]"]


def _general(strip: Strip) -> Parts:
    how = strip.requantization
    # Three registers hold constants, beside two of weights and two of outputs; one takes data in between.
    constants = [name for name in constants_of(strip) if name != "bias"]
    homes = assign_homes(constants, ("q5", "q6", "q7"), "q4", ACCUMULATOR_BYTES)
    steps = _Steps(strip)
    prepare = [*steps.prepare(), *steps.weights()]
    opening = steps.products(TILE, ["q4"])
    tile = steps.products(TILE * len(strip.chunks()) - TILE, ["q2", "q3"])
    # Pushed, not stored: what lies below the stack pointer is not safe from interrupts.
    tile += [f"stmdb sp!, {ACCUMULATOR_LIST}", "vldrw.u32 q2, [sp]", f"vldrw.u32 q3, [sp, #{VECTOR}]"]
    tile.append(f"add sp, sp, #{ACCUMULATOR_BYTES}")
    scaling = scale(how, ("q2", "q3"), homes, biased=True)
    closing = [*scaling[-2:], *narrow(how, "q2", "q3", homes.temporary, "r11")]
    closing.append(f"vstrb.16 q2, [r3, {homes.registers['places']}]")
    tile += scaling[:-2]
    start = f"ldm sp, {ACCUMULATOR_LIST}"
    if strip.frame == SMALL:
        return Parts(homes, prepare, [start, *opening, *tile, *closing])
    tile.append(start)
    if how.needs_temporary:
        # The fourth register holds data while the next tile begins.
        tile += closing
        closing = []
    return Parts(homes, prepare, tile, 0, tuple(opening), tuple(closing))


class _Steps:
    """Loads and products of a tile in their order: from the last vector of taps and the last pixel to the first."""

    def __init__(self, strip: Strip) -> None:
        self._strip = strip
        self._chunks = strip.chunks()
        self._order = [(index, pixel) for index in range(len(self._chunks)) for pixel in range(TILE)]
        self._aligned = strip.pitch % 4 == 0 and strip.row_pitch % 4 == 0
        furthest = max(offset for offset, _ in self._chunks) + (TILE - 1) * strip.pitch
        reach = WORD_RANGE if self._aligned else BYTE_RANGE
        self._data = Cursor("r7", max(0, furthest - reach))
        self._start = self._data.position
        self._weights_aligned = strip.row_bytes % 4 == 0
        reach = WORD_RANGE if self._weights_aligned else BYTE_RANGE
        self._weights = Cursor("r1", max(0, self._chunks[-1][1] + strip.depth - reach))

    def prepare(self) -> list[str]:
        """Put pointers and predicate where the first tile wants them."""
        code = [*add_constant("r7", self._start), *add_constant("r1", self._weights.position)]
        return code + ([f"movw r0, #{self._strip.tail_mask()}", "vmsr p0, r0"] if self._strip.tail else [])

    def weights(self) -> list[str]:
        """The weights of the next products; after the last ones, of the next tile's first."""
        index = self._order[-1][0] if self._order else len(self._chunks) - 1
        masked = bool(self._strip.tail) and (index + 1) % (len(self._chunks) // self._strip.rows) == 0
        low = self._chunks[index][1]
        return self._weights.load_pair(
            "q0", "q1", low, low + self._strip.depth, aligned=self._weights_aligned, masked=masked
        )

    def products(self, count: int, vectors: Sequence[str]) -> list[str]:
        """The next products, of a vector of data each, which the registers take in turn, and the weights after them."""
        code: list[str] = []
        for number in range(count):
            index, pixel = self._order.pop()
            vector = vectors[number % len(vectors)]
            offset = pixel * self._strip.pitch + self._chunks[index][0]
            if self._order:
                code += self._data.load(vector, offset, aligned=self._aligned)
            else:
                position = self._start + TILE * self._strip.pitch
                code += self._data.load_and_move(vector, offset, position, aligned=self._aligned)
            for channel, weight in enumerate(("q0", "q1")):
                code.append(f"vmladava.s8 {ACCUMULATORS[2 * pixel + channel]}, {vector}, {weight}")
            if pixel == 0 and len(self._chunks) > 1:
                code += self.weights()
        return code


def _side_by_side(strip: Strip) -> Parts:
    homes = assign_homes(constants_of(strip), ("q7",), "q6", ACCUMULATOR_BYTES)
    prepare = [
        "movw r0, #0x00ff",
        "vmsr p0, r0",
        "vpstt",
        "vldrwt.u32 q0, [r1]",
        "vldrwt.u32 q1, [r1, #8]",
        "mvn r0, r0",
        "vmsr p0, r0",
        "vpstt",
        "vldrwt.u32 q2, [r1, #-8]",
        "vldrwt.u32 q3, [r1]",
    ]
    core = ["vldrw.u32 q4, [r7], #32", "vldrw.u32 q5, [r7, #-16]"]
    for pair, vector in enumerate(("q4", "q5")):
        core += [f"vmladav.s8 {ACCUMULATORS[4 * pair + lane]}, {vector}, q{lane}" for lane in range(4)]
    return Parts(homes, prepare, [*core, *_finish(strip, "q4", "q5", homes)])
