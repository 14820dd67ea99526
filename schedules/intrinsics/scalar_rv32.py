"""Assembly of the matrix tile for RV32IM: 28 registers hold up to 16 sums, one row of weights and all addresses.

Registers: x0, sp, gp and tp keep their meaning, all others are used; s-registers and ra are saved. Loads have 12-bit
offsets, so rows of activations that lie further apart get base registers of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .scalar import MatrixTile

# Products per output in one round of the reduction loop.
UNROLL = 8
REACH = 2047
CALLER_SAVED = ("a4", "a5", "a6", "a7", "t0", "t1", "t2", "t3", "t4", "t5", "t6")
CALLEE_SAVED = ("ra", *(f"s{number}" for number in range(12)))


def matrix_tile(tile: MatrixTile) -> list[str]:
    """Instructions of a tile; a0 data, a1 weight, a2 parameters, a3 output."""
    return _Emitter(tile).lines()


class _Emitter:
    def __init__(self, tile: MatrixTile) -> None:
        self.tile = tile
        self.code: list[str] = []
        self.free = [*CALLER_SAVED, *CALLEE_SAVED]
        self.used: list[str] = []

    def lines(self) -> list[str]:
        tile = self.tile
        self.sums = [[self.take() for _ in range(tile.channels)] for _ in range(tile.pixels)]
        self.held = [self.take() for _ in range(min(tile.pixels, tile.channels))]
        self.streamed, self.product, self.end = self.take(), self.take(), self.take()
        rounds, rest = divmod(tile.depth, UNROLL)
        bases = self._row_bases()
        self._start(bases)
        if rounds > 1:
            self.emit(f"li {self.end}, {rounds * UNROLL}", f"add {self.end}, {self.end}, a0", "1:")
        if rounds:
            self._products(UNROLL, bases)
        if rounds > 1:
            self.emit(f"bne a0, {self.end}, 1b")
        self._products(rest, bases)
        self._outputs([base for base in dict.fromkeys(base for base, _ in bases) if base != "a0"])
        saved = [register for register in self.used if register in CALLEE_SAVED]
        frame = -(-4 * len(saved) // 16) * 16
        before = [f"sw {register}, {4 * slot}(sp)" for slot, register in enumerate(saved)]
        after = [f"lw {register}, {4 * slot}(sp)" for slot, register in enumerate(saved)]
        if saved:
            before, after = [f"addi sp, sp, -{frame}", *before], [*after, f"addi sp, sp, {frame}"]
        return [*before, *self.code, *after, "ret"]

    def take(self) -> str:
        register = self.free.pop(0)
        self.used.append(register)
        return register

    def emit(self, *instructions: str) -> None:
        self.code += instructions

    def _row_bases(self) -> list[tuple[str, int]]:
        """(register, offset) of each row of activations."""
        bases: list[tuple[str, int]] = []
        base, origin = "a0", 0
        for row in range(self.tile.pixels):
            if row * self.tile.pitch - origin + UNROLL > REACH:
                base, origin = self.take(), row * self.tile.pitch
            bases.append((base, row * self.tile.pitch - origin))
        return bases

    def _start(self, bases: list[tuple[str, int]]) -> None:
        for row, (base, offset) in enumerate(bases):
            if offset == 0 and base != "a0":
                self.emit(f"li {base}, {row * self.tile.pitch}", f"add {base}, {base}, a0")
        for channel, first in enumerate(self.sums[0]):
            self.emit(f"lw {first}, {4 * channel}(a2)")
        for other in self.sums[1:]:
            self.emit(*(f"mv {sum_}, {first}" for sum_, first in zip(other, self.sums[0], strict=True)))

    def _products(self, depth: int, bases: list[tuple[str, int]]) -> None:
        """`depth` products of every sum; then move the addresses past them."""
        tile = self.tile
        for k in range(depth):
            rows = [f"{offset + k}({base})" for base, offset in bases]
            columns = [f"{k * tile.channels + channel}(a1)" for channel in range(tile.channels)]
            by_row = tile.pixels < tile.channels
            kept, passing = (rows, columns) if by_row else (columns, rows)
            self.emit(*(f"lb {register}, {place}" for register, place in zip(self.held, kept, strict=True)))
            for outer, place in enumerate(passing):
                self.emit(f"lb {self.streamed}, {place}")
                for inner, register in enumerate(self.held):
                    sum_ = self.sums[inner][outer] if by_row else self.sums[outer][inner]
                    self.emit(
                        f"mul {self.product}, {register}, {self.streamed}",
                        f"add {sum_}, {sum_}, {self.product}",
                    )
        if depth:
            self.emit(f"addi a1, a1, {depth * tile.channels}")
            self.emit(*(f"addi {base}, {base}, {depth}" for base in dict.fromkeys(b for b, _ in bases)))

    def _outputs(self, spare: list[str]) -> None:
        tile = self.tile
        registers = [*self.held, self.streamed, self.product, self.end, "a0", "a1", *spare, *self.free]
        low, high, multiplier, addend, shift, sign, *pointers = registers
        self.used += [register for register in registers[:6] if register not in self.used]
        self.emit(f"li {low}, {tile.clamp_min}", f"li {high}, {tile.clamp_max}")
        places = [f"{row * tile.output_pitch}" for row in range(tile.pixels)]
        outputs = [("a3", int(place)) for place in places]
        if (tile.pixels - 1) * tile.output_pitch + tile.channels > REACH:
            self.used += [p for p in pointers[: tile.pixels - 1] if p not in self.used]
            for row in range(1, tile.pixels):
                pointer = pointers[row - 1]
                self.emit(f"li {pointer}, {row * tile.output_pitch}", f"add {pointer}, {pointer}, a3")
                outputs[row] = (pointer, 0)
        label = 2
        for channel in range(tile.channels):
            for index, register in enumerate((multiplier, addend, shift), start=1):
                self.emit(f"lw {register}, {4 * (index * tile.channels + channel)}(a2)")
            for row, (pointer, offset) in enumerate(outputs):
                x = self.sums[row][channel]
                if tile.finer:
                    self.emit(f"slli {x}, {x}, {tile.finer}", f"mulh {x}, {x}, {multiplier}")
                    self.emit(f"srai {sign}, {x}, 31")
                    if tile.finer > 1:
                        self.emit(f"slli {sign}, {sign}, {tile.finer - 1}")
                    self.emit(f"add {x}, {x}, {sign}")
                else:
                    self.emit(f"mulh {x}, {x}, {multiplier}")
                self.emit(f"add {x}, {x}, {addend}", f"sra {x}, {x}, {shift}")
                self.emit(f"bge {x}, {low}, {label}f", f"mv {x}, {low}", f"{label}:")
                self.emit(f"bge {high}, {x}, {label + 1}f", f"mv {x}, {high}", f"{label + 1}:")
                self.emit(f"sb {x}, {offset + channel}({pointer})")
                label += 2
