"""Requantisation of eight accumulators in even registers: stored, reloaded as two vectors, scaled and narrowed.

Storing eight registers and loading two vectors takes three instructions, lane moves would take four. The lanes are
(pixel, channel) of four pixels and two channels, or whatever the constants of the tile say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .assembly import ACCUMULATOR_LIST

# Kinds: rounding twice with a ReLU (negative results are clamped, so ties round up); rounding twice with the
# correction of negative ties; the fitted form with an addend (schedules/requantize.py).
KINDS = ("relu", "sign", "fit")


@dataclass(frozen=True)
class Requantization:
    """How accumulators become int8: one of KINDS, and the limits of the result."""

    kind: str
    clamp_min: int
    clamp_max: int

    @property
    def name(self) -> str:
        """Part of the names of micro-kernels."""
        limits = [
            f"_{word}{abs(limit)}{'n' if limit < 0 else ''}"
            for word, limit, natural in (("min", self.clamp_min, -128), ("max", self.clamp_max, 127))
            if limit != natural
        ]
        return self.kind + "".join(limits)

    @property
    def words(self) -> tuple[str, ...]:
        """Constants of a channel that are words, in the order of a table; the shift is a byte after all of them."""
        return ("bias", "multiplier", *(("addend",) if self.kind == "fit" else ()))

    @property
    def constants(self) -> tuple[str, ...]:
        """Constants of a channel, the most used ones first."""
        return ("bias", "multiplier", "shift", *self.words[2:])

    @property
    def needs_temporary(self) -> bool:
        """Whether the epilogue needs a third vector register whatever holds the constants."""
        return self.kind == "sign" or self.clamp_min > -128 or self.clamp_max < 127


@dataclass(frozen=True)
class Homes:
    """Where the constants of an epilogue live: vector registers by name, stack offsets for the rest."""

    registers: dict[str, str]
    slots: dict[str, int]
    temporary: str

    def fetch(self, name: str) -> tuple[str, list[str]]:
        """Register that holds a constant, and the load that brings it there."""
        if name in self.registers:
            return self.registers[name], []
        return self.temporary, [f"vldrw.u32 {self.temporary}, [sp, #{self.slots[name]}]"]


def assign_homes(names: Sequence[str], free: Sequence[str], temporary: str, first_slot: int) -> Homes:
    """Give constants the free vector registers in order of their names, the rest a place on the stack."""
    spilled = names[len(free) :]
    return Homes(
        dict(zip(names, free, strict=False)),
        {name: first_slot + 16 * index for index, name in enumerate(spilled)},
        temporary,
    )


def load_shifts(vector: str) -> list[str]:
    """Two shifts, bytes at r2, to the lanes of two channels of two pixels; uses r0 and r6."""
    code = ["ldrsb r0, [r2]", "ldrsb r6, [r2, #1]"]
    return [*code, f"vmov {vector}[2], {vector}[0], r0, r0", f"vmov {vector}[3], {vector}[1], r6, r6"]


def requantize_tile(
    how: Requantization, first: str, second: str, homes: Homes, zero_point: str, *, biased: bool
) -> list[str]:
    """Accumulators to int8 in the even bytes of `first`: lanes first[0], second[0], first[1], second[1], ...

    first, second: vector registers to use. zero_point: core register (not used by the fitted form).
    biased: the accumulators already hold the bias.
    """
    both = (first, second)
    code = [f"stm sp, {ACCUMULATOR_LIST}", f"vldrw.u32 {first}, [sp]", f"vldrw.u32 {second}, [sp, #16]"]

    def with_constant(name: str, operation: str) -> None:
        register, load = homes.fetch(name)
        code.extend([*load, *(f"{operation} {x}, {x}, {register}" for x in both)])

    if not biased:
        with_constant("bias", "vadd.i32")
    with_constant("multiplier", "vqrdmulh.s32")
    if how.kind == "sign":
        for x in both:
            code += [f"vshr.s32 {homes.temporary}, {x}, #31", f"vadd.i32 {x}, {x}, {homes.temporary}"]
    if how.kind == "fit":
        with_constant("addend", "vadd.i32")
    with_constant("shift", "vshl.s32" if how.kind == "fit" else "vrshl.s32")
    return [*code, *narrow(how, first, second, homes.temporary, zero_point)]


def requantize_vectors(
    how: Requantization, both: tuple[str, str], constants: Sequence[str], temporary: str
) -> list[str]:
    """Two vectors of sums of one channel to int8 in the even bytes of the first.

    constants: core registers of bias, multiplier, shift, and of the addend or the zero point.
    """
    bias, multiplier, shift, last = constants[:4]
    code = [f"vadd.i32 {x}, {x}, {bias}" for x in both]
    code += [f"vqrdmulh.s32 {x}, {x}, {multiplier}" for x in both]
    if how.kind == "sign":
        for x in both:
            code += [f"vshr.s32 {temporary}, {x}, #31", f"vadd.i32 {x}, {x}, {temporary}"]
    if how.kind == "fit":
        code += [f"vadd.i32 {x}, {x}, {last}" for x in both]
    code += [f"{'vshl' if how.kind == 'fit' else 'vrshl'}.s32 {x}, {shift}" for x in both]
    return [*code, *narrow(how, *both, temporary, last)]


def narrow(how: Requantization, first: str, second: str, temporary: str, zero_point: str) -> list[str]:
    """Two vectors of int32 to int8 in the even bytes of `first`, zero point and clamp included."""
    code = [f"vqmovnb.s32 {first}, {first}", f"vqmovnt.s32 {first}, {second}"]
    if how.kind != "fit":
        code.append(f"vqadd.s16 {first}, {first}, {zero_point}")
    for operation, limit, natural in (("vmax", how.clamp_min, -128), ("vmin", how.clamp_max, 127)):
        if limit != natural:
            move = f"vmov.i16 {temporary}, #{limit}" if limit >= 0 else f"vmvn.i16 {temporary}, #{~limit}"
            code += [move, f"{operation}.s16 {first}, {first}, {temporary}"]
    return [*code, f"vqmovnb.s16 {first}, {first}"]
