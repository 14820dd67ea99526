"""One row times a matrix: eight outputs at a time, each input vector loaded once for all of them.

The weights lie in the order in which they are read: for each group of eight channels, for each vector of sixteen taps,
one vector per channel; what is left of a row follows as so many bytes per channel and is read under a predicate. Even
channels end in the first vector of accumulators and odd ones in the second, so that narrowing puts them in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import MicroKernel
from ...parts import Parts
from .assembly import ACCUMULATOR_LIST, ACCUMULATORS, SAVED_BYTES, add_constant, function, restore, save
from .epilogue import Requantization, correct_ties, narrow
from .strip import VECTOR

GROUP = 8
_PARAMETERS = (
    "const int8_t *data",
    "const int8_t *weight",
    "const int32_t *table",
    "int8_t *output",
    "int32_t groups",
    "int32_t vectors",
    "int32_t zero_point",
)
# Bytes between planes whose offsets in a group have sixteen bits.
MAX_PLANE = ((1 << 16) - 1) // (GROUP - 1)
_PLACES = "q4"
# Stack after the accumulators: the row.
_DATA = 32
_STACK = 36


@dataclass(frozen=True)
class Dense:
    """Shape of a tile.

    channels: per group, at most GROUP. vectors: whole ones of a row; tail: bytes after them. uniform: all channels
    share multiplier and shift, which are arguments instead of a part of the tables. shared: one function for all
    depths. plane: bytes from one output channel to the next where outputs lie in planes, 0 where they lie side by side.
    """

    channels: int
    vectors: int
    tail: int
    requantization: Requantization
    uniform: bool
    shared: bool = False
    plane: int = 0

    @property
    def unroll(self) -> int:
        """Vectors per iteration."""
        if self.shared:
            return 1
        return next(factor for factor in (4, 2, 1) if self.vectors % factor == 0) if self.vectors else 0

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        shape = str(self.channels) if self.shared else f"{self.channels}_by{self.unroll}_tail{self.tail}"
        uniform = "_uniform" if self.uniform else ""
        plane = f"_plane{self.plane}" if self.plane else ""
        return f"tinyml_mve_dense_{shape}{uniform}{plane}_{self.requantization.name}"

    @property
    def table_words(self) -> int:
        """Words of the table of a group: accumulators' constants by row, then a byte per shift."""
        words = len(self.requantization.words) * GROUP
        return words - GROUP if self.uniform else words + GROUP // 4

    @property
    def depth(self) -> int:
        """Taps of one output."""
        return self.vectors * VECTOR + self.tail


def register_of(channel: int) -> int:
    """Place of a channel among the accumulators; also works on TensorIR expressions."""
    return channel // 2 + channel % 2 * (GROUP // 2)


def dense_kernel(tile: Dense) -> MicroKernel:
    """Micro-kernel; table int32[groups][`table_words`], `vectors` whole ones of a row."""
    arguments = _STACK + SAVED_BYTES
    parameters = (*_PARAMETERS, *(("int32_t multiplier", "int32_t shift") if tile.uniform else ()))
    parameters += ("int32_t tail",) if tile.shared else ()
    code = [*save(_STACK), f"str r0, [sp, #{_DATA}]", "mov r5, r2", "mov r7, r3", "mov r3, r1"]
    code += [f"ldr r9, [sp, #{arguments}]", f"ldr r0, [sp, #{arguments + 8}]", "vdup.16 q7, r0"]
    code += _places(tile)
    code += _mask((1 << tile.tail) - 1) if tile.tail and tile.channels == GROUP and not tile.shared else []
    products = _shared_products if tile.shared else _products
    code += ["1:", *products(tile, arguments), *_finish(tile, arguments), "subs r9, r9, #1", "bne 1b"]
    return function(tile.name, parameters, [*code, *restore(_STACK)])


def dense_parts(tile: Dense, groups: int) -> Parts:
    """Instructions of one call, the call included."""
    per_vector, finish = 1 + 2 * tile.channels, len(_finish(tile, 0))
    multiplications = (tile.vectors + (1 if tile.tail else 0)) * tile.channels
    if tile.shared:
        rest = 3 + 4 * tile.channels if tile.tail else 0
        products = tile.vectors * (per_vector + 2) + rest
        group = Parts(products, finish, calls=10, multiplications=multiplications)
        return Parts(calls=30 + len(_places(tile))) + group * groups
    turns = tile.vectors // tile.unroll if tile.unroll else 0
    body = len(_products(tile, 0)) - (tile.unroll * per_vector + 2 if tile.unroll else 0)
    products = body + turns * (tile.unroll * per_vector + 2)
    group = Parts(products, finish, calls=2, multiplications=multiplications)
    return Parts(calls=30 + len(_places(tile))) + group * groups


