"""Executed code cut into straight runs of equal count: the pieces that are priced once each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tvm_tinyml.profile.listing import Stretch


@dataclass(frozen=True)
class Run:
    """Consecutive instructions of `function` that were executed `count` times each."""

    function: str
    texts: tuple[str, ...]
    count: int


def straight_runs(listing: Iterable[Stretch], counts: Mapping[int, int]) -> Iterator[Run]:
    """Cut a program at every change of its execution counts and leave out what was not executed.

    counts: executions by address. The count of a group is that of its first instruction.
    """
    for stretch in listing:
        texts: list[str] = []
        count = 0
        for group in stretch.groups:
            executed = counts.get(group.addresses[0], 0)
            if executed != count:
                if count:
                    yield Run(stretch.function, tuple(texts), count)
                texts, count = [], executed
            texts += group.texts
        if count:
            yield Run(stretch.function, tuple(texts), count)


def called_functions(listing: Iterable[Stretch]) -> dict[str, set[str]]:
    """Functions that each function branches to directly."""
    calls: dict[str, set[str]] = {}
    for stretch in listing:
        called = calls.setdefault(stretch.function, set())
        for group in stretch.groups:
            called.update(name for name in group.calls if name != stretch.function)
    return calls
