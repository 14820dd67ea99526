"""The C statements that run through an order of calls: in loops where each call has one place, by a table elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from .order import Repetition

Statement = tuple[int, str]
"""A statement and its depth of indentation."""


def statements_in_order(order: Repetition, calls: Mapping[int, Sequence[str]]) -> Iterator[Statement]:
    """Statements of the calls by their numbers in the order, of which all that are there are in `calls`."""
    runs = [[(number, len(list(same))) for number, same in groupby(part)] for part in _parts(order)]
    numbers = [number for part in runs for number, _ in part]
    if len(numbers) == len(set(numbers)):
        yield from _in_loops(order, runs, calls)
    else:
        yield from _by_table(order, calls)


def _parts(order: Repetition) -> tuple[tuple[int, ...], ...]:
    return order.first, order.repeated, order.last


def _in_loops(
    order: Repetition, runs: Sequence[Sequence[tuple[int, int]]], calls: Mapping[int, Sequence[str]]
) -> Iterator[Statement]:
    """Every call is written where it is its turn."""
    for part, times in zip(runs, (1, order.times, 1), strict=True):
        depth = 0
        if times > 1:
            yield 0, f"for (int32_t turns = {times}; turns > 0; --turns) {{"
            depth = 1
        for number, count in part:
            if count > 1:
                yield depth, f"for (int32_t count = {count}; count > 0; --count) {{"
            yield from ((depth + (count > 1), text) for text in calls[number])
            if count > 1:
                yield depth, "}"
        if times > 1:
            yield 0, "}"


def _by_table(order: Repetition, calls: Mapping[int, Sequence[str]]) -> Iterator[Statement]:
    """A pointer walks a table, where two more numbers say what repeats and that it ends."""
    again, end = max(calls) + 1, max(calls) + 2
    repeats = order.times > 1
    table = (*order.first, *order.repeated, *((again,) if repeats else ()), *order.last, end)
    kind = "uint8_t" if end < 256 else "uint16_t"
    yield 0, f"static const {kind} order[] = {{{', '.join(map(str, table))}}};"
    if repeats:
        yield 0, f"int32_t turns = {order.times};"
    yield 0, f"for (const {kind} *step = order; step != 0;) {{"
    yield 1, "switch (*step++) {"
    for number, texts in calls.items():
        yield 1, f"case {number}:"
        yield from ((2, text) for text in texts)
        yield 2, "break;"
    if repeats:
        yield 1, f"case {again}:"
        yield 2, "if (--turns > 0) {"
        yield 3, f"step -= {len(order.repeated) + 1};"
        yield 2, "}"
        yield 2, "break;"
    yield 1, "default:"
    yield 2, "step = 0;"
    yield 2, "break;"
    yield 1, "}"
    yield 0, "}"
