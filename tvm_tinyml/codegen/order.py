"""A sequence as a beginning, a part that repeats and an end: tables of calls need not grow with the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Repetition:
    """`first`, then `times` times `repeated`, then `last`."""

    first: tuple[int, ...]
    repeated: tuple[int, ...]
    times: int
    last: tuple[int, ...]

    @property
    def table(self) -> tuple[int, ...]:
        """What has to be stored."""
        return (*self.first, *self.repeated, *self.last)

    def expand(self) -> tuple[int, ...]:
        """The whole sequence."""
        return (*self.first, *self.repeated * self.times, *self.last)


def fold(sequence: Sequence[int]) -> Repetition:
    """The shortest table for `sequence`, by trying every period; quadratic in its length."""
    values = tuple(sequence)
    best = Repetition(values, (), 1, ())
    for period in range(1, len(values) // 2 + 1):
        begin, length = _longest_run(values, period)
        times = length // period + 1
        if (times - 1) * period > len(values) - len(best.table):
            end = begin + times * period
            best = Repetition(values[:begin], values[begin : begin + period], times, values[end:])
    return best


def _longest_run(values: tuple[int, ...], period: int) -> tuple[int, int]:
    """Begin and length of the longest run of elements that are equal to the one `period` later."""
    best, begin = (0, 0), 0
    for index in range(len(values) - period + 1):
        if index == len(values) - period or values[index] != values[index + period]:
            if index - begin > best[1]:
                best = (begin, index - begin)
            begin = index + 1
    return best
