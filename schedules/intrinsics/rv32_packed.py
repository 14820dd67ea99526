"""Assembly of the packed tile for RV32IM: 8 pixels by 2 channels, two products per multiplication.

A register holds two activations of a pixel, another the weights of the same two in reverse order, each sixteen bits
apart. The middle of their product, from bit 16 on, is the sum of the two products that are wanted, so that one
multiplication, one shift and one addition do the work of two multiplications and two additions. Half a unit is added
before the shift, since the lower part may be negative. Where the weights are small enough for sixteen bits to hold four
products, two multiplications share the addition of the half, the shift and the addition to the sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rv32_assembly import WORD, Assembly

if TYPE_CHECKING:
    from .packed import PackedTile

PIXELS, LANES = 8, 2
# Lanes of the packed weights, of which a tile takes two at a time.
STORED_LANES = 4
# Elements of the reduction that the code handles together, and bytes of activations and weights that they are.
GROUP = 4
WORDS_BYTES, WEIGHT_BYTES = GROUP // 2 * PIXELS * WORD, GROUP * STORED_LANES
# Bits of a run that count its groups whose four products fit; the other bits count those that do not.
RUN_BITS = 5
SLOTS = (
    *("data", "weight", "runs", "factors", "fine", "output", "halves", "depth"),
    *("end", "rest", "caller", "again"),
)
SUMS_NAME = f"tinyml_sums_packed_{PIXELS}x{LANES}"


def packed_tile(tile: PackedTile) -> tuple[list[str], list[str]]:
    """Instructions of the function that makes a tile's sums, and of the tile.

    a0 words, a1 weight, a2 runs, a3 factors, a4 fine, a5 output, a6 blocks of four channels, a7 depth; on the stack:
    output pitch and point.
    """
    return _Emitter(tile).lines()


def pack_pairs() -> list[str]:
    """Instructions of packing; a0 data, a1 words, a2 depth."""
    asm = Assembly(arguments=3)
    end, word, pixels, left, *values = (asm.take() for _ in range(4 + GROUP))
    pixel, again, tail, store, done = (asm.label() for _ in range(5))
    asm.emit(f"li {pixels}, {PIXELS}", f"andi {left}, a2, {GROUP - 1}", f"sub a2, a2, {left}")
    asm.emit(f"{pixel}:", f"add {end}, a0, a2", f"mv {word}, a1", f"beqz a2, {tail}f", f"{again}:")
    asm.emit(*(f"lb {value}, {k}(a0)" for k, value in enumerate(values)))
    for pair in range(GROUP // 2):
        low, high = values[2 * pair : 2 * pair + 2]
        asm.emit(f"slli {high}, {high}, 16", f"add {low}, {low}, {high}")
        asm.emit(f"sw {low}, {pair * PIXELS * WORD}({word})")
    asm.emit(f"addi a0, a0, {GROUP}", f"addi {word}, {word}, {WORDS_BYTES}", f"bne a0, {end}, {again}b")
    # What is left of the reduction ends with zeros.
    asm.emit(f"{tail}:", f"beqz {left}, {done}f", *(f"li {value}, 0" for value in values[1:]))
    for k, value in enumerate(values[: GROUP - 1]):
        asm.emit(*([f"li {end}, {k}", f"beq {left}, {end}, {store}f"] if k else []), f"lb {value}, {k}(a0)")
    asm.emit(f"{store}:", f"slli {values[1]}, {values[1]}, 16", f"add {values[0]}, {values[0]}, {values[1]}")
    asm.emit(f"sw {values[0]}, 0({word})", f"sw {values[2]}, {PIXELS * WORD}({word})")
    asm.emit(f"add a0, a0, {left}", f"{done}:")
    asm.emit(f"addi a1, a1, {WORD}", f"addi {pixels}, {pixels}, -1", f"bnez {pixels}, {pixel}b")
    return asm.lines()


def _slot(name: str) -> str:
    return f"{WORD * SLOTS.index(name)}(sp)"


class _Emitter:
    def __init__(self, tile: PackedTile) -> None:
        self.tile = tile
        self.asm = Assembly(arguments=8, slots=len(SLOTS))

    def lines(self) -> tuple[list[str], list[str]]:
        asm = self.asm
        start = asm.label()
        asm.emit("slli a6, a6, 1")
        for number, name in enumerate(SLOTS[:8]):
            asm.emit(f"sw a{number}, {_slot(name)}")
        asm.emit(f"addi a7, a7, {GROUP - 1}", f"andi a7, a7, -{GROUP}")
        asm.emit(f"slli a7, a7, {(WORDS_BYTES // GROUP).bit_length() - 1}", "add a7, a7, a0")
        asm.emit(f"sw a7, {_slot('end')}", f"lla a2, {start}f", f"sw a2, {_slot('again')}")
        asm.emit(f"sw ra, {_slot('caller')}")
        asm.give_back(*(f"a{number}" for number in range(8)))
        self.sums = [[asm.take() for _ in range(LANES)] for _ in range(PIXELS)]
        self.weights = [[asm.take() for _ in range(GROUP // 2)] for _ in range(LANES)]
        self.values = [asm.take(), asm.take()]
        self.products = [asm.take(), asm.take()]
        self.half, self.words, self.weight, self.end = (asm.take() for _ in range(4))
        asm.emit(f"{start}:")
        self._sums()
        sums = asm.split()
        asm.save("ra")
        asm.give_back(*(register for row in self.weights for register in row), *self.values, *self.products)
        asm.give_back(self.half, self.words, self.weight, self.end)
        asm.emit(f"jal ra, {SUMS_NAME}")
        self._outputs()
        return sums, asm.lines()

    def _sums(self) -> None:
        """Sums of two channels, run by run; `weight` moves on to the next two."""
        asm, (first, second) = self.asm, self.products
        asm.emit(f"lw {first}, {_slot('factors')}")
        for channel, sum_ in enumerate(self.sums[0]):
            asm.emit(f"lw {sum_}, {2 * WORD * channel}({first})")
            asm.emit(*(f"mv {row[channel]}, {sum_}" for row in self.sums[1:]))
        asm.emit(f"lw {self.words}, {_slot('data')}", f"lw {self.weight}, {_slot('weight')}")
        # Half of what the shift drops.
        asm.emit(f"lui {self.half}, 8")
        run, rest, done = asm.label(), asm.label(), asm.label()
        asm.emit(f"{run}:", f"lw {first}, {_slot('runs')}", f"lbu {second}, 0({first})")
        asm.emit(f"addi {first}, {first}, 1", f"sw {first}, {_slot('runs')}")
        asm.emit(f"srli {first}, {second}, {RUN_BITS}", f"sw {first}, {_slot('rest')}")
        asm.emit(f"andi {second}, {second}, {(1 << RUN_BITS) - 1}", f"beqz {second}, {rest}f")
        self._groups(second, together=True)
        asm.emit(f"{rest}:", f"lw {second}, {_slot('rest')}", f"beqz {second}, {done}f")
        self._groups(second, together=False)
        asm.emit(f"{done}:", f"lw {first}, {_slot('end')}", f"bne {self.words}, {first}, {run}b")
        # From the first half of four channels to the second, or on to the next four.
        last, moved = asm.label(), self.values[0]
        asm.emit(f"lw {second}, {_slot('depth')}", f"addi {moved}, {second}, {GROUP - 1}")
        asm.emit(f"andi {moved}, {moved}, -{GROUP}", f"slli {moved}, {moved}, 2")
        asm.emit(f"sub {self.weight}, {self.weight}, {moved}", f"lw {first}, {_slot('halves')}")
        asm.emit(
            f"slli {second}, {second}, 2", f"addi {second}, {second}, -{LANES}", f"andi {first}, {first}, 1"
        )
        asm.emit(f"bnez {first}, {last}f", f"li {second}, {LANES}")
        asm.emit(
            f"{last}:", f"add {self.weight}, {self.weight}, {second}", f"sw {self.weight}, {_slot('weight')}"
        )
        asm.emit(f"lw {first}, {_slot('caller')}", f"jr {first}")

    def _groups(self, count: str, *, together: bool) -> None:
        """As many groups as `count` says; together: whether sixteen bits hold four products."""
        asm = self.asm
        again = asm.label()
        asm.emit(
            f"slli {count}, {count}, {WORDS_BYTES.bit_length() - 1}", f"add {self.end}, {self.words}, {count}"
        )
        asm.emit(f"{again}:")
        scratch = self.products[0]
        for channel, pairs in enumerate(self.weights):
            for pair, weights in enumerate(pairs):
                high, low = (STORED_LANES * (2 * pair + k) + channel for k in range(2))
                asm.emit(f"lb {weights}, {low}({self.weight})", f"lb {scratch}, {high}({self.weight})")
                asm.emit(f"slli {scratch}, {scratch}, 16", f"add {weights}, {weights}, {scratch}")
        for pixel, row in enumerate(self.sums):
            for pair, value in enumerate(self.values):
                asm.emit(f"lw {value}, {WORD * (pair * PIXELS + pixel)}({self.words})")
            # The last channel needs the activations no more.
            for channel, into in enumerate((self.products, self.values)):
                factors = zip(into, self.values, self.weights[channel], strict=True)
                asm.emit(*(f"mul {product}, {value}, {weight}" for product, value, weight in factors))
                self._accumulate(row[channel], into, together=together)
        asm.emit(f"addi {self.words}, {self.words}, {WORDS_BYTES}")
        asm.emit(
            f"addi {self.weight}, {self.weight}, {WEIGHT_BYTES}", f"bne {self.words}, {self.end}, {again}b"
        )

    def _accumulate(self, sum_: str, products: list[str], *, together: bool) -> None:
        first, second = products
        if together:
            self.asm.emit(f"add {first}, {first}, {second}")
        for product in products[: 1 if together else 2]:
            self.asm.emit(f"add {product}, {product}, {self.half}", f"srai {product}, {product}, 16")
            self.asm.emit(f"add {sum_}, {sum_}, {product}")

    def _outputs(self) -> None:
        """Outputs of two channels; the sums of the next return to the first instruction."""
        asm, epilogue = self.asm, self.tile.epilogue
        table, fine, scratch = (asm.take() for _ in range(3))
        factors = [asm.take_factors(asm.take(), epilogue) for _ in range(LANES)]
        asm.emit(f"lw {table}, {_slot('factors')}", f"lw {fine}, {_slot('fine')}")
        for channel, registers in enumerate(factors):
            asm.load_argument(registers.addend, 1)
            asm.load_factors((table, fine), channel, registers, scratch, epilogue)
        asm.emit(f"addi {table}, {table}, {2 * WORD * LANES}", f"sw {table}, {_slot('factors')}")
        asm.emit(f"addi {fine}, {fine}, {epilogue.fine_bytes * LANES}", f"sw {fine}, {_slot('fine')}")
        asm.give_back(table, fine)
        output, pitch, low, high = (asm.take() for _ in range(4))
        asm.emit(
            f"lw {output}, {_slot('output')}",
            f"li {low}, {epilogue.clamp_min}",
            f"li {high}, {epilogue.clamp_max}",
        )
        asm.load_argument(pitch, 0)
        asm.emit(f"addi {scratch}, {output}, {LANES}", f"sw {scratch}, {_slot('output')}")
        for row in self.sums:
            for channel, sum_ in enumerate(row):
                asm.requantize(sum_, factors[channel], (low, high), epilogue)
                asm.emit(f"sb {sum_}, {channel}({output})")
            asm.emit(*([f"add {output}, {output}, {pitch}"] if row is not self.sums[-1] else []))
        done = asm.label()
        asm.emit(f"lw {scratch}, {_slot('halves')}", f"addi {scratch}, {scratch}, -1")
        asm.emit(f"beqz {scratch}, {done}f", f"sw {scratch}, {_slot('halves')}")
        asm.emit(f"lw {scratch}, {_slot('again')}", f"jr {scratch}", f"{done}:")
