"""How products are summed in 16 bits before they are widened: groups of taps that cannot overflow.

An int8 activation times weights w_0 ... w_{g-1} summed stays within int16 when the magnitudes of the weights sum to
at most 255 (128 * 255 < 2**15). Two weights of TFLite's range [-127, 127] always do; a layer of small weights
allows more, and two weights of -128 do not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...kernel import Array

MAX_MAGNITUDE = 255
GROUPS = (8, 6, 4, 3, 2)
# Taps that are unrolled: some 750 bytes of code.
UNROLLED = 32


def unrolling(taps: int, group: int) -> tuple[int, int]:
    """(unrolled taps per pass, passes) of a run of `taps`; what is left over is unrolled behind the loop."""
    if taps <= UNROLLED + group:
        return taps, 1
    sizes = [size for size in range(UNROLLED // 2, UNROLLED + 1) if size % group == 0]
    # The longest pass whose leftovers do not make the code much longer.
    best = max(sizes, key=lambda size: (size + taps % size <= UNROLLED + group, size))
    return best, taps // best


def runs(taps: int, group: int) -> list[tuple[int, int]]:
    """Half-open ranges of taps that are summed in 16 bits, in the order of one row of `taps`."""
    size, passes = unrolling(taps, group)
    bodies = [(index * size, (index + 1) * size) for index in range(passes)]
    if size * passes < taps:
        bodies.append((size * passes, taps))
    return [(at, min(at + group, end)) for begin, end in bodies for at in range(begin, end, group)]


def consecutive(taps: int, group: int) -> list[tuple[int, int]]:
    """Half-open ranges of taps that are summed in 16 bits where all taps are unrolled."""
    return [(at, min(at + group, taps)) for at in range(0, taps, group)]


def possible_groups(weight: Array, ranges: Callable[[int, int], list[tuple[int, int]]] = runs) -> Array:
    """Most taps of each channel that can be summed in 16 bits everywhere, int64[channels].

    weight: int8[channels, rows, taps per row].
    ranges: how a row of so many taps is divided into groups of so many.
    """
    magnitude = np.abs(weight.astype(np.int64))
    possible = np.ones(len(weight), np.int64)
    for group in sorted(GROUPS):
        sums = [magnitude[:, :, first:end].sum(axis=2) for first, end in ranges(weight.shape[2], group)]
        fits = np.concatenate(sums, axis=1).max(axis=1) <= MAX_MAGNITUDE
        possible = np.where(fits, group, possible)
    return possible
