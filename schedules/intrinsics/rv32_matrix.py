"""Assembly of the matrix tile for RV32IM: up to 16 sums, one row of weights and all addresses in registers.

The reduction loop is unrolled and entered in the middle, so that one function serves products of any depth. What one
group of channels does not need stays on the stack until the next. All tiles of one shape share the function that makes
their sums, whatever they make of them: it is called with a convention of its own, registers and stack slots being those
of the tile.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from .rv32_assembly import WORD, Assembly

if TYPE_CHECKING:
    from .scalar import MatrixTile

# Products per output in one round of the reduction loop: of the tile that does most of the work, and of the others.
UNROLL, UNROLL_OTHERS = 16, 4
# Stack slots.
SLOTS = (
    *("factors", "fine", "output", "groups", "pitch", "data", "end", "entry", "skipped", "weight"),
    *("caller", "again"),
)


def matrix_tile(tile: MatrixTile) -> tuple[list[str], list[str]]:
    """Instructions of the function that makes a tile's sums, and of the tile.

    a0 data, a1 weight, a2 factors, a3 fine, a4 output, a5 groups, a6 depth, a7 pitch; on the stack: output pitch and
    point.
    """
    return _Emitter(tile).lines()


def sums_name(tile: MatrixTile) -> str:
    """Name of the function that makes a tile's sums."""
    return f"tinyml_sums_{tile.shape}"


def unrolled(tile: MatrixTile) -> int:
    """Products per output in one round of the reduction loop."""
    return UNROLL if tile.has_long_loop and not tile.short else UNROLL_OTHERS


