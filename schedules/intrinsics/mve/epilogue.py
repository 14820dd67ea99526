"""Requantisation of eight accumulators in even registers: stored, reloaded as two vectors, scaled and narrowed.

Storing eight registers and loading two vectors takes three instructions, lane moves would take four. The lanes are
(pixel, channel) of four pixels and two channels, or whatever the constants of the tile say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .assembly import ACCUMULATOR_LIST


@dataclass(frozen=True)
class Requantization:
    """How accumulators become int8, and the limits of the result.

    kind: "relu", rounding twice with a ReLU (negative results are clamped, so ties round up); "sign", rounding twice
        with the correction of negative ties; "fit", the fitted form with an addend (schedules/requantize.py).
    """

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
        """Whether the epilogue needs a third vector register whatever holds the constants: for limits inside int8."""
        return self.clamp_min > -128 or self.clamp_max < 127


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


def load_pairs(how: Requantization, register: str, homes: Homes) -> list[str]:
    """Constants of two channels, repeated for two pixels, from the table that a core register points to; uses q0.

    Words are a gather of 64-bit elements from equal addresses. What has no register goes from q1 to the stack.
    """
    code = [f"vdup.32 q0, {register}"]
    for row, name in enumerate((*how.words, "shift")):
        if name not in homes.registers and name not in homes.slots:
            continue
        vector = homes.registers.get(name, "q1")
        shift = f"vldrb.s32 {vector}, [{register}, #{8 * row}]"
        code.append(shift if name == "shift" else f"vldrd.u64 {vector}, [q0, #{8 * row}]")
        code += [f"vstrw.32 q1, [sp, #{homes.slots[name]}]"] if name in homes.slots else []
    return code


def requantize_tile(
    how: Requantization, first: str, second: str, homes: Homes, zero_point: str, *, biased: bool
) -> list[str]:
    """Accumulators to int8 in the even bytes of `first`: lanes first[0], second[0], first[1], second[1], ...

    first, second: vector registers to use. zero_point: core register (not used by the fitted form).
    biased: the accumulators already hold the bias.
    """
    code = [*reload(first, second), *scale(how, (first, second), homes, biased=biased)]
    return [*code, *narrow(how, first, second, homes.temporary, zero_point)]


def reload(first: str, second: str) -> list[str]:
    """Accumulators to vector registers, by way of the stack."""
    return [f"stm sp, {ACCUMULATOR_LIST}", f"vldrw.u32 {first}, [sp]", f"vldrw.u32 {second}, [sp, #16]"]


def scale(
    how: Requantization, vectors: Sequence[str], homes: Homes, *, biased: bool = False, one: str | None = None
) -> list[str]:
    """Sums of 32 bits to outputs of 32 bits, without the zero point unless the addend holds it.

    one: core register that holds 1; r10 will when there is none.
    """
    code: list[str] = []

    def with_constant(name: str, operation: str) -> None:
        register, load = homes.fetch(name)
        code.extend([*load, *(f"{operation} {x}, {x}, {register}" for x in vectors)])

    if not biased:
        with_constant("bias", "vadd.i32")
    with_constant("multiplier", "vqrdmulh.s32")
    code += correct_ties(vectors, one) if how.kind == "sign" else []
    if how.kind == "fit":
        with_constant("addend", "vadd.i32")
    with_constant("shift", "vshl.s32" if how.kind == "fit" else "vrshl.s32")
    return code


def correct_ties(vectors: Sequence[str], one: str | None = None) -> list[str]:
    """One less where a value is negative, so that the shift rounds ties away from zero; `one` as in `scale`."""
    # The high half of twice the value adds its sign: -1 or 0.
    code = [] if one else ["mov r10, #1"]
    return [*code, *(f"vqdmlah.s32 {x}, {x}, {one or 'r10'}" for x in vectors)]


def requantize_vectors(
    how: Requantization, both: tuple[str, str], constants: Sequence[str], temporary: str
) -> list[str]:
    """Two vectors of sums of one channel to int8 in the even bytes of the first.

    constants: core registers of bias, multiplier, shift, and of the addend or the zero point.
    """
    bias, multiplier, shift, last = constants[:4]
    code = [f"vadd.i32 {x}, {x}, {bias}" for x in both]
    code += [f"vqrdmulh.s32 {x}, {x}, {multiplier}" for x in both]
    code += correct_ties(both) if how.kind == "sign" else []
    if how.kind == "fit":
        code += [f"vadd.i32 {x}, {x}, {last}" for x in both]
    code += [f"{'vshl' if how.kind == 'fit' else 'vrshl'}.s32 {x}, {shift}" for x in both]
    return [*code, *narrow(how, *both, temporary, last)]


def narrow(how: Requantization, first: str, second: str, temporary: str, zero_point: str) -> list[str]:
    """Two vectors of int32 to int8 in the even bytes of `first`, zero point and clamp included."""
    return [*narrow_to_halves(how, first, second, temporary, zero_point), f"vqmovnb.s16 {first}, {first}"]


def narrow_to_halves(
    how: Requantization, first: str, second: str, temporary: str, zero_point: str
) -> list[str]:
    """Two vectors of int32 to the halfwords of `first`, zero point and clamp included."""
    code = [f"vqmovnb.s32 {first}, {first}", f"vqmovnt.s32 {first}, {second}"]
    if how.kind != "fit":
        code.append(f"vqadd.s16 {first}, {first}, {zero_point}")
    for operation, limit, natural in (("vmax", how.clamp_min, -128), ("vmin", how.clamp_max, 127)):
        if limit != natural:
            move = f"vmov.i16 {temporary}, #{limit}" if limit >= 0 else f"vmvn.i16 {temporary}, #{~limit}"
            code += [move, f"{operation}.s16 {first}, {first}, {temporary}"]
    return code
