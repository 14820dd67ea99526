"""Channel planes: a few channels of an NHWC image as int16, each with its pixels side by side.

Neighbouring pixels of a channel share a word, as SMLAD wants them. The rows of the planes are interleaved
([row, lane, column]), so that one pointer reaches all lanes of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import MicroKernel
from .assembly import Intrinsic, add_end, add_immediate, naked_function, repeat

# Largest offset of LDRD and STRD.
MAX_PAIR_OFFSET = 1020


@dataclass(frozen=True)
class Planes:
    """Geometry of the planes in scratch: int16[rows, lanes, pitch]; the pitch is even."""

    rows: int
    lanes: int
    pitch: int

    @property
    def row_bytes(self) -> int:
        """Bytes from one row of a plane to the next."""
        return 2 * self.lanes * self.pitch

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.rows * self.row_bytes


@script.macro
def fill_stage(planes: Any, shape: Any, value: Any) -> None:
    """All of the planes becomes `value`, so that padding needs no case of its own."""
    for r, lane, x in T.grid(shape.rows, shape.lanes, shape.pitch):
        with T.sblock("fill_value"):
            vr, vl, vx = T.axis.remap("SSS", [r, lane, x])
            planes[vr, vl, vx] = T.int16(value)


def fill_planes(shape: Planes, value: int) -> Intrinsic:
    """Fill planes with a value; see `fill_stage`."""
    rows, lanes, pitch, words = shape.rows, shape.lanes, shape.pitch, shape.nbytes // 4
    micro_kernel = fill_function()
    function, pattern = micro_kernel.name, (value & 0xFFFF) * 0x10001
    pattern -= (pattern >> 31) << 32

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(p: T.handle) -> None:
            planes = T.match_buffer(p, (rows, lanes, pitch), "int16", offset_factor=1)
            with T.sblock("root"):
                T.reads()
                T.writes(planes[0:rows, 0:lanes, 0:pitch])
                fill_stage(planes, shape, value)

        @script.prim_func(s_tir=True)
        def implementation(p: T.handle) -> None:
            planes = T.match_buffer(p, (rows, lanes, pitch), "int16", offset_factor=1)
            with T.sblock("root"):
                T.reads()
                T.writes(planes[0:rows, 0:lanes, 0:pitch])
                T.evaluate(T.call_extern("int32", function, planes.access_ptr("w"), pattern, words))

        return description, implementation

    return Intrinsic(f"{function}_{rows}_{lanes}_{pitch}_{value}", micro_kernel, build)


def fill_function() -> MicroKernel:
    """Store a word as often as told."""
    lines = [
        "push {r4-r7, lr}",
        *(f"mov r{number}, r1" for number in (3, 4, 5, 6, 7)),
        "mov r12, r1",
        "mov lr, r1",
        "subs r2, #8",
        "blt 2f",
        "1:",
        "stmia r0!, {r1, r3-r7, r12, lr}",
        "subs r2, #8",
        "bge 1b",
        "2:",
        "adds r2, #8",
        "beq 4f",
        "3:",
        "str r1, [r0], #4",
        "subs r2, #1",
        "bne 3b",
        "4:",
        "pop {r4-r7, pc}",
    ]
    return naked_function("tinyml_dsp_fill", "void *target, int32_t pattern, int32_t words", lines)


@script.macro
def split_stage(data: Any, planes: Any, extent: Any, source: Any, target: Any) -> None:
    """Columns and lanes of some rows of an image, int8[height, width, channels], into planes.

    extent: rows, columns and lanes. source: first row and channel. target: first row and column.
    """
    for r, x, lane in T.grid(extent[0], extent[1], extent[2]):
        with T.sblock("split_value"):
            vr, vx, vl = T.axis.remap("SSS", [r, x, lane])
            planes[target[0] + vr, vl, target[1] + vx] = T.Cast(
                "int16", data[source[0] + vr, vx, source[1] + vl]
            )


def split_rows(rows: int, columns: int, channels: int, shape: Planes) -> Intrinsic:
    """Rows of an image with `channels` channels into the planes; see `split_stage`."""
    lanes, pitch = shape.lanes, shape.pitch
    micro_kernel = _split_function(columns, channels, shape)
    function = micro_kernel.name

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(d: T.handle, p: T.handle) -> None:
            data = T.match_buffer(
                d, (rows, columns, lanes), "int8", offset_factor=1, strides=[columns * channels, channels, 1]
            )
            planes = T.match_buffer(
                p, (rows, lanes, columns), "int16", offset_factor=1, strides=[lanes * pitch, pitch, 1]
            )
            with T.sblock("root"):
                T.reads(data[0:rows, 0:columns, 0:lanes])
                T.writes(planes[0:rows, 0:lanes, 0:columns])
                split_stage(data, planes, (rows, columns, lanes), (0, 0), (0, 0))

        @script.prim_func(s_tir=True)
        def implementation(d: T.handle, p: T.handle) -> None:
            data = T.match_buffer(
                d, (rows, columns, lanes), "int8", offset_factor=1, strides=[columns * channels, channels, 1]
            )
            planes = T.match_buffer(
                p, (rows, lanes, columns), "int16", offset_factor=1, strides=[lanes * pitch, pitch, 1]
            )
            with T.sblock("root"):
                T.reads(data[0:rows, 0:columns, 0:lanes])
                T.writes(planes[0:rows, 0:lanes, 0:columns])
                T.evaluate(
                    T.call_extern(
                        "int32", function, data.access_ptr("r"), planes.access_ptr("w"), rows, channels
                    )
                )

        return description, implementation

    return Intrinsic(f"{function}_{rows}_{channels}", micro_kernel, build)


def split_instructions(rows: int, columns: int, lanes: int) -> int:
    """Instructions of one call of the generated function."""
    if lanes == 1:
        return 6 + rows * (4 + 2 * columns)
    if lanes == 2:
        return 6 + rows * (6 + 4 * columns)
    whole, rest = columns // 4, columns % 4
    return 6 + rows * (5 + 23 * whole + (2 * whole if whole > MAX_QUADS else 0) + (0, 10, 14, 24)[rest])


def reachable(shape: Planes, channels: int) -> bool:
    """Whether one pointer reaches all lanes of a row with the offset of a store of two words.

    Two lanes are read two pixels at a time, with the offset of a load.
    """
    return 2 * shape.pitch * (shape.lanes - 1) <= MAX_PAIR_OFFSET and (
        shape.lanes != 2 or channels <= MAX_OFFSET
    )


# Largest step of a load that moves its pointer, and largest offset of one that does not.
MAX_STEP, MAX_OFFSET = 255, 4095
# How many channels can be split at a time.
LANES = (4, 2, 1)
# Groups of four columns that are unrolled.
MAX_QUADS = 3


def _split_function(columns: int, channels: int, shape: Planes) -> MicroKernel:
    """r0 walks over the image, r1 over the planes, r2 counts rows.

    Few lanes come with few channels, so only four have a function for any number of channels, which is on the stack.
    """
    name = f"tinyml_dsp_split_{columns}_{shape.lanes}_{shape.pitch}"
    name += "" if shape.lanes == 4 else f"_{channels}"
    parameters = "const int8_t *data, int16_t *planes, int32_t rows, int32_t channels"
    if shape.lanes == 1:
        near = channels <= MAX_STEP
        load = [f"ldrsb r5, [r0], #{channels}"] if near else ["ldrsb r5, [r0]", "add r0, r3"]
        step = [*load, "strh r5, [r1], #2"]
        lines = ["push {r4, r5, lr}", "1:", *add_end("r4", "r1", 2 * columns)]
        lines += repeat(columns, lambda: step, 2, lambda: ["cmp r1, r4"], longest=16 * len(step))
        lines += add_immediate("r1", 2 * (shape.pitch - columns))
        return naked_function(name, parameters, [*lines, "subs r2, #1", "bne 1b", "pop {r4, r5, pc}"])
    if shape.lanes == 2:
        return naked_function(name, parameters, _split_two_lanes(columns, channels, shape))
    whole, rest = columns // 4, columns % 4
    lane = 2 * shape.pitch

    def halves(store: str, low: str, high: str) -> list[str]:
        """Four lanes from words that hold two lanes of two pixels each, the first lane last."""
        pairs = [(low, 1), (high, 0), (high, 1), (low, 0)]
        lanes = [1, 2, 3, 0]
        lines = []
        for (words, turn), target in zip(pairs, lanes, strict=True):
            rotation = ", ror #8" if turn else ""
            first, second = words.split()
            lines.append(f"sxtb16 r10, {first}{rotation}")
            if store == "strd":
                lines.append(f"sxtb16 r11, {second}{rotation}")
            data = "r10, r11" if store == "strd" else "r10"
            size = 8 if store == "strd" else 4
            lines.append(
                f"{store} {data}, [r1], #{size}" if target == 0 else f"{store} {data}, [r1, #{lane * target}]"
            )
        return lines

    pack = "pkhbt {0}, {1}, {2}, lsl #16", "pkhtb {0}, {2}, {1}, asr #16"
    two = ["ldr {0}, [r0]", "ldr {1}, [r0, r11]", "add r0, r0, r11, lsl #1"]
    quad = [
        "ldr r11, [sp]",
        *(line.format("r4", "r5") for line in two),
        *(line.format("r6", "r7") for line in two),
        pack[0].format("r8", "r4", "r5"),
        pack[0].format("r9", "r6", "r7"),
        pack[1].format("r3", "r4", "r5"),
        pack[1].format("r12", "r6", "r7"),
        *halves("strd", "r8 r9", "r3 r12"),
    ]
    pair = [
        "ldr r11, [sp]",
        *(line.format("r4", "r5") for line in two),
        pack[0].format("r8", "r4", "r5"),
        pack[1].format("r3", "r4", "r5"),
        *halves("str", "r8 r8", "r3 r3"),
    ]
    single = [
        "ldr r11, [sp]",
        "ldr r4, [r0]",
        "add r0, r11",
        "sxtb16 r5, r4",
        "sxtb16 r6, r4, ror #8",
        f"strh r6, [r1, #{lane}]",
        "asr r6, r6, #16",
        f"strh r6, [r1, #{3 * lane}]",
        "strh r5, [r1]",
        "asr r5, r5, #16",
        f"strh r5, [r1, #{2 * lane}]",
    ]
    lines = ["push {r3-r11, lr}", "1:"]
    if whole > MAX_QUADS:
        lines += [f"add lr, r1, #{8 * whole}", "2:", *quad, "cmp r1, lr", "bne 2b"]
    else:
        lines += quad * whole
    lines += (pair if rest >= 2 else []) + (single if rest % 2 else [])
    advance = shape.row_bytes - 8 * whole - (4 if rest >= 2 else 0)
    return naked_function(
        name, parameters, [*lines, f"add r1, #{advance}", "subs r2, #1", "bne 1b", "pop {r3-r11, pc}"]
    )


def _split_two_lanes(columns: int, channels: int, shape: Planes) -> list[str]:
    """Two columns at a time; r4 is where the pairs of a row end."""
    lane, pairs = 2 * shape.pitch, columns // 2
    step = [
        "ldrh r3, [r0]",
        f"ldrh r5, [r0, #{channels}]",
        *add_immediate("r0", 2 * channels),
        "orr r3, r3, r5, lsl #16",
        "sxtb16 r5, r3, ror #8",
        f"str r5, [r1, #{lane}]",
        "sxtb16 r3, r3",
        "str r3, [r1], #4",
    ]
    lines = ["push {r4, r5, lr}", "1:", *add_end("r4", "r1", 4 * pairs)]
    lines += repeat(pairs, lambda: step, 2, lambda: ["cmp r1, r4"], longest=4 * len(step))
    if columns % 2:
        lines += ["ldrsb r3, [r0]", "ldrsb r5, [r0, #1]", "strh r3, [r1]", f"strh r5, [r1, #{lane}]"]
        lines += add_immediate("r0", channels)
    lines += add_immediate("r1", shape.row_bytes - 4 * pairs)
    return [*lines, "subs r2, #1", "bne 1b", "pop {r4, r5, pc}"]