class _Emitter:
    def __init__(self, tile: MatrixTile) -> None:
        self.tile = tile
        self.asm = Assembly(arguments=8, slots=len(SLOTS))
        self.unroll = unrolled(tile)

    def slot(self, name: str) -> str:
        return f"{WORD * SLOTS.index(name)}(sp)"

    def lines(self) -> tuple[list[str], list[str]]:
        tile, asm = self.tile, self.asm
        group, again, end_of_round = asm.label(), asm.label(), asm.label()
        self._prepare(group, again, end_of_round)
        asm.give_back(*(f"a{number}" for number in range(2, 8)))
        self.sums = [[asm.take() for _ in range(tile.lanes)] for _ in range(tile.pixels)]
        self.held = [asm.take() for _ in range(min(tile.pixels, tile.lanes))]
        self.streamed, self.product, end = asm.take(), asm.take(), asm.take()
        bases = ["a0", *(asm.take() for _ in range(tile.pixels - 1))]
        asm.emit(f"{group}:", f"lw {end}, {self.slot('factors')}")
        for channel, first in enumerate(self.sums[0]):
            asm.emit(f"lw {first}, {2 * WORD * channel}({end})")
            asm.emit(*(f"mv {row[channel]}, {first}" for row in self.sums[1:]))
        asm.emit(f"lw a0, {self.slot('data')}")
        if len(bases) > 1:
            asm.emit(f"lw {self.product}, {self.slot('pitch')}")
        for base, next_base in itertools.pairwise(bases):
            asm.emit(f"add {next_base}, {base}, {self.product}")
        asm.emit(f"lw {end}, {self.slot('end')}", f"lw {self.product}, {self.slot('entry')}")
        asm.emit(f"jr {self.product}", f"{again}:")
        self._products(bases)
        asm.emit(f"{end_of_round}:", f"addi a1, a1, {self.unroll * tile.lanes}")
        asm.emit(*(f"addi {base}, {base}, {self.unroll}" for base in bases), f"bne a0, {end}, {again}b")
        asm.emit(f"lw {self.product}, {self.slot('caller')}", f"jr {self.product}")
        sums = asm.split()
        asm.save("ra")
        asm.give_back(*bases, *self.held, self.streamed, self.product, end)
        asm.emit(f"jal ra, {sums_name(tile)}")
        self._outputs()
        return sums, asm.lines()

    def _prepare(self, group: int, again: int, end_of_round: int) -> None:
        """Keep the arguments; find where the first round, which may be shorter, begins."""
        asm, mask = self.asm, self.unroll - 1
        for register, name in zip(("a2", "a3", "a4", "a5", "a7"), SLOTS, strict=False):
            asm.emit(f"sw {register}, {self.slot(name)}")
        asm.emit("neg a2, a6", f"andi a2, a2, {mask}", "sub a0, a0, a2", f"sw a0, {self.slot('data')}")
        asm.emit("add a6, a6, a2", "add a6, a6, a0", f"sw a6, {self.slot('end')}")
        asm.emit(f"lla a3, {again}f", f"lla a4, {end_of_round}f", "sub a4, a4, a3")
        asm.emit(f"srli a4, a4, {mask.bit_length()}", "mul a4, a4, a2", "add a3, a3, a4")
        # For later groups; the register of the return address will hold something else.
        asm.emit(f"lla a4, {group}f", f"sw a4, {self.slot('again')}", f"sw ra, {self.slot('caller')}")
        asm.emit(f"sw a3, {self.slot('entry')}", f"li a3, {self.tile.lanes}", "mul a2, a2, a3")
        asm.emit(f"sw a2, {self.slot('skipped')}", "sub a1, a1, a2")

    def _products(self, bases: list[str]) -> None:
        """One round of products of every sum."""
        tile, asm = self.tile, self.asm
        by_row = tile.pixels < tile.lanes
        for k in range(self.unroll):
            rows = [f"{k}({base})" for base in bases]
            columns = [f"{k * tile.lanes + channel}(a1)" for channel in range(tile.lanes)]
            kept, passing = (rows, columns) if by_row else (columns, rows)
            asm.emit(*(f"lb {register}, {place}" for register, place in zip(self.held, kept, strict=True)))
            for outer, place in enumerate(passing):
                asm.emit(f"lb {self.streamed}, {place}")
                for inner, register in enumerate(self.held):
                    sum_ = self.sums[inner][outer] if by_row else self.sums[outer][inner]
                    asm.emit(f"mul {self.product}, {register}, {self.streamed}")
                    asm.emit(f"add {sum_}, {sum_}, {self.product}")

    def _outputs(self) -> None:
        """Outputs of a group of channels; the sums of the next return to the first instruction."""
        tile, asm, epilogue = self.tile, self.asm, self.tile.epilogue
        asm.emit(f"sw a1, {self.slot('weight')}")
        asm.give_back("a1")
        table, fine, addend, scratch, low, high = (asm.take() for _ in range(6))
        factors = asm.take_factors(addend, epilogue)
        outputs = [asm.take() for _ in range(tile.pixels)]
        for register, name in ((table, "factors"), (fine, "fine"), (outputs[0], "output")):
            asm.emit(f"lw {register}, {self.slot(name)}")
        if tile.pixels > 1:
            asm.load_argument(scratch, 0)
        for pointer, next_pointer in itertools.pairwise(outputs):
            asm.emit(f"add {next_pointer}, {pointer}, {scratch}")
        asm.emit(f"li {low}, {tile.clamp_min}", f"li {high}, {tile.clamp_max}")
        for channel in range(tile.lanes):
            asm.load_argument(addend, 1)
            asm.load_factors((table, fine), channel, factors, scratch, epilogue)
            for row, pointer in enumerate(outputs):
                x = self.sums[row][channel]
                asm.requantize(x, factors, (low, high), epilogue)
                asm.emit(f"sb {x}, {channel}({pointer})")
        done, left = asm.label(), scratch
        asm.emit(f"lw {left}, {self.slot('groups')}", f"addi {left}, {left}, -1")
        asm.emit(f"beqz {left}, {done}f", f"sw {left}, {self.slot('groups')}")
        for register, name, step in (
            (outputs[0], "output", tile.lanes),
            (table, "factors", 2 * WORD * tile.lanes),
            (fine, "fine", epilogue.fine_bytes * tile.lanes),
        ):
            asm.emit(f"addi {register}, {register}, {step}", f"sw {register}, {self.slot(name)}")
        asm.emit(f"lw a1, {self.slot('weight')}", f"lw a0, {self.slot('skipped')}", "sub a1, a1, a0")
        asm.emit(f"lw {left}, {self.slot('again')}", f"jr {left}", f"{done}:")
