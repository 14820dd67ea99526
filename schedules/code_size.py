"""How many bytes of code a candidate will take, before a compiler has seen it.

Micro-kernels are assembly, whose lines are counted. Calibrated against the symbols of linked firmware (nm, objdump):
3.1 to 3.9 bytes per line on Armv7E-M and Armv8.1-M, 2.8 to 4.2 on RV32. Functions of loops around micro-kernels take
70 to 350 bytes, 130 on average.
"""

from __future__ import annotations

import re
from functools import lru_cache

BYTES_PER_INSTRUCTION = 3.7
BYTES_PER_STATEMENT = 8.0
LOOP_BYTES = 130
# Loops that compute in C, with their unrolled tiles.
C_LOOP_BYTES = 300

_BRANCH = re.compile(r"^#(?:if|elif|else|endif).*$", re.MULTILINE)
_INSTRUCTION = re.compile(r'^\s*"(?!\d+:).*\\n"', re.MULTILINE)
_STATEMENT = re.compile(r"[;{]\s*$", re.MULTILINE)


@lru_cache(maxsize=4096)
def source_bytes(source: str) -> int:
    """Estimate for a C function; of the bodies that the preprocessor chooses from, the longest counts."""
    return round(max(_body_bytes(body) for body in _BRANCH.split(source)))


def _body_bytes(body: str) -> float:
    instructions = len(_INSTRUCTION.findall(body))
    if instructions:
        return BYTES_PER_INSTRUCTION * instructions
    return BYTES_PER_STATEMENT * len(_STATEMENT.findall(body))
