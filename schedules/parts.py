"""What a layer's instructions are spent on, as cost models count them; reports compare layers by it."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Parts:
    """Estimated instructions of a layer.

    products: multiplications and additions with the loads of their operands.
    outputs: requantisation and stores.
    copies: bringing pixels and weights into another layout.
    calls: calls of micro-kernels, and what comes once per channel, row or tile.
    multiplications: how many of the products' instructions multiply; no part of the total.
    """

    products: float = 0.0
    outputs: float = 0.0
    copies: float = 0.0
    calls: float = 0.0
    multiplications: float = 0.0

    @property
    def total(self) -> float:
        """All instructions."""
        return self.products + self.outputs + self.copies + self.calls

    def __add__(self, other: Parts) -> Parts:
        return Parts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: float) -> Parts:
        return Parts(*(times * one for one in astuple(self)))
