"""Statements for line buffers that float (`patch/floating.py`): a pointer that moves, and rows that move with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tvm_tinyml.patch.block import Placed
from tvm_tinyml.patch.floating import shifts
from tvm_tinyml.patch.region import RegionShape

from .streaming import WORKSPACE
from .terms import plus


class FloatingLines:
    """Those of one region.

    makers: numbers of the operations that make line buffers, by tensor. block: in which they lie, with others perhaps.
    keep: the first row of a tensor that is still needed.
    """

    def __init__(
        self, shape: RegionShape, makers: Mapping[str, int], block: Placed, keep: Callable[[str], str]
    ) -> None:
        self.shape = shape
        self.makers = makers
        self.keep = keep
        self.offsets = block.offsets
        self.lifts = {tensor: lifts for tensor, lifts in block.lifts.items() if tensor in makers}
        self.moved = {tensor: frozenset(shifts(shape.stream, lifts)) for tensor, lifts in self.lifts.items()}

    def declared(self) -> Iterator[str]:
        """Where they lie at first."""
        first = self.shape.stream.events[0].operation
        for tensor, made in self.makers.items():
            if tensor in self.lifts:
                yield f"int8_t *line_{made} = {self._place(tensor, first)};"

    def shifted(self, number: int) -> Iterator[str]:
        """What moves them to where they lie while operation `number` runs."""
        for tensor, operations in self.moved.items():
            if number in operations:
                made, place = self.makers[tensor], self._place(tensor, number)
                size = f"(row_{made} - first_{made}) * {self.shape.pitch(tensor)}"
                yield f"line_{made} = tinyml_shift_rows({place}, line_{made}, {size});"

    def passed(self, number: int) -> Iterator[str]:
        """After a row that operation `number` has not made but filled: rows that it does not need for that are gone."""
        for tensor in dict.fromkeys(read.tensor for read in self.shape.operations[number].reads):
            if tensor in self.lifts:
                made = self.makers[tensor]
                rest = f"first_{made}, row_{made}, {self.keep(tensor)}"
                yield f"first_{made} = tinyml_settle_rows(line_{made}, {self.shape.pitch(tensor)}, {rest});"

    def _place(self, tensor: str, number: int) -> str:
        return plus(WORKSPACE, self.offsets[tensor] + self.lifts[tensor][number])