def _places(tile: Dense) -> list[str]:
    """Offsets of the channels of a group where they lie in planes."""
    if not tile.plane:
        return []
    return [
        "movs r0, #0",
        f"vidup.u16 {_PLACES}, r0, #1",
        f"movw r0, #{tile.plane}",
        f"vmul.i16 {_PLACES}, {_PLACES}, r0",
    ]


def _mask(mask: int) -> list[str]:
    return [f"movw r11, #{mask}", "vmsr p0, r11"]


def _products(tile: Dense, arguments: int) -> list[str]:
    code = [f"ldm r5, {ACCUMULATOR_LIST}", f"ldr r1, [sp, #{_DATA}]"]
    if tile.unroll:
        code += [f"ldr r11, [sp, #{arguments + 4}]", "2:"]
        for _ in range(tile.unroll):
            code.append("vldrb.u8 q0, [r1], #16")
            for channel in range(tile.channels):
                code += [
                    "vldrb.u8 q1, [r3], #16",
                    f"vmladava.s8 {ACCUMULATORS[register_of(channel)]}, q0, q1",
                ]
        code += [f"subs r11, r11, #{tile.unroll}", "bne 2b"]
    if tile.tail:
        code += _mask((1 << tile.tail) - 1) if tile.channels < GROUP else []
        code += ["vpst", "vldrbt.u8 q0, [r1]"]
        for channel in range(tile.channels):
            code += ["vpst", f"vldrbt.u8 q1, [r3], #{tile.tail}"]
            code.append(f"vmladava.s8 {ACCUMULATORS[register_of(channel)]}, q0, q1")
    return code


def _shared_products(tile: Dense, arguments: int) -> list[str]:
    """Products of rows of any depth; the tail comes after the other arguments."""
    tail = arguments + (20 if tile.uniform else 12)
    code = [f"ldm r5, {ACCUMULATOR_LIST}", f"ldr r1, [sp, #{_DATA}]"]
    code += [f"ldr r11, [sp, #{arguments + 4}]", "cmp r11, #0", "beq 3f", "2:", "vldrb.u8 q0, [r1], #16"]
    products = [
        f"vmladava.s8 {ACCUMULATORS[register_of(channel)]}, q0, q1" for channel in range(tile.channels)
    ]
    for product in products:
        code += ["vldrb.u8 q1, [r3], #16", product]
    code += ["subs r11, r11, #1", "bne 2b", "3:", f"ldr r11, [sp, #{tail}]", "cmp r11, #0", "beq 4f"]
    code += ["vctp.8 r11", "vpst", "vldrbt.u8 q0, [r1]"]
    for product in products:
        code += ["vpst", "vldrbt.u8 q1, [r3]", "add r3, r3, r11", product]
    return [*code, "4:"]


def _finish(tile: Dense, arguments: int) -> list[str]:
    how, both = tile.requantization, ("q0", "q1")
    code = [f"stm sp, {ACCUMULATOR_LIST}", "vldrw.u32 q0, [sp]", "vldrw.u32 q1, [sp, #16]"]
    shift = "vshl.s32" if how.kind == "fit" else "vrshl.s32"

    def with_words(row: int, operation: str) -> None:
        for half, x in enumerate(both):
            code.append(f"vldrw.u32 q{2 + half}, [r5, #{4 * GROUP * row + 16 * half}]")
            code.append(f"{operation} {x}, {x}, q{2 + half}")

    if tile.uniform:
        code += [f"ldrd r0, r2, [sp, #{arguments + 12}]", *(f"vqrdmulh.s32 {x}, {x}, r0" for x in both)]
    else:
        with_words(1, "vqrdmulh.s32")
    code += correct_ties(both) if how.kind == "sign" else []
    if how.kind == "fit":
        with_words(1 if tile.uniform else 2, "vadd.i32")
    if tile.uniform:
        code += [f"{shift} {x}, r2" for x in both]
    else:
        first = 4 * GROUP * len(how.words)
        code += [f"vldrb.s32 q{2 + half}, [r5, #{first + 4 * half}]" for half in range(2)]
        code += [f"{shift} {x}, {x}, q{2 + half}" for half, x in enumerate(both)]
    code += [*narrow(how, *both, "q2", "q7"), f"adds r5, #{4 * tile.table_words}"]
    place = f", {_PLACES}" if tile.plane else ""
    if tile.channels < GROUP:
        return [*code, *_mask((1 << 2 * tile.channels) - 1), "vpst", f"vstrbt.16 q0, [r7{place}]"]
    if tile.plane:
        return [*code, f"vstrb.16 q0, [r7{place}]", *add_constant("r7", GROUP * tile.plane)]
    return [*code, "vstrb.16 q0, [r7], #8"]
