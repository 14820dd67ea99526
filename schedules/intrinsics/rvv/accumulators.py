"""How every tile begins and ends: 32-bit accumulators that start as the bias and leave as int8.

One or two accumulators of eight registers, v0 and v8: two for the two halves of more than 32 lanes or for two pixels.
Products of 16 bits come in v16 to v23. a6 holds the number of lanes, a2 the table int32[3, lanes] and a3 the output.
The code is the same for all numbers of lanes of one `kind`.
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
    def kind(self) -> str:
        """Tells accumulators of different code apart, as part of a name."""
        return "wide" if self.lanes == WIDE else str(self.halves)

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

    def begin(self, asm: Assembly) -> None:
        """Load the bias; leave the vector unit set for int8 lanes."""
        self._split(asm)
        asm.emit("vle32.v v0, (a2)", group=8)
        if self.halves == 2:
            asm.emit("slli t4, t5, 2", "add t4, t4, a2", "vsetvli zero, t6, e32, m8, ta, ma")
            asm.emit("vle32.v v8, (t4)", group=8)
        elif self.pixels == 2:
            asm.emit("vmv.v.v v8, v0", group=8)
        self.narrow(asm)

    def add(self, asm: Assembly) -> None:
        """Add the products to the accumulators."""
        asm.emit("vsetvli t0, zero, e16, m4, ta, ma")
        for accumulator, product in zip(self.names, ("v16", "v20"), strict=False):
            asm.emit(f"vwadd.wv {accumulator}, {accumulator}, {product}", group=8)
        self.narrow(asm)

    def narrow(self, asm: Assembly) -> None:
        """Set the vector unit for int8 lanes."""
        asm.emit(f"vsetvli zero, a6, e8, m{self.group}, ta, ma")

    def finish(self, asm: Assembly, epilogue: Epilogue, zero_point: str | None = None) -> None:
        """Scale, narrow, clamp and store; a5 is the distance of the pixels in the output.

        zero_point: where it lies in memory, if it is not a constant of the code.
        """
        self._split(asm)
        asm.emit("slli t3, a6, 2", "add a2, a2, t3")
        asm.emit("vle32.v v16, (a2)", group=8)
        if self.halves == 2:
            self._finish_half(asm, epilogue, "v0")
            asm.emit("slli t4, t5, 2", "add a2, a2, t4", "vsetvli zero, t6, e32, m8, ta, ma")
            asm.emit("vle32.v v16, (a2)", group=8)
            self._finish_half(asm, epilogue, "v8")
        else:
            for name in self.names:
                epilogue.scale(asm, name, "v16", "v24", 8)
            asm.emit("add t1, a2, t3")
            asm.emit("vle32.v v16, (t1)", group=8)
            for name in self.names:
                asm.emit(f"vssra.vv {name}, {name}, v16", group=8)
        results = self.narrow_results(asm, epilogue, zero_point)
        self.narrow(asm)
        for pixel in range(self.pixels):
            asm.emit(f"vnclip.wi v24, {results[pixel]}, 0", group=2 * self.group)
            epilogue.clamp(asm, "v24", "t1", self.group)
            asm.emit("vse8.v v24, (a3)", group=self.group)
            if pixel + 1 < self.pixels:
                asm.emit("add a3, a3, a5")

    def narrow_results(
        self, asm: Assembly, epilogue: Epilogue, zero_point: str | None = None
    ) -> tuple[str, ...]:
        """Narrow scaled accumulators to 16 bits and add the zero point; returns the registers of the results."""
        asm.emit("vsetvli t0, zero, e16, m4, ta, ma")
        results = ("v16", "v20")[: len(self.names)]
        for name, result in zip(self.names, results, strict=True):
            asm.emit(f"vnclip.wi {result}, {name}, 0", group=8)
        if epilogue.zero_point or zero_point:
            asm.emit(f"lw t1, {zero_point}" if zero_point else f"li t1, {epilogue.zero_point}")
            for result in results:
                asm.emit(f"vsadd.vx {result}, {result}, t1", group=4)
        return results

    def _finish_half(self, asm: Assembly, epilogue: Epilogue, name: str) -> None:
        """Scale one half; t3 holds the bytes of a row of the table."""
        epilogue.scale(asm, name, "v16", "v24", 8)
        asm.emit("add t1, a2, t3")
        asm.emit("vle32.v v16, (t1)", f"vssra.vv {name}, {name}, v16", group=8)

    def _split(self, asm: Assembly) -> None:
        """t5 = lanes of the first accumulator, t6 = of the second; the vector unit is set for the first."""
        if self.halves == 1:
            asm.emit("vsetvli zero, a6, e32, m8, ta, ma")
            return
        if self.lanes == WIDE:
            # At least two groups, or no more than one: the vector length is a whole group or all lanes.
            asm.emit("vsetvli t5, a6, e32, m8, ta, ma", "sub t6, a6, t5")
            return
        # Between one and two groups hardware may choose the vector length, so the first group is asked for.
        asm.emit("mv t5, a6", "vsetvli t6, zero, e32, m8, ta, ma")
        label = asm.forward()
        asm.emit(f"bleu t5, t6, {label}f", "mv t5, t6")
        asm.label()
        asm.emit("vsetvli zero, t5, e32, m8, ta, ma", "sub t6, a6, t5")
