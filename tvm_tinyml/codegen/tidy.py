"""Make the C that TVM prints pleasant to read: indentation, and parentheses that say nothing.

Only white space and redundant parentheses change, so the compiler sees the same program.
"""

from __future__ import annotations

import re

_INDENT = re.compile(r"^(  )+", re.MULTILINE)
_INDEX = re.compile(r"\[\(")
_ASSIGNED = re.compile(r"= \((?=.*\);$)", re.MULTILINE)
# A name or number alone in parentheses, unless they belong to a call or a cast.
_SINGLE = re.compile(r"(?<!\w)\((-?\d+|(?!\w*_t\))\w+)\)(?= [<>?:]|;|\)|,)")


def tidy(body: str) -> str:
    """Indent by four and drop the parentheses around whole indices and whole assigned expressions."""
    indented = _INDENT.sub(lambda match: " " * (2 * len(match.group())), body)
    unwrapped = _unwrap(_unwrap(indented, _INDEX, "]"), _ASSIGNED, ";")
    return _SINGLE.sub(r"\1", unwrapped)


def _unwrap(text: str, opening: re.Pattern[str], follower: str) -> str:
    """Drop the parenthesis pair that ends an `opening` match when `follower` comes right after it."""
    pieces, position = [], 0
    for match in opening.finditer(text):
        start = match.end() - 1
        end = _closing(text, start)
        if start < position or text[end + 1] != follower:
            continue
        pieces += [text[position:start], _unwrap(text[start + 1 : end], opening, follower)]
        position = end + 1
    return "".join([*pieces, text[position:]])


def _closing(text: str, start: int) -> int:
    """Position of the parenthesis that closes the one at `start`."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise ValueError("unbalanced parentheses in printed C")
