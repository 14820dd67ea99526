"""Assembly of the depthwise strip for RV32IM: all weights of a channel stay in registers, activations are read once.

The strip walks along a row of input columns. Each loaded value is multiplied into the sums of all outputs whose window
holds it; a sum is finished, requantised and stored after the last column of its window, when its register goes to
the next output. Columns outside the image are never read: outputs there get back what the zero point's share of
their missing columns took from the bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rv32_assembly import REACH, WORD, Assembly

if TYPE_CHECKING:
    from .scalar_depthwise import DepthwiseStrip

# Columns of a row that are written out; a longer row has a loop.
STRAIGHT = 8
# Longest row without a loop, which bounds the size of the code.
LONGEST = 24


class OutOfReachError(Exception):
    """Addresses of a strip lie too far apart."""


def depthwise_strip(strip: DepthwiseStrip) -> list[str]:
    """Instructions of a strip; a0 data, a1 weight, a2 factors, a3 fine, a4 output, a5 rows of output, a6 point."""
    return counted_strip(strip)[0]


def counted_strip(strip: DepthwiseStrip) -> tuple[list[str], int]:
    """Instructions of a strip, and the rounds of the loop over its columns; 0: there is no such loop."""
    emitter = _Emitter(strip)
    return emitter.lines(), emitter.rounds


class _Emitter:
    def __init__(self, strip: DepthwiseStrip) -> None:
        self.strip = strip
        self.corrected = strip.clipped if strip.zero_point else []
        self.asm = Assembly(arguments=7, slots=len(self.corrected))
        self.lanes = -(-strip.kernel_w // strip.stride)
        self._plan()

    def _plan(self) -> None:
        """Which columns a loop goes over: `rounds` rounds of `period` columns from column `first` on."""
        strip = self.strip
        self.period = self.lanes * strip.stride
        steady = [self._is_steady(column) for column in range(strip.width)]
        self.first = steady.index(True) if True in steady else strip.width
        end = steady.index(False, self.first) if False in steady[self.first :] else strip.width
        self.rounds = (end - self.first) // self.period
        reached = max((self.period - 1) * strip.pitch, self.lanes * strip.output_pitch) <= REACH
        if self.rounds < 2 or strip.width <= STRAIGHT or not reached:
            self.rounds = 0
        if strip.width > LONGEST and not self.rounds:
            raise OutOfReachError

    def _is_steady(self, column: int) -> bool:
        """Whether the products of a column are those of every column of its phase in an endless row."""
        strip = self.strip
        phases = [column + strip.pad - kx for kx in range(strip.kernel_w)]
        outputs = [phase // strip.stride for phase in phases if phase % strip.stride == 0]
        inside = all(0 <= output < strip.outputs and strip.origin(output) >= 0 for output in outputs)
        finishes_early = column == strip.width - 1 and any(strip.missing(output) for output in outputs)
        return inside and not finishes_early

    def lines(self) -> list[str]:
        strip, asm = self.strip, self.asm
        self.weights = [[asm.take() for _ in range(strip.kernel_w)] for _ in range(strip.kernel_h)]
        for ky, row in enumerate(self.weights):
            asm.emit(*(f"lb {w}, {ky * strip.kernel_w + kx}(a1)" for kx, w in enumerate(row)))
        asm.give_back("a1")
        self.bias, scratch = asm.take(), asm.take()
        self.factors = asm.take_factors("a6", strip.epilogue)
        asm.emit(f"lw {self.bias}, 0(a2)")
        asm.load_factors(("a2", "a3"), 0, self.factors, scratch, strip.epilogue)
        asm.give_back("a2", "a3", scratch)
        self.limits = (asm.take(), asm.take())
        asm.emit(f"li {self.limits[0]}, {strip.clamp_min}", f"li {self.limits[1]}, {strip.clamp_max}")
        self.value, self.product = asm.take(), asm.take()
        self.sums = [asm.take() for _ in range(self.lanes)]
        self._corrections()
        self.bases = self._row_bases()
        counter = asm.take() if self.rounds else ""
        again = asm.label()
        asm.emit(f"{again}:")
        self._row(counter)
        asm.emit("addi a5, a5, -1")
        # The row may be longer than a conditional branch reaches.
        done = asm.label()
        asm.emit(f"beqz a5, {done}f", f"j {again}b", f"{done}:")
        return asm.lines()

    def _corrections(self) -> None:
        """Take the zero point's part out of the bias that has it; keep what clipped outputs get back on the stack."""
        strip, asm = self.strip, self.asm
        if not strip.zero_point:
            return
        columns = [*self.corrected, *([] if strip.folded else [(0, strip.kernel_w)])]
        if not columns:
            return
        asm.emit(f"li {self.value}, {strip.zero_point}")
        for slot, (begin, end) in enumerate(columns):
            registers = [row[kx] for row in self.weights for kx in range(begin, end)]
            asm.emit(f"mv {self.product}, {registers[0]}")
            asm.emit(*(f"add {self.product}, {self.product}, {register}" for register in registers[1:]))
            asm.emit(f"mul {self.product}, {self.product}, {self.value}")
            if slot < len(self.corrected):
                asm.emit(f"sw {self.product}, {WORD * slot}(sp)")
        if not strip.folded:
            asm.emit(f"sub {self.bias}, {self.bias}, {self.product}")

    def _row_bases(self) -> list[tuple[str, int]]:
        """(register, offset) of each row of the window; a register reaches as many columns as the loop needs."""
        strip, asm = self.strip, self.asm
        together = self.period if self.rounds else 1
        reach = REACH - (together - 1) * strip.pitch
        bases: list[tuple[str, int]] = []
        base, origin = "a0", 0
        for ky in range(strip.kernel_h):
            place = ky * strip.width * strip.pitch
            if place - origin > reach:
                base, origin = asm.take(), place
                asm.emit(f"li {base}, {place}", f"add {base}, {base}, a0")
            bases.append((base, place - origin))
        return bases

    def _row(self, counter: str) -> None:
        strip, asm = self.strip, self.asm
        self.moved, self.stored = 0, 0
        column = 0
        while column < strip.width:
            if self.rounds and column == self.first:
                self._move_to(column)
                again = asm.label()
                asm.emit(f"li {counter}, {self.rounds}", f"{again}:")
                for offset in range(self.period):
                    self._column(column + offset)
                self._move_to(column + self.period)
                self._store_from(self.stored + self.lanes)
                asm.emit(f"addi {counter}, {counter}, -1", f"bnez {counter}, {again}b")
                # The later rounds moved the addresses as well.
                column += self.rounds * self.period
                self.moved = column
                self.stored += (self.rounds - 1) * self.lanes
            else:
                self._column(column)
                column += 1
        self._move_to(strip.stride * strip.width)
        self._store_from(strip.outputs)

    def _move_to(self, column: int) -> None:
        """Let the base registers point to an input column."""
        for base in dict.fromkeys(base for base, _ in self.bases):
            self.asm.add_constant(base, (column - self.moved) * self.strip.pitch, self.value)
        self.moved = column

    def _store_from(self, output: int) -> None:
        """Let a4 point to an output."""
        self.asm.add_constant("a4", (output - self.stored) * self.strip.output_pitch, self.product)
        self.stored = output

    def _column(self, column: int) -> None:
        """All products of one input column, and the outputs that it finishes."""
        strip, asm = self.strip, self.asm
        products = strip.products(column)
        furthest = max(offset for _, offset in self.bases)
        if products and furthest + (column - self.moved) * strip.pitch > REACH:
            self._move_to(column)
        for ky, (base, offset) in enumerate(self.bases):
            if products:
                asm.emit(f"lb {self.value}, {offset + (column - self.moved) * strip.pitch}({base})")
            for output, kx in products:
                sum_, weight = self.sums[output % self.lanes], self.weights[ky][kx]
                if ky == 0 and column == max(strip.origin(output), 0):
                    asm.emit(f"mul {sum_}, {self.value}, {weight}", f"add {sum_}, {sum_}, {self.bias}")
                else:
                    asm.emit(f"mul {self.product}, {self.value}, {weight}")
                    asm.emit(f"add {sum_}, {sum_}, {self.product}")
        for output, _ in products:
            if column == min(strip.origin(output) + strip.kernel_w, strip.width) - 1:
                self._finish(output)

    def _finish(self, output: int) -> None:
        strip, asm = self.strip, self.asm
        sum_ = self.sums[output % self.lanes]
        for slot, missing in enumerate(self.corrected):
            if missing in strip.missing(output):
                asm.emit(f"lw {self.product}, {WORD * slot}(sp)", f"add {sum_}, {sum_}, {self.product}")
        asm.requantize(sum_, self.factors, self.limits, strip.epilogue)
        if (output - self.stored) * strip.output_pitch > REACH:
            self._store_from(output)
        asm.emit(f"sb {sum_}, {(output - self.stored) * strip.output_pitch}(a4)")
