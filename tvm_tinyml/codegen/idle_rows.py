"""Counters of rows that a region's function does not need."""

from __future__ import annotations

import re
from collections.abc import Sequence

_COUNTS = re.compile(r"^(row_\d+) \+= ")


def without_idle_rows(statements: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Statements without counters of rows that nothing asks for: some compilers warn of them."""
    used = {
        row
        for _, text in statements
        if not text.startswith("int32_t row_")
        for row in re.findall(r"\brow_\d+\b", _COUNTS.sub("", text))
    }
    kept = []
    for depth, text in statements:
        counted = _COUNTS.match(text)
        if text.startswith("int32_t row_"):
            declared = [row for row in re.findall(r"row_\d+", text) if row in used]
            if declared:
                kept.append((depth, f"int32_t {', '.join(f'{row} = 0' for row in declared)};"))
        elif counted is None or counted[1] in used:
            kept.append((depth, text))
    return kept
