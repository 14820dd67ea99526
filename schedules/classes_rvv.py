"""Classes of channels by how many of their products fit into 16 bits.

Channels of small weights need their sums widened less often. Each class has a micro-kernel of its own, so a class has
to save more than its code costs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .intrinsics.rvv.assembly import Assembly
from .kernel import Array

# Instructions per inference that a byte of code has to save.
INSTRUCTIONS_PER_BYTE = 8.0


@dataclass(frozen=True)
class ChannelClass:
    """Channels, in any order, whose products are summed in groups of `group` taps."""

    group: int
    channels: tuple[int, ...]


def classify(possible: Array, assemble: Callable[[int], Assembly], calls: float) -> list[ChannelClass]:
    """The cheapest division of the channels into classes.

    possible: largest group of each channel (`possible_groups`).
    assemble: code of a tile for a group.
    calls: executions of a tile per channel, in one inference.
    """
    lowest, *others = sorted({int(group) for group in possible})
    code = {group: assemble(group) for group in (lowest, *others)}

    def cost(division: list[ChannelClass]) -> float:
        return sum(
            calls * len(entry.channels) * code[entry.group].executed
            + INSTRUCTIONS_PER_BYTE * code[entry.group].code_bytes
            for entry in division
        )

    choices = [chosen for count in range(len(others) + 1) for chosen in itertools.combinations(others, count)]
    return min((_divide(possible, (lowest, *chosen)) for chosen in choices), key=cost)


def _divide(possible: Array, groups: tuple[int, ...]) -> list[ChannelClass]:
    """Every channel in the class of the largest group that it allows."""
    taken = np.array(groups)[np.searchsorted(groups, possible, side="right") - 1]
    return [ChannelClass(group, tuple(int(c) for c in np.flatnonzero(taken == group))) for group in groups]
