"""What loads and stores of several registers take beyond the one cycle that LLVM's models give them.

LLVM's scheduling models of these cores price LDM, STM, PUSH, POP, LDRD and STRD like a load or store of one
register. Cortex-M4: Arm's Technical Reference Manual, instruction set summary, gives 1 + N cycles for N registers
(M33: the same pipeline depth and data path). Cores with a data path of 64 bits move two registers per cycle:
their figure here is what that path allows at best.
"""

from __future__ import annotations

import re

_LIST = re.compile(r"^(?:v?ld|v?st)m\w*\b|^v?(?:push|pop)\b")
_PAIR = re.compile(r"^(?:ld|st)rd\b")
_REGISTERS = re.compile(r"\{([^}]*)\}")
_ONE_WORD_PER_CYCLE = frozenset({"cortex-m4", "cortex-m33"})


def extra_cycles(text: str, core: str) -> int:
    """Cycles of one instruction beyond the model's one; 0 for everything but transfers of several registers."""
    words = _words(text)
    if words == 0:
        return 0
    return words if core in _ONE_WORD_PER_CYCLE else (words + 1) // 2 - 1


def _words(text: str) -> int:
    """Words that an instruction moves between memory and a list or pair of registers; 0 for any other."""
    if _PAIR.match(text):
        return 2
    registers = _REGISTERS.search(text)
    if registers is None or not _LIST.match(text):
        return 0
    return sum(2 if name.strip().startswith("d") else 1 for name in registers[1].split(","))
