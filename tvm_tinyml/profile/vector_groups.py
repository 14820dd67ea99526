"""A count of RISC-V instructions in which a vector instruction weighs as many as the registers it works through.

With LMUL = 8 one instruction does the work of eight, so that plain counts of vector code compare badly. Here it
weighs the registers of its widest operand (EMUL, RISC-V vector extension 1.0, sections 3.4 and 7), at least one, as on
a core that finishes one vector register per cycle; everything else weighs one. The vector length in use is not
considered, and strided and indexed accesses weigh as much as contiguous ones.

Which LMUL is in force is read from the closest vset instruction above, in the order of addresses: exact unless a
loop is entered from code that lies below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from tvm_tinyml.profile.attribution import Cost, summed_by_function
from tvm_tinyml.profile.listing import Stretch

METHOD = "instructions weighted by the registers of their vector group"

_SETTING = re.compile(r"\be(8|16|32|64), m(f?)([1248])\b")
_WHOLE_REGISTERS = re.compile(r"^v(?:[ls]|mv)([1248])r")
_ACCESS = re.compile(r"^v[ls](?:[su]|ux|ox)?(?:seg([2-8]))?e(i?)(8|16|32|64)(?:ff)?\.v$")
_ONE_REGISTER = re.compile(r"^v(?:set|mv\.x\.s|mv\.s\.x|[ls]m\.v|cpop|first|m\w+\.mm$)")
_DOUBLE = re.compile(r"^v(?:w(?!red)|nsr[la]\.|nclipu?\.)")


@dataclass(frozen=True)
class VectorType:
    """Element width in bits and registers per group, as a vset instruction sets them."""

    element_bits: int
    registers: Fraction


def function_costs(listing: Iterable[Stretch], counts: Mapping[int, int]) -> dict[str, Cost]:
    """Weighted counts of every executed function; instructions of an unknown group weigh one and are unknown."""
    costs = []
    for stretch in listing:
        setting: VectorType | None = None
        for group in stretch.groups:
            for address, text in zip(group.addresses, group.texts, strict=True):
                mnemonic = text.split()[0]
                if mnemonic.startswith("vset"):
                    setting = _setting(text)
                executed = counts.get(address, 0)
                if executed:
                    registers = weight(mnemonic, setting)
                    cost = Cost(1, registers or 1, unknown=1 if registers is None else 0)
                    costs.append((stretch.function, cost * executed))
    return summed_by_function(costs)


def weight(mnemonic: str, setting: VectorType | None) -> int | None:
    """Registers an instruction works through, 1 for a scalar one; None when the setting decides and is unknown."""
    if not mnemonic.startswith("v") or _ONE_REGISTER.match(mnemonic):
        return 1
    whole = _WHOLE_REGISTERS.match(mnemonic)
    if whole is not None:
        return int(whole[1])
    if setting is None:
        return None
    registers = setting.registers
    access = _ACCESS.match(mnemonic)
    if access is not None:
        fields, indexed, bits = int(access[1] or 1), bool(access[2]), int(access[3])
        accessed = registers * bits / setting.element_bits
        registers = fields * (max(registers, accessed) if indexed else accessed)
    elif _DOUBLE.match(mnemonic):
        registers *= 2
    return max(1, ceil(registers))


def _setting(text: str) -> VectorType | None:
    found = _SETTING.search(text)
    if found is None:
        return None
    registers = int(found[3])
    return VectorType(int(found[1]), Fraction(1, registers) if found[2] else Fraction(registers))
