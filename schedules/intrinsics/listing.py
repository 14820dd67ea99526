"""How many instructions a listing of assembly executes, counted instead of measured.

What a forward branch outside of all loops skips is taken as skipped: in scalar micro-kernels those are limits that few
outputs reach.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LABEL = re.compile(r"(\d+):$")
_BRANCH = re.compile(r"\b(\d+)(b|f)$")


def executed(lines: Sequence[str], *rounds: int) -> int:
    """Instructions executed when the loops, in the order in which they end, run so many rounds each.

    Labels and directives are no instructions. Every loop ends in the only branch back to its label.
    """
    times, begun = [1] * len(lines), dict[str, int]()
    left = list(rounds)
    for index, line in enumerate(lines):
        label, branch = _LABEL.match(line), _BRANCH.search(line)
        if label is not None:
            begun[label[1]] = index
        elif branch is not None and branch[2] == "b":
            begin, count = begun[branch[1]], left.pop(0)
            times[begin : index + 1] = [count * one for one in times[begin : index + 1]]
    return sum(
        count
        for line, count, passed in zip(lines, times, _passed(lines), strict=True)
        if not passed and not _LABEL.match(line) and not line.startswith(".")
    )


def _passed(lines: Sequence[str]) -> list[bool]:
    """Which lines a forward branch over nothing but straight code skips."""
    passed, target = [], ""
    for index, line in enumerate(lines):
        label, branch = _LABEL.match(line), _BRANCH.search(line)
        target = "" if label is not None and label[1] == target else target
        passed.append(bool(target))
        if not target and branch is not None and branch[2] == "f" and not _leaves_loop(lines, index):
            target = branch[1]
    return passed


def _leaves_loop(lines: Sequence[str], index: int) -> bool:
    """Whether a branch skips the jump back of a loop, which it does in the last round only."""
    jump = _BRANCH.search(lines[index + 1])
    return jump is not None and jump[2] == "b"
