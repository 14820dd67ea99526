"""Assembly of the matrix tile for Armv7-M: up to 8 sums at a time in 14 registers, one MLA per product.

A tile is done in parts that the registers hold: two pixels of four, or eight channels of sixteen. Loads move the
addresses, so the unrolled reduction loop, which is entered in the middle, serves products of any depth.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rv32_assembly import Epilogue
    from .scalar import MatrixTile

# Products per output in one round of the reduction loop.
UNROLL = 8
# Most pixels of a part by its channels, and most channels.
LARGEST_PART = {1: 4, 4: 2}
LARGEST_LANES = 8
# Every instruction of the loop takes four bytes, so that it can be entered anywhere.
WIDE = 4
SUMS = ("r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11")
# Where addresses and operands are, the first of them the address of the first pixel.
FREE = ("r0", "r2", "r3", "r12", "lr", *reversed(SUMS))
SAVED = 4 * 9
# Stack slots of the tile's own; the arguments of the fifth and later parameters follow what is saved.
SLOTS = ("data", "weight", "factors", "fine", "end", "entry", "left")
FRAME = 4 * len(SLOTS)
ARGUMENTS = ("output", "groups", "depth", "pitch", "output_pitch", "point")


def _slot(name: str) -> str:
    place = 4 * SLOTS.index(name) if name in SLOTS else FRAME + SAVED + 4 * ARGUMENTS.index(name)
    return f"[sp, #{place}]"


def matrix_tile(tile: MatrixTile) -> list[str]:
    """Instructions of a tile; r0 data, r1 weight, r2 factors, r3 fine, the others on the stack."""
    return _Emitter(tile).lines()


def requantization(multiplier: str, shift: str, addend: str, scratch: str, epilogue: Epilogue) -> list[str]:
    """Make what requantises a channel, whose fine part is in `addend` and its point in `scratch`."""
    code = [
        f"and {shift}, {addend if epilogue.apart else multiplier}, #31",
        f"lsl {scratch}, {scratch}, {shift}",
    ]
    code += [f"asr {addend}, {addend}, #5"] if epilogue.apart else []
    return [*code, f"add {addend}, {addend}, {scratch}, asr #1"]


def requantized(
    x: str, multiplier: str, shift: str, addend: str, scratch: str, epilogue: Epilogue
) -> list[str]:
    """Turn the sum in x into a clamped output."""
    if epilogue.finer:
        code = [f"lsl {x}, {x}, #{epilogue.finer}", f"smull {scratch}, {x}, {x}, {multiplier}"]
        code += [f"asr {scratch}, {x}, #31", f"add {x}, {x}, {scratch}, lsl #{epilogue.finer - 1}"]
    else:
        code = [f"smull {scratch}, {x}, {x}, {multiplier}"]
    code += [f"add {x}, {x}, {addend}", f"asr {x}, {x}, {shift}", f"ssat {x}, #8, {x}"]
    if epilogue.clamp_min > -128:
        code += [f"cmp {x}, #{epilogue.clamp_min}", "it lt", f"movlt {x}, #{epilogue.clamp_min}"]
    if epilogue.clamp_max < 127:
        code += [f"cmp {x}, #{epilogue.clamp_max}", "it gt", f"movgt {x}, #{epilogue.clamp_max}"]
    return code


def load_fine(register: str, address: str, offset: int, epilogue: Epilogue) -> str:
    """Load the fine part of an addend."""
    return f"{'ldrsh' if epilogue.fine_type == 'int16' else 'ldrsb'} {register}, [{address}, #{offset}]"


class _Emitter:
    def __init__(self, tile: MatrixTile) -> None:
        self.tile = tile
        self.width = min(tile.lanes, LARGEST_LANES)
        self.pixels = min(tile.pixels, LARGEST_PART.get(self.width, 1))
        self.sums = [
            [SUMS[row * self.width + channel] for channel in range(self.width)] for row in range(self.pixels)
        ]
        used = set(SUMS[: self.pixels * self.width])
        free = [register for register in FREE if register not in used]
        self.bases = [free.pop(0) for _ in range(self.pixels)]
        self.held = [free.pop(0) for _ in range(min(self.pixels, self.width))]
        self.streamed = free.pop(0)
        self.code: list[str] = []

    def emit(self, *instructions: str) -> None:
        self.code += instructions

    def step(self) -> list[str]:
        """One product of every sum."""
        gap = self.tile.lanes - self.width
        rows = [f"[{base}], #1" for base in self.bases]
        columns = [f"[r1], #{1 + gap * (channel + 1 == self.width)}" for channel in range(self.width)]
        by_row = self.pixels < self.width
        kept, passing = (rows, columns) if by_row else (columns, rows)
        code = [f"ldrsb {register}, {place}" for register, place in zip(self.held, kept, strict=True)]
        for outer, place in enumerate(passing):
            code.append(f"ldrsb {self.streamed}, {place}")
            for inner, register in enumerate(self.held):
                sum_ = self.sums[inner][outer] if by_row else self.sums[outer][inner]
                code.append(f"mla {sum_}, {register}, {self.streamed}, {sum_}")
        return code

    def lines(self) -> list[str]:
        step = self.step()
        self.emit(".syntax unified", "push {r4-r11, lr}", f"sub sp, sp, #{FRAME}")
        for register, name in zip(("r0", "r1", "r2", "r3"), SLOTS, strict=False):
            self.emit(f"str {register}, {_slot(name)}")
        # The first round has as many products as later ones leave.
        self.emit(f"ldr r4, {_slot('depth')}", "rsb r5, r4, #0", f"and r5, r5, #{UNROLL - 1}")
        self.emit(f"mov r6, #{WIDE * len(step)}", "mul r5, r5, r6", "adr r6, 2f", "add r5, r5, r6")
        self.emit("orr r5, r5, #1", f"str r5, {_slot('entry')}")
        self.emit(f"ldr r5, {_slot('groups')}", f"lsl r5, r5, #{self.parts - 1}", f"str r5, {_slot('left')}")
        self.emit("1:", f"ldr r12, {_slot('factors')}")
        for channel, first in enumerate(self.sums[0]):
            self.emit(f"ldr {first}, [r12, #{8 * channel}]")
            self.emit(*(f"mov {row[channel]}, {first}" for row in self.sums[1:]))
        self.emit(f"ldr r0, {_slot('data')}", f"ldr r1, {_slot('depth')}", "add r1, r1, r0")
        self.emit(f"str r1, {_slot('end')}")
        if self.pixels > 1:
            self.emit(f"ldr r1, {_slot('pitch')}")
        for base, next_base in itertools.pairwise(self.bases):
            self.emit(f"add {next_base}, {base}, r1")
        self.emit(f"ldr r1, {_slot('weight')}", f"ldr pc, {_slot('entry')}", ".balign 4", "2:")
        self.emit(
            *(step * UNROLL), f"ldr {self.streamed}, {_slot('end')}", f"cmp r0, {self.streamed}", "bne 2b"
        )
        self._outputs()
        self._next()
        return [*self.code, f"add sp, sp, #{FRAME}", "pop {r4-r11, pc}"]

    @property
    def parts(self) -> int:
        """Parts of a tile: 1 or 2."""
        return self.tile.pixels * self.tile.lanes // (self.pixels * self.width)

    def _outputs(self) -> None:
        epilogue = self.tile.epilogue
        pointer, multiplier, shift, addend, scratch = "r0", "r1", "r2", "r3", "r12"
        for channel in range(self.width):
            self.emit(
                f"ldr {pointer}, {_slot('factors')}", f"ldr {multiplier}, [{pointer}, #{8 * channel + 4}]"
            )
            self.emit(f"ldr {pointer}, {_slot('fine')}", f"ldr {scratch}, {_slot('point')}")
            self.emit(load_fine(addend, pointer, epilogue.fine_bytes * channel, epilogue))
            self.emit(*requantization(multiplier, shift, addend, scratch, epilogue))
            self.emit(f"ldr {pointer}, {_slot('output')}")
            for row in range(self.pixels):
                sum_ = self.sums[row][channel]
                self.emit(*requantized(sum_, multiplier, shift, addend, scratch, epilogue))
                self.emit(f"strb {sum_}, [{pointer}, #{channel}]")
                if row + 1 < self.pixels:
                    self.emit(
                        f"ldr {scratch}, {_slot('output_pitch')}", f"add {pointer}, {pointer}, {scratch}"
                    )

    def _move(self, name: str, amount: str) -> None:
        """Add a register or a constant to a slot."""
        self.emit(f"ldr r1, {_slot(name)}", f"add r1, r1, {amount}", f"str r1, {_slot(name)}")

    def _next(self) -> None:
        """Count down; move the arguments to the next part or to the next group of channels."""
        tile, width = self.tile, self.width
        self.emit(f"ldr r0, {_slot('left')}", "subs r0, r0, #1", "beq 9f", f"str r0, {_slot('left')}")
        if self.parts == 2:
            self.emit("tst r0, #1", "beq 3f")
            if width < tile.lanes:
                self._move("weight", f"#{width}")
                self._channels(width)
            else:
                self.emit(f"ldr r2, {_slot('pitch')}", f"ldr r3, {_slot('output_pitch')}")
                self._move("data", "r2, lsl #1")
                self._move("output", "r3, lsl #1")
            self.emit("b 1b", "3:")
        if self.pixels < tile.pixels:
            self.emit(f"ldr r2, {_slot('pitch')}", f"ldr r3, {_slot('output_pitch')}")
            self.emit("rsb r2, r2, #0", "rsb r3, r3, #0")
            self._move("data", "r2, lsl #1")
            self._move("output", "r3, lsl #1")
        self.emit(f"ldr r2, {_slot('depth')}", f"mov r3, #{tile.lanes}", "mul r2, r2, r3")
        if width < tile.lanes:
            self.emit(f"sub r2, r2, #{tile.lanes - width}")
        self._move("weight", "r2")
        self._channels(width)
        self.emit("b 1b", "9:")

    def _channels(self, count: int) -> None:
        """Move to the next channels."""
        self._move("output", f"#{count}")
        self._move("factors", f"#{8 * count}")
        self._move("fine", f"#{self.tile.epilogue.fine_bytes * count}")
