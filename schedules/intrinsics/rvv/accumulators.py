"""How every tile begins and ends: 32-bit accumulators that start as the bias and leave as int8.

One or two accumulators of eight registers, v0 and v8: two for the two halves of more than 32 lanes or for two pixels.
Products of 16 bits come in v16 to v23. Lanes are a run-time argument, so the code is the same for all numbers of them
that need as many accumulators.
"""

from __future__ import annotations

from dataclasses import dataclass

from .assembly import Assembly
from .epilogue import Epilogue

# Lanes of one vector of int8 and of half of them.
WIDE, NARROW = 64, 32


@dataclass(frozen=True)
class Accumulators:
    """Accumulators of `pixels` outputs with `lanes` lanes each, of which two pixels have at most 32."""

    lanes: int
    pixels: int = 1

    @property
    def halves(self) -> int:
        """Accumulators of one pixel."""
        return 2 if self.lanes > NARROW else 1

    @property
    def group(self) -> int:
        """Registers of one vector of int8 lanes."""
        return 2 * self.halves

    @property
    def names(self) -> tuple[str, ...]:
        """First registers of the accumulators."""
        return ("v0", "v8")[: max(self.halves, self.pixels)]

    @property
    def products(self) -> tuple[str, ...]:
        """First register of each pixel's products."""
        return ("v16", "v20")[: self.pixels]

    def add(self, asm: Assembly) -> None:
        """Add the products to the accumulators."""
        asm.emit("vsetvli t0, zero, e16, m4, ta, ma")
        for accumulator, product in zip(self.names, ("v16", "v20"), strict=False):
            asm.emit(f"vwadd.wv {accumulator}, {accumulator}, {product}", group=8)
        self.narrow(asm)

    def narrow(self, asm: Assembly) -> None:
        """Set the vector unit for int8 lanes, as many as a6 says."""
        asm.emit(f"vsetvli zero, a6, e8, m{self.group}, ta, ma")

    def narrow_results(self, asm: Assembly, zero_point: str) -> tuple[str, ...]:
        """Narrow scaled accumulators to 16 bits and add the zero point; returns the registers of the results."""
        asm.emit("vsetvli t0, zero, e16, m4, ta, ma")
        results = ("v16", "v20")[: len(self.names)]
        for name, result in zip(self.names, results, strict=True):
            asm.emit(f"vnclip.wi {result}, {name}, 0", group=8)
        for result in results:
            asm.emit(f"vsadd.vx {result}, {result}, {zero_point}", group=4)
        return results


class LaneTable:
    """Constants that differ from lane to lane, and what a strip of tiles keeps in registers for them.

    a2 points to the biases, s8 to the multipliers; s10 holds the zero point. The shifts are bytes behind the weights.
    With two halves s11 and t4 hold their lanes, s1 four times s11.
    """

    def __init__(self, sums: Accumulators) -> None:
        self.sums = sums

    @property
    def registers(self) -> tuple[str, ...]:
        """Saved registers that are needed."""
        return ("s8", "s10", *(("s1", "s11") if self.sums.halves == 2 else ()))

    def prepare(self, asm: Assembly, zero_point: str, width: str) -> None:
        """Set the registers, once for a strip.

        zero_point: where it lies in memory; width: register with the number of biases before the multipliers.
        """
        asm.emit("csrwi vxrm, 0", f"slli t0, {width}, 2", "add s8, a2, t0", f"lw s10, {zero_point}")
        if self.sums.halves == 2:
            # Between one and two groups hardware may choose the vector length, so the first group is asked for.
            asm.emit("mv s11, a6", "vsetvli t0, zero, e32, m8, ta, ma")
            label = asm.forward()
            asm.emit(f"bleu s11, t0, {label}f", "mv s11, t0")
            asm.label()
            asm.emit("sub t4, a6, s11", "slli s1, s11, 2")

    def begin(self, asm: Assembly) -> None:
        """Load the biases; leave the vector unit set for int8 lanes."""
        self._first_half(asm)
        asm.emit("vle32.v v0, (a2)", group=8)
        if self.sums.halves == 2:
            asm.emit("add t0, a2, s1", "vsetvli zero, t4, e32, m8, ta, ma")
            asm.emit("vle32.v v8, (t0)", group=8)
        elif self.sums.pixels == 2:
            asm.emit("vmv.v.v v8, v0", group=8)
        self.sums.narrow(asm)

    def finish(self, asm: Assembly, epilogue: Epilogue, shifts: str, step: str) -> None:
        """Scale, narrow, clamp and store; a3 moves on by register `step` for each pixel.

        shifts: register with the address of the shifts.
        """
        sums = self.sums
        self._first_half(asm)
        if sums.halves == 2:
            self._scale(asm, epilogue, ("v0",), "s8", shifts)
            asm.emit("add t2, s8, s1", f"add t1, {shifts}, s11", "vsetvli zero, t4, e32, m8, ta, ma")
            self._scale(asm, epilogue, ("v8",), "t2", "t1")
        else:
            self._scale(asm, epilogue, sums.names, "s8", shifts)
        results = sums.narrow_results(asm, "s10")
        sums.narrow(asm)
        for pixel in range(sums.pixels):
            asm.emit(f"vnclip.wi v24, {results[pixel]}, 0", group=2 * sums.group)
            epilogue.clamp(asm, "v24", "t1", sums.group)
            asm.emit("vse8.v v24, (a3)", group=sums.group)
            asm.emit(f"add a3, a3, {step}")

    def _scale(
        self, asm: Assembly, epilogue: Epilogue, names: tuple[str, ...], multipliers: str, shifts: str
    ) -> None:
        """Scale accumulators by the constants at two addresses."""
        asm.emit(f"vle32.v v16, ({multipliers})", group=8)
        for name in names:
            epilogue.scale(asm, name, "v16", "v24", 8)
        asm.emit(f"vle8.v v24, ({shifts})", group=2)
        asm.emit("vzext.vf4 v16, v24", group=8)
        for name in names:
            asm.emit(f"vssra.vv {name}, {name}, v16", group=8)

    def _first_half(self, asm: Assembly) -> None:
        """Set the vector unit for the accumulators of the first half, or of all lanes."""
        lanes = "s11" if self.sums.halves == 2 else "a6"
        asm.emit(f"vsetvli zero, {lanes}, e32, m8, ta, ma")
