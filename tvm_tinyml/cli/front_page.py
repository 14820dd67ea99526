"""`tvm-tinyml plan --pareto --html`: the front as a page that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from .common import cell

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1260px; padding: 0 1em; }
table { border-collapse: collapse; font-size: 14px; }
th, td { padding: 2px 12px; text-align: right; border-bottom: 1px solid #dee2e6; }
th { text-align: left; }
figure { margin: 1em 0; overflow-x: auto; }
"""


def front_page(
    title: str,
    plot: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    maps: Mapping[str, tuple[str, str]],
) -> str:
    """The page as HTML text.

    plot: SVG of the front. columns, rows: its table.
    maps: by heading, words about a plan and the SVG of its memory over time.
    """
    return "\n".join(_lines(title, plot, columns, rows, maps)) + "\n"


def _lines(
    title: str,
    plot: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    maps: Mapping[str, tuple[str, str]],
) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>"
    yield f"<h1>{escape(title)}</h1>"
    yield f"<figure>{_inline(plot)}</figure>"
    for heading, (words, picture) in maps.items():
        yield f"<h2>{escape(heading)}</h2>\n<p>{escape(words)}</p>\n<figure>{_inline(picture)}</figure>"
    yield "<h2>All plans</h2>\n<table>"
    yield f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in columns)}</tr>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{escape(cell(value))}</td>' for value in row)}</tr>"
    yield "</table>\n</body>\n</html>"


def _inline(picture: str) -> str:
    """An SVG document as an element of a page."""
    return picture[picture.index("<svg") :].rstrip()
