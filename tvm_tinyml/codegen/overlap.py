"""How far the output of a function may reach into an input that nobody reads afterwards.

An output byte may take the place of an input byte that is not read any more when it is written. That holds for every
placement in which the output begins far enough below the input (vMCU, Zheng et al., 2024), and often for the very same
place, as of channels that are gathered, convolved and written back one group after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .access_order import Ints, Touch

_NEVER = np.iinfo(np.int64).max


class Overlap(NamedTuple):
    """Placements of an input and the output that keep what is read intact.

    distance: bytes by which the output has to begin below the input, or more.
    same_place: whether both may begin at the same byte.
    """

    distance: int
    same_place: bool


def overlap_of(touches: Sequence[Touch], source: str, output: str) -> Overlap | None:
    """Overlap of two buffer parameters of a function, of which one is read and the other one written.

    touches: everything that happens to the two. None where some byte is never said to be read or
    nothing to be written.
    """
    last_read = _times([one for one in touches if one.buffer == source and not one.writes])
    first_write = _times([one for one in touches if one.buffer == output and one.writes])
    if last_read is None or first_write is None or (last_read < 0).any():
        return None
    # Of every byte and those behind it, the first one that is written.
    behind = np.minimum.accumulate(first_write[::-1])[::-1]
    free = np.searchsorted(behind, last_read, side="right")
    common = min(len(last_read), len(first_write))
    return Overlap(
        max(0, int((free - np.arange(len(last_read))).max())),
        bool((first_write[:common] > last_read[:common]).all()),
    )


def _times(touches: Sequence[Touch]) -> Ints | None:
    """For every byte the moment of the last read, -1 without any, or of the first write."""
    if not touches:
        return None
    writes = touches[0].writes
    times = np.full(touches[0].shape, _NEVER if writes else -1, np.int64)
    every = [event for touch in touches for event in touch.boxes()]
    for time, box in sorted(every, key=lambda event: -event[0] if writes else event[0]):
        times[box] = time
    return np.repeat(times.reshape(-1), touches[0].itemsize)
