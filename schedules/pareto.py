"""Which ways of one rule are worth offering: those that nothing beats in both instructions and scratch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def undominated(options: Iterable[T], cost: Callable[[T], tuple[float, int]]) -> list[T]:
    """The options that take less scratch than every faster one, the fastest first.

    cost: instructions and bytes of scratch of an option.
    """
    kept: list[T] = []
    for option in sorted(options, key=cost):
        if not kept or cost(option)[1] < cost(kept[-1])[1]:
            kept.append(option)
    return kept
