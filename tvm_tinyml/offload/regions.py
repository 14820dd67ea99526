"""Convex regions of operators for one of two devices.

Every operator gets a level: how often the data on its way to it have changed the device. Operators of one device and
level make one region. No way leads out of a region and back into it, since that would change the device twice and so
raise the level; therefore a region can be one call. Operators first take the lowest level that they may have, then the
highest that what reads them allows, so that those without a predecessor join the region of their readers.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def levels(reads: Mapping[Key, Sequence[Key]], on_device: Mapping[Key, bool]) -> dict[Key, int]:
    """The level of every operator.

    reads: for each operator, in an order in which producers come first, the operators whose results it reads.
    """
    found: dict[Key, int] = {}
    readers: dict[Key, list[Key]] = {key: [] for key in reads}
    for key, sources in reads.items():
        for source in sources:
            readers[source].append(key)
        found[key] = max((found[one] + (on_device[one] != on_device[key]) for one in sources), default=0)
    for key in reversed(list(reads)):
        if readers[key]:
            found[key] = min(found[one] - (on_device[one] != on_device[key]) for one in readers[key])
    return found
