"""The result of planning: where everything lies in the arena, and how good that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MemoryPlan:
    """Byte offsets in one arena whose start is aligned to `alignment`.

    offsets: tensor or view name -> byte offset.
    scratch_offsets: scratch buffer name -> byte offset, valid during its step.
    arena_bytes: size of the arena.
    lower_bound: bytes proven necessary for this order of steps.
    method: "greedy" or "exact", the planner that ended with this result.
    optimal: no smaller arena exists for this order of steps.
    alignment: bytes; the largest alignment of any tensor.
    keep_all: every tensor still holds its bytes after the last step.
    """

    offsets: Mapping[str, int]
    scratch_offsets: Mapping[str, int]
    arena_bytes: int
    lower_bound: int
    method: str
    optimal: bool
    alignment: int
    keep_all: bool = False

    @property
    def gap(self) -> float:
        """Arena above the lower bound, as a fraction of the lower bound; 0.0 for an optimal plan."""
        return self.arena_bytes / self.lower_bound - 1.0 if self.lower_bound else 0.0
