"""Copy and fill of a fixed number of bytes: what packs borders and windows into scratch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from .assembly import Assembly
from .description import nest, register

# Bytes of eight registers at VLEN = 128.
STRIP = 128


@dataclass(frozen=True)
class Copy:
    """Gather `runs` runs of `nbytes` bytes, whose beginnings lie `step` bytes apart, into one row."""

    nbytes: int
    runs: int = 1
    step: int = 0

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        return f"rvv_copy_{self.runs}x{self.nbytes}"

    def block(self, target: Any, at: tuple[Any, Any], source: Any, origin: tuple[Any, Any]) -> None:
        """Emit the copy from source[origin] to target[at], both two-dimensional, as a TensorIR block."""
        (row, column), (y, x) = at, origin
        nbytes, runs, step = self.nbytes, self.runs, self.step
        T.reads(source[y, x : x + self._span])
        T.writes(target[row, column : column + runs * nbytes])
        with nest("copy", (runs, nbytes)) as (i, j):
            T.buffer_store(target, source[y, x + i * step + j], [row, column + i * nbytes + j])

    @property
    def _span(self) -> int:
        return (self.runs - 1) * self.step + self.nbytes

    def register(self) -> str:
        """Register the copy as a TensorIntrin and return its name."""
        return register(
            f"{self.name}_step{self.step}",
            {"source": ((1, self._span), "int8"), "target": ((1, self.runs * self.nbytes), "int8")},
            lambda source, target: self.block(target, (0, 0), source, (0, 0)),
            lambda source, target: [target.access_ptr("w"), source.access_ptr("r"), self.step],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the copy: a0 target, a1 source, a2 step."""
        asm = Assembly()
        asm.emit(f"li a3, {self.nbytes}")
        if self.nbytes <= STRIP:
            asm.emit("vsetvli zero, a3, e8, m8, ta, ma")
            with asm.loop("a4", self.runs):
                asm.emit("vle8.v v0, (a1)", "vse8.v v0, (a0)", group=8)
                if self.runs > 1:
                    asm.emit("add a1, a1, a2", "add a0, a0, a3")
            return asm
        with asm.loop("a4", self.runs):
            asm.emit("mv t1, a1", "mv t2, a3")
            with asm.strips("t2", -(-self.nbytes // STRIP)):
                asm.emit("vsetvli t0, t2, e8, m8, ta, ma")
                asm.emit("vle8.v v0, (t1)", "vse8.v v0, (a0)", group=8)
                asm.emit("add t1, t1, t0", "add a0, a0, t0", "sub t2, t2, t0")
            if self.runs > 1:
                asm.emit("add a1, a1, a2")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        parameters = ("int8_t *target", "const int8_t *source", "int32_t step")
        return self.assemble().micro_kernel(self.name, parameters)


@dataclass(frozen=True)
class Transpose:
    """Turn `channels` adjacent bytes of each of `pixels` pixels into planes: rows of the target.

    pixels: 1 to 64.
    step: bytes from pixel to pixel.
    """

    pixels: int
    channels: int
    step: int

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        return f"rvv_transpose_{self.pixels}x{self.channels}"

    def block(self, target: Any, at: tuple[Any, Any], source: Any, origin: tuple[Any, Any]) -> None:
        """Emit the transposition from source[origin] to target[at], both two-dimensional, as a TensorIR block."""
        (row, column), (y, x) = at, origin
        T.reads(source[y, x : x + self._span])
        T.writes(target[row : row + self.channels, column : column + self.pixels])
        with nest("transpose", (self.channels, self.pixels)) as (c, i):
            T.buffer_store(target, source[y, x + i * self.step + c], [row + c, column + i])

    @property
    def _span(self) -> int:
        return (self.pixels - 1) * self.step + self.channels

    def register(self) -> str:
        """Register the transposition as a TensorIntrin and return its name."""
        return register(
            f"{self.name}_step{self.step}",
            {"source": ((1, self._span), "int8"), "target": ((self.channels, self.pixels), "int8")},
            lambda source, target: self.block(target, (0, 0), source, (0, 0)),
            lambda source, target: [
                target.access_ptr("w"),
                source.access_ptr("r"),
                target.strides[0],
                self.step,
            ],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the transposition: a0 target, a1 source, a2 distance of the planes, a3 of the pixels."""
        asm = Assembly()
        asm.emit(f"li a4, {self.pixels}", "vsetvli zero, a4, e8, m4, ta, ma")
        unrolled = max(count for count in (1, 2, 3, 4) if self.channels % count == 0)
        with asm.loop("a5", self.channels // unrolled):
            for _ in range(unrolled):
                asm.emit("vlse8.v v0, (a1), a3", "vse8.v v0, (a0)", group=4)
                asm.emit("addi a1, a1, 1", "add a0, a0, a2")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        parameters = ("int8_t *target", "const int8_t *source", "int32_t plane_pitch", "int32_t pixel_pitch")
        return self.assemble().micro_kernel(self.name, parameters)


@dataclass(frozen=True)
class Fill:
    """Set `nbytes` bytes to `value`."""

    nbytes: int
    value: int

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        return f"rvv_fill_{self.nbytes}_{self.value}".replace("-", "m")

    def block(self, target: Any, at: tuple[Any, Any]) -> None:
        """Emit the fill of target[at], two-dimensional, as a TensorIR block."""
        row, column = at
        T.reads()
        T.writes(target[row, column : column + self.nbytes])
        with nest("fill", (self.nbytes,)) as (i,):
            T.buffer_store(target, T.int8(self.value), [row, column + i])

    def register(self) -> str:
        """Register the fill as a TensorIntrin and return its name."""
        return register(
            self.name,
            {"target": ((1, self.nbytes), "int8")},
            lambda target: self.block(target, (0, 0)),
            lambda target: [target.access_ptr("w")],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the fill: a0 target."""
        asm = Assembly()
        asm.emit(f"li a1, {self.nbytes}", f"li t1, {self.value}")
        asm.emit(
            "vsetvli t0, a1, e8, m8, ta, ma" if self.nbytes <= STRIP else "vsetvli t0, zero, e8, m8, ta, ma"
        )
        asm.emit("vmv.v.x v0, t1", group=8)
        if self.nbytes <= STRIP:
            asm.emit("vse8.v v0, (a0)", group=8)
            return asm
        with asm.strips("a1", -(-self.nbytes // STRIP)):
            asm.emit("vsetvli t0, a1, e8, m8, ta, ma")
            asm.emit("vse8.v v0, (a0)", group=8)
            asm.emit("add a0, a0, t0", "sub a1, a1, t0")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return self.assemble().micro_kernel(self.name, ("int8_t *target",))
