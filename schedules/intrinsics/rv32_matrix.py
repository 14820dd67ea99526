"""Assembly of the matrix tile for RV32IM: up to 16 sums, one row of weights and all addresses in registers.

Loads reach 2 KB, so rows of activations that lie further apart get base registers of their own. What one group of
channels does not need stays on the stack until the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rv32_assembly import REACH, WORD, Assembly

if TYPE_CHECKING:
    from .scalar import MatrixTile

# Products per output in one round of the reduction loop.
UNROLL = 8
# Stack slots: parameters, output, data, groups of channels left.
PARAMETERS, OUTPUT, DATA, LEFT = 0, WORD, 2 * WORD, 3 * WORD


def matrix_tile(tile: MatrixTile) -> list[str]:
    """Instructions of a tile; a0 data, a1 weight, a2 parameters, a3 output."""
    return _Emitter(tile).lines()


class _Emitter:
    def __init__(self, tile: MatrixTile) -> None:
        self.tile = tile
        self.asm = Assembly(arguments=4, slots=4 if tile.groups > 1 else 2)

    def lines(self) -> list[str]:
        tile, asm = self.tile, self.asm
        group = asm.label()
        asm.emit(f"sw a2, {PARAMETERS}(sp)", f"sw a3, {OUTPUT}(sp)")
        if tile.groups > 1:
            asm.emit(f"sw a0, {DATA}(sp)", f"li a4, {tile.groups}", f"sw a4, {LEFT}(sp)", f"{group}:")
        self.sums = [[asm.take() for _ in range(tile.lanes)] for _ in range(tile.pixels)]
        for channel, first in enumerate(self.sums[0]):
            asm.emit(f"lw {first}, {WORD * channel}(a2)")
            asm.emit(*(f"mv {row[channel]}, {first}" for row in self.sums[1:]))
        asm.give_back("a2", "a3")
        self.held = [asm.take() for _ in range(min(tile.pixels, tile.lanes))]
        self.streamed, self.product, end = asm.take(), asm.take(), asm.take()
        bases = self._row_bases()
        rounds, rest = divmod(tile.depth, UNROLL)
        again = asm.label()
        if rounds > 1:
            asm.emit(f"li {end}, {rounds * UNROLL}", f"add {end}, {end}, a0", f"{again}:")
        if rounds:
            self._products(UNROLL, bases)
        if rounds > 1:
            asm.emit(f"bne a0, {end}, {again}b")
        self._products(rest, bases)
        others = {base for base, _ in bases} - {"a0"}
        asm.give_back("a0", *self.held, self.streamed, self.product, end, *sorted(others))
        self._outputs(group)
        return asm.lines()

    def _row_bases(self) -> list[tuple[str, int]]:
        """(register, offset) of each row of activations."""
        bases: list[tuple[str, int]] = []
        base, origin = "a0", 0
        for row in range(self.tile.pixels):
            place = row * self.tile.pitch
            if place - origin + UNROLL > REACH:
                base, origin = self.asm.take(), place
                self.asm.emit(f"li {base}, {place}", f"add {base}, {base}, a0")
            bases.append((base, place - origin))
        return bases

    def _products(self, depth: int, bases: list[tuple[str, int]]) -> None:
        """`depth` products of every sum; then move the addresses past them."""
        tile, asm = self.tile, self.asm
        by_row = tile.pixels < tile.lanes
        for k in range(depth):
            rows = [f"{offset + k}({base})" for base, offset in bases]
            columns = [f"{k * tile.lanes + channel}(a1)" for channel in range(tile.lanes)]
            kept, passing = (rows, columns) if by_row else (columns, rows)
            asm.emit(*(f"lb {register}, {place}" for register, place in zip(self.held, kept, strict=True)))
            for outer, place in enumerate(passing):
                asm.emit(f"lb {self.streamed}, {place}")
                for inner, register in enumerate(self.held):
                    sum_ = self.sums[inner][outer] if by_row else self.sums[outer][inner]
                    asm.emit(f"mul {self.product}, {register}, {self.streamed}")
                    asm.emit(f"add {sum_}, {sum_}, {self.product}")
        if depth:
            asm.emit(f"addi a1, a1, {depth * tile.lanes}")
            asm.emit(*(f"addi {base}, {base}, {depth}" for base in dict.fromkeys(b for b, _ in bases)))

    def _outputs(self, group: int) -> None:
        tile, asm = self.tile, self.asm
        table, output = asm.take(), asm.take()
        low, high, multiplier, addend, shift, scratch = (asm.take() for _ in range(6))
        asm.emit(f"lw {table}, {PARAMETERS}(sp)", f"lw {output}, {OUTPUT}(sp)")
        asm.emit(f"li {low}, {tile.clamp_min}", f"li {high}, {tile.clamp_max}")
        places = [(output, row * tile.output_pitch) for row in range(tile.pixels)]
        if places[-1][1] + tile.lanes > REACH:
            for row in range(1, tile.pixels):
                pointer = asm.take()
                asm.emit(f"li {pointer}, {row * tile.output_pitch}", f"add {pointer}, {pointer}, {output}")
                places[row] = (pointer, 0)
        for channel in range(tile.lanes):
            for index, register in enumerate((multiplier, addend, shift), start=1):
                asm.emit(f"lw {register}, {WORD * (index * tile.lanes + channel)}({table})")
            for row, (pointer, offset) in enumerate(places):
                x = self.sums[row][channel]
                asm.requantize(x, (multiplier, addend, shift), (low, high), scratch, tile.epilogue)
                asm.emit(f"sb {x}, {offset + channel}({pointer})")
        if tile.groups > 1:
            done = asm.label()
            asm.emit(
                f"lw {scratch}, {LEFT}(sp)", f"addi {scratch}, {scratch}, -1", f"beqz {scratch}, {done}f"
            )
            asm.emit(f"sw {scratch}, {LEFT}(sp)")
            asm.emit(f"addi {output}, {output}, {tile.lanes}", f"sw {output}, {OUTPUT}(sp)")
            asm.emit(f"addi a2, {table}, {4 * WORD * tile.lanes}", f"sw a2, {PARAMETERS}(sp)")
            asm.emit(f"lw a0, {DATA}(sp)", f"j {group}b", f"{done}:")
