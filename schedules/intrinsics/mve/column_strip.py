"""Strips whose pixels share columns: a window over padded rows with sixteen channels or a multiple.

The weights of up to three taps of two channels stay in six registers while the columns of four pixels pass by: each
column is loaded once and used by every pixel whose window contains it. A loop over the kernel's rows keeps the code
short when unrolling all of them would not. The weights lie in the order in which they are read.
"""

from __future__ import annotations

from .assembly import ACCUMULATORS, SAVED_BYTES, Cursor, add_constant
from .epilogue import Homes, assign_homes, requantize_tile
from .flat_strip import Parts, constants_of
from .strip import ACCUMULATOR_BYTES, TILE, VECTOR, Strip

MAX_COLUMNS = 3
# Instructions of a tile's products beyond which the kernel's rows become a loop.
_MAX_UNROLLED = 256


def column_strip(strip: Strip) -> Parts:
    """Code of a strip; weights int8[rows][channels / 16][2][columns][16]."""
    started: set[str] = set()
    data = Cursor("r7")
    core = [line for row in range(strip.rows) for line in _row(strip, row, data, started)]
    if len(core) > _MAX_UNROLLED:
        return _looped(strip)
    core += [*data.move(TILE * strip.pitch), *add_constant("r1", -2 * strip.depth)]
    homes = assign_homes(constants_of(strip), ("q7",), "q0", ACCUMULATOR_BYTES)
    return Parts(homes, [], [*core, *_finish(strip, homes, biased=False)])


def _looped(strip: Strip) -> Parts:
    # The accumulators start with the biases from the stack: a loop has no first product.
    order = [name for name in constants_of(strip) if name != "bias"]
    homes = assign_homes([*order, "bias"], ("q7",), "q0", ACCUMULATOR_BYTES)
    data = Cursor("r7")
    body = [
        *_row(strip, 0, data, set(ACCUMULATORS)),
        *data.move(strip.row_pitch),
        "subs r11, r11, #1",
        "bne 3b",
    ]
    bias = homes.slots["bias"]
    tile = [
        f"ldrd {ACCUMULATORS[lane]}, {ACCUMULATORS[lane + 1]}, [sp, #{bias}]"
        for lane in range(0, len(ACCUMULATORS), 2)
    ]
    tile += [f"movs r11, #{strip.rows}", "3:", *body]
    tile += add_constant("r7", TILE * strip.pitch - strip.rows * strip.row_pitch)
    tile += add_constant("r1", -2 * strip.depth)
    if strip.requantization.kind != "fit":
        stack = ACCUMULATOR_BYTES + 16 * len(homes.slots) + 4
        tile.append(f"ldr r11, [sp, #{stack + SAVED_BYTES + 8}]")
    return Parts(homes, [], [*tile, *_finish(strip, homes, biased=True)], (strip.rows - 1) * len(body) - 1)


def _row(strip: Strip, row: int, data: Cursor, started: set[str]) -> list[str]:
    """Products of one kernel row. started: accumulators that hold something already."""
    channels, taps = strip.row_bytes // strip.columns, strip.columns
    step = strip.pitch // channels
    code: list[str] = []
    for chunk in range(0, channels, VECTOR):
        code += [f"vldrw.u32 q{vector}, [r1], #{VECTOR}" for vector in range(2 * taps)]
        for column in reversed(range((TILE - 1) * step + taps)):
            users = [(pixel, column - pixel * step) for pixel in range(TILE)]
            users = [(pixel, tap) for pixel, tap in users if 0 <= tap < taps]
            if not users:
                continue
            offset = row * strip.row_pitch + column * channels + chunk
            code += data.load("q6", offset, aligned=True)
            for pixel, tap in users:
                for channel in range(2):
                    register = ACCUMULATORS[2 * pixel + channel]
                    product = "vmladava" if register in started else "vmladav"
                    started.add(register)
                    code.append(f"{product}.s8 {register}, q6, q{channel * taps + tap}")
    return code


def _finish(strip: Strip, homes: Homes, *, biased: bool) -> list[str]:
    code = requantize_tile(strip.requantization, "q1", "q2", homes, "r11", biased=biased)
    places, load = homes.fetch("places")
    return [*code, *load, f"vstrb.16 q1, [r3, {places}]"]
