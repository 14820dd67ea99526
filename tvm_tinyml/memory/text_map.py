"""The memory plan as plain text: steps from left to right, addresses from bottom to top."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase

from tvm_tinyml.memory.explanation import explain
from tvm_tinyml.memory.memory_plan import MemoryPlan
from tvm_tinyml.memory.occupancy import Region, peak_time, regions, shortened
from tvm_tinyml.memory.program import Program

_LETTERS = ascii_uppercase + ascii_lowercase
_OTHER = "+"
_FREE = "."
_NAMED = 12
_WIDEST_STEP = 6
_LABEL_EVERY = 4


def draw_text(program: Program, plan: MemoryPlan, *, width: int = 100, height: int = 24) -> str:
    """Draw the arena over time, name the biggest tensors and explain the peak.

    width: characters per line, at least 60. height: rows of the map at most, at least 4.
    A cell shows the tensor that takes most of it: a letter for the biggest ones, "+" for others, "." for free.
    Columns marked "<" and ">" are the time before the first and after the last step. Lines have no trailing
    blanks and are not ended by a newline.
    """
    width, height = max(width, 60), max(height, 4)
    found = regions(program, plan)
    if not found:
        return explain(program, plan)
    ranked = sorted(found, key=lambda region: (-region.nbytes, region.first, region.name))
    symbols = {region.name: _LETTERS[i] if i < len(_LETTERS) else _OTHER for i, region in enumerate(ranked)}
    row_bytes = _row_bytes(plan.arena_bytes, height)
    row_count = -(-plan.arena_bytes // row_bytes)
    unit, unit_name = (1024, "KiB") if row_bytes >= 256 else (1, "bytes")
    labels = {row: f"{row * row_bytes / unit:,.10g}" for row in range(0, row_count, _LABEL_EVERY)}
    margin = max(map(len, [*labels.values(), unit_name]))
    times, cell_width = _columns(len(program.steps), width - margin - 2)
    lines = [f"{unit_name:>{margin}}"]
    alive = [[region for region in found if any(map(region.alive, span))] for span in times]
    for row in reversed(range(row_count)):
        low, high = row * row_bytes, (row + 1) * row_bytes
        cells = [_symbol(alive[column], symbols, span, low, high) for column, span in enumerate(times)]
        lines.append(f"{labels.get(row, ''):>{margin}} |{''.join(cell * cell_width for cell in cells)}")
    lines.append(f"{'':{margin}} +{'-' * len(times) * cell_width}")
    peak = peak_time(found, len(program.steps))
    lines += [f"{'':{margin}}  {line}" for line in _axis(times, cell_width, len(program.steps), peak)]
    lines += ["", *_legend(program, ranked, symbols, width), ""]
    lines += textwrap.wrap(explain(program, plan), width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(line.rstrip() for line in lines)


def _row_bytes(arena_bytes: int, height: int) -> int:
    """Least bytes per row, of the form 4, 5, 6 or 7 times a power of two or below 4, that needs `height` rows."""
    scale = 1
    while 7 * scale * height < arena_bytes:
        scale *= 2
    return next(scale * factor for factor in range(1, 8) if scale * factor * height >= arena_bytes)


def _columns(step_count: int, available: int) -> tuple[list[range], int]:
    """Steps shown by each column of the map, and the characters a column takes."""
    moments = step_count + 2
    per_column = -(-moments // available)
    starts = range(0, step_count, per_column)
    spans = [range(start, min(start + per_column, step_count)) for start in starts]
    times = [range(-1, 0), *spans, range(step_count, step_count + 1)]
    return times, max(1, min(_WIDEST_STEP, available // len(times)))


def _symbol(found: Sequence[Region], symbols: Mapping[str, str], times: range, low: int, high: int) -> str:
    best, best_area = _FREE, 0
    for region in found:
        steps = min(times[-1], region.last) - max(times[0], region.first) + 1
        area = max(0, steps) * max(0, min(high, region.end) - max(low, region.start))
        if area > best_area:
            best, best_area = symbols[region.name], area
    return best


def _axis(times: Sequence[range], cell_width: int, step_count: int, peak: int) -> list[str]:
    """Lines with the step numbers and with a mark below the step that sets the peak."""
    numbers = [" "] * len(times) * cell_width
    numbers[0], numbers[-1] = "<", ">"
    digits = len(str(step_count))
    every = next(
        n for n in (1, 2, 5, 10, 20, 50, 100, len(times)) if n * cell_width > digits or n == len(times)
    )
    for column in range(1, len(times) - 1, every):
        text = str(times[column][0])
        if (column * cell_width) + len(text) < len(numbers):
            numbers[column * cell_width : column * cell_width + len(text)] = text
    at = next(column for column, span in enumerate(times) if peak in span) * cell_width
    mark = f"{'':{at}}^ peak" if at + 6 <= len(numbers) else f"{'peak ^':>{at + 1}}"
    return ["".join(numbers), mark]


def _legend(program: Program, ranked: Sequence[Region], symbols: Mapping[str, str], width: int) -> list[str]:
    rows = [("", "bytes", "at", "steps", "filled by", "tensor")]
    for region in ranked[:_NAMED]:
        last = "end" if region.last == len(program.steps) else str(region.last)
        first = "start" if region.first < 0 else str(region.first)
        source = region.writers[-1] if region.writers else "caller"
        if region.kind == "scratch":
            source = f"{source} (scratch)"
        size, at = f"{region.nbytes:,}", f"{region.start:,}"
        rows.append((symbols[region.name], size, at, f"{first}-{last}", shortened(source, 28), region.name))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    room = width - sum(widths) - 2 * len(widths)
    lines = [
        f"{symbol:{widths[0]}}  {size:>{widths[1]}}  {at:>{widths[2]}}  {steps:>{widths[3]}}  "
        f"{source:{widths[4]}}  {shortened(name, room)}"
        for symbol, size, at, steps, source, name in rows
    ]
    rest = ranked[_NAMED:]
    if rest:
        lines.append(f"and {len(rest)} more of at most {rest[0].nbytes:,} bytes")
    return lines
