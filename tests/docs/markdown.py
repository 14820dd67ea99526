"""Fenced blocks and links of the project's documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^(?P<fence>```+)(?P<info>.*)$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+\s+(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    language: first word of the fence's info string ("sh").
    options: its further words, "file=schedules/mine.py".
    line: line number of the first line of `text` in the document.
    """

    language: str
    options: dict[str, str]
    text: str
    line: int


def documents() -> list[Path]:
    """README.md and everything under docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(path: Path) -> str:
    """A document's path from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> Iterator[Block]:
    """All fenced blocks of a document in order; ValueError for one that is not closed."""
    lines = iter(enumerate(path.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            continue
        language, *options = opening["info"].split() or [""]
        body = []
        for _, inner in lines:
            if inner == opening["fence"]:
                break
            body.append(inner)
        else:
            raise ValueError(f"{path}:{number}: the block is not closed")
        named = dict(option.split("=", 1) for option in options)
        yield Block(language, named, "\n".join(body) + "\n", number + 1)


def prose(path: Path) -> str:
    """The document without its fenced blocks."""
    text = path.read_text(encoding="utf-8")
    for block in blocks(path):
        text = text.replace(block.text, "")
    return text


def links(path: Path) -> list[str]:
    """Targets of all links."""
    return _LINK.findall(prose(path))


def anchors(path: Path) -> set[str]:
    """Anchors that the headings of a document make."""
    found = set()
    for line in prose(path).splitlines():
        heading = _HEADING.match(line)
        if heading is not None:
            kept = re.sub(r"[^\w\- ]", "", heading[1].lower())
            found.add(kept.replace(" ", "-"))
    return found
