"""Copies, fills and transpositions: what packs borders and windows into scratch.

Sizes are run-time arguments, so that all layers share a function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from ..description import nest, register
from .assembly import Assembly

# Bytes of eight registers at VLEN = 128.
STRIP = 128


@dataclass(frozen=True)
class Copy:
    """Gather `runs` runs of `nbytes` bytes, whose beginnings lie `step` bytes apart, into one row.

    nbytes: any number for one run, at most 128 for several.
    """

    nbytes: int
    runs: int = 1
    step: int = 0

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        return "rvv_copy" if self.runs == 1 else "rvv_gather"

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
            f"{self.name}_{self.runs}x{self.nbytes}_step{self.step}",
            {"source": ((1, self._span), "int8"), "target": ((1, self.runs * self.nbytes), "int8")},
            lambda source, target: self.block(target, (0, 0), source, (0, 0)),
            lambda source, target: [
                target.access_ptr("w"),
                source.access_ptr("r"),
                self.nbytes,
                *([self.runs, self.step] if self.runs > 1 else []),
            ],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the copy: a0 target, a1 source, a2 bytes of a run, a3 runs, a4 step."""
        asm = Assembly()
        if self.runs > 1:
            asm.emit("vsetvli zero, a2, e8, m8, ta, ma")
            with asm.strips("a3", self.runs):
                asm.emit("vle8.v v0, (a1)", "vse8.v v0, (a0)", group=8)
                asm.emit("add a1, a1, a4", "add a0, a0, a2", "addi a3, a3, -1")
            return asm
        with asm.repeated(-(-self.nbytes // STRIP)):
            again, end = asm.label(), asm.forward()
            asm.emit("vsetvli t0, a2, e8, m8, ta, ma")
            asm.emit("vle8.v v0, (a1)", "vse8.v v0, (a0)", group=8)
            asm.emit("sub a2, a2, t0", f"beqz a2, {end}f")
        with asm.repeated(-(-self.nbytes // STRIP) - 1):
            asm.emit("add a1, a1, t0", "add a0, a0, t0", f"j {again}b")
        asm.label()
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        parameters = ["int8_t *target", "const int8_t *source", "int32_t nbytes"]
        several = ["int32_t runs", "int32_t step"] if self.runs > 1 else []
        return self.assemble().micro_kernel(self.name, [*parameters, *several])


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
        return f"rvv_transpose_{self._unrolled}"

    @property
    def _unrolled(self) -> int:
        """Channels of a pass of the loop."""
        return max(count for count in (1, 2, 3, 4) if self.channels % count == 0)

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
            f"{self.name}_{self.pixels}x{self.channels}_step{self.step}",
            {"source": ((1, self._span), "int8"), "target": ((self.channels, self.pixels), "int8")},
            lambda source, target: self.block(target, (0, 0), source, (0, 0)),
            lambda source, target: [
                target.access_ptr("w"),
                source.access_ptr("r"),
                target.strides[0],
                self.step,
                self.pixels,
                self.channels // self._unrolled,
            ],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the transposition.

        a0 target, a1 source, a2 distance of the planes, a3 of the pixels, a4 pixels, a5 passes.
        """
        asm = Assembly()
        asm.emit("vsetvli zero, a4, e8, m4, ta, ma")
        with asm.strips("a5", self.channels // self._unrolled):
            for _ in range(self._unrolled):
                asm.emit("vlse8.v v0, (a1), a3", "vse8.v v0, (a0)", group=4)
                asm.emit("addi a1, a1, 1", "add a0, a0, a2")
            asm.emit("addi a5, a5, -1")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        pitches = ("int32_t plane_pitch", "int32_t pixel_pitch")
        parameters = ("int8_t *target", "const int8_t *source", *pitches, "int32_t pixels", "int32_t passes")
        return self.assemble().micro_kernel(self.name, parameters)


@dataclass(frozen=True)
class Fill:
    """Set `nbytes` bytes to `value`."""

    nbytes: int
    value: int

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        return "rvv_fill"

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
            f"{self.name}_{self.nbytes}_{self.value}",
            {"target": ((1, self.nbytes), "int8")},
            lambda target: self.block(target, (0, 0)),
            lambda target: [target.access_ptr("w"), self.nbytes, self.value],
            kernel=self.name,
            written=1,
        )

    def assemble(self) -> Assembly:
        """Code of the fill: a0 target, a1 bytes, a2 value; later strips are not longer than the first."""
        asm = Assembly()
        strips = -(-self.nbytes // STRIP)
        asm.emit("vsetvli t0, a1, e8, m8, ta, ma", "vmv.v.x v0, a2", group=8)
        again, end = asm.label(), asm.forward()
        with asm.repeated(strips):
            asm.emit("vse8.v v0, (a0)", group=8)
            asm.emit("sub a1, a1, t0", f"beqz a1, {end}f")
        with asm.repeated(strips - 1):
            asm.emit("add a0, a0, t0", "vsetvli t0, a1, e8, m8, ta, ma", f"j {again}b")
        asm.label()
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return self.assemble().micro_kernel(self.name, ("int8_t *target", "int32_t nbytes", "int32_t value"))
