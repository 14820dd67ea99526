"""SLICE over begins and sizes; STRIDED_SLICE over strides of both signs and all five masks.

Result shapes come from NumPy's own indexing. Left out because the reference kernels refuse it: more than five
dimensions, strides of 0, empty results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..tflite_writer import Options
from .case import Case, Value, int32_constant
from .movement import activation, index_array, label, movement_case

SHAPE = (1, 6, 7, 3)
Indices = tuple[int, ...]


def cases() -> Iterator[Case]:
    """All cases of both operators; the first of each operator is its representative."""
    yield from _slices()
    for strided in dict.fromkeys(STRIDED):
        yield strided.case()
    yield STRIDED[0].case("int32")


def _slices() -> Iterator[Case]:
    combinations: tuple[tuple[Indices, Indices, Indices], ...] = (
        (SHAPE, (0, 1, 2, 0), (1, 3, 4, 3)),
        (SHAPE, (0, 1, 2, 0), (1, -1, -1, -1)),
        (SHAPE, (0, 0, 0, 1), (-1, -1, -1, 1)),
        (SHAPE, (0, 5, 6, 2), (1, 1, 1, 1)),
        (SHAPE, (0, 0, 0, 0), (1, 6, 7, 3)),
        (SHAPE, (0, 2, 0, 0), (1, 2, 7, 3)),
        ((9,), (3,), (4,)),
        ((1, 8), (0, 5), (1, -1)),
        ((1, 4, 5), (0, 1, 1), (1, 2, 3)),
        ((1, 2, 3, 4, 5), (0, 0, 1, 1, 2), (1, 2, 2, -1, 2)),
    )
    for index_dtype in ("int32", "int64"):
        for shape, begin, size in combinations if index_dtype == "int32" else combinations[:2]:
            result = [
                total - first if count < 0 else count
                for total, first, count in zip(shape, begin, size, strict=True)
            ]
            inputs = [activation(shape), _constant(begin, index_dtype), _constant(size, index_dtype)]
            description = f"{label(shape)}-begin{_text(begin)}-size{_text(size)}-{index_dtype}"
            yield movement_case("SLICE", description, inputs, [result], Options("SliceOptions"))


def _constant(values: Indices, dtype: str) -> Value:
    return Value((len(values),), dtype, None, data=np.asarray(values))


def _text(values: Indices) -> str:
    return "_".join(map(str, values))


@dataclass(frozen=True)
class StridedSlice:
    """One STRIDED_SLICE; masks are bit sets over the positions of `begin`, as in the schema."""

    shape: Indices
    begin: Indices
    end: Indices
    strides: Indices
    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0

    def masks(self) -> dict[str, int]:
        """Option fields of the five masks."""
        return {
            "begin_mask": self.begin_mask,
            "end_mask": self.end_mask,
            "ellipsis_mask": self.ellipsis_mask,
            "new_axis_mask": self.new_axis_mask,
            "shrink_axis_mask": self.shrink_axis_mask,
        }

    def result_shape(self) -> tuple[int, ...]:
        """Shape of the same expression in NumPy."""
        items: list[Any] = []
        for position, (begin, end, stride) in enumerate(zip(self.begin, self.end, self.strides, strict=True)):
            bit = 1 << position
            if self.ellipsis_mask & bit:
                items.append(Ellipsis)
            elif self.new_axis_mask & bit:
                items.append(None)
            elif self.shrink_axis_mask & bit:
                items.append(begin)
            else:
                first = None if self.begin_mask & bit else begin
                last = None if self.end_mask & bit else end
                items.append(slice(first, last, stride))
        return tuple(index_array(self.shape)[tuple(items)].shape)

    def case(self, dtype: str = "int8") -> Case:
        """Write the model."""
        set_masks = [f"{name.removesuffix('_mask')}{value}" for name, value in self.masks().items() if value]
        description = "-".join(
            [label(self.shape), _text(self.begin), _text(self.end), _text(self.strides), *set_masks]
        )
        inputs = [
            activation(self.shape, dtype),
            int32_constant(self.begin),
            int32_constant(self.end),
            int32_constant(self.strides),
        ]
        options = Options("StridedSliceOptions", self.masks())
        return movement_case(
            "STRIDED_SLICE", description, inputs, [self.result_shape()], options, dtype=dtype
        )


STRIDED: tuple[StridedSlice, ...] = (
    StridedSlice(SHAPE, (0, 1, 2, 0), (1, 5, 7, 3), (1, 1, 1, 1)),
    StridedSlice(SHAPE, (0, 0, 1, 0), (1, 6, 7, 3), (1, 2, 3, 2)),
    StridedSlice(SHAPE, (0, -4, -5, 0), (1, -1, 7, 3), (1, 1, 2, 1)),
    StridedSlice(SHAPE, (0, 5, 0, 0), (1, 1, 7, 3), (1, -1, 1, 1)),
    StridedSlice(SHAPE, (0, 5, 6, 2), (1, 0, 1, 0), (1, -2, -3, -1)),
    StridedSlice(SHAPE, (0, -1, 0, 0), (1, -7, 7, 3), (1, -1, 1, 1)),
    StridedSlice(SHAPE, (0, 9, 0, 0), (1, -9, 9, 9), (1, -1, 1, 1)),
    StridedSlice(SHAPE, (0, 2, 2, 1), (1, 4, 4, 2), (1, 1, 1, 1), begin_mask=6),
    StridedSlice(SHAPE, (0, 2, 2, 1), (1, 4, 4, 2), (1, 1, 1, 1), end_mask=6),
    StridedSlice(SHAPE, (0, 2, 2, 1), (1, 4, 4, 2), (1, 1, 1, 1), begin_mask=15, end_mask=15),
    StridedSlice(SHAPE, (0, 2, 2, 1), (1, 4, 4, 2), (1, -1, -2, 1), begin_mask=15, end_mask=15),
    StridedSlice(SHAPE, (0, 2, 3, 0), (1, 3, 4, 3), (1, 1, 1, 1), shrink_axis_mask=2),
    StridedSlice(SHAPE, (0, 2, 3, 0), (1, 3, 4, 3), (1, 1, 1, 1), shrink_axis_mask=6),
    StridedSlice(SHAPE, (0, 2, 3, 0), (1, 3, 4, 3), (1, 1, 1, 1), shrink_axis_mask=1),
    StridedSlice(SHAPE, (0, -2, 0, -1), (1, 0, 7, 0), (1, 1, 1, 1), shrink_axis_mask=10),
    StridedSlice(SHAPE, (0, 1), (1, 4), (1, 1)),
    StridedSlice(SHAPE, (0, 0, 1), (0, 0, 2), (1, 1, 1), ellipsis_mask=1, begin_mask=2, end_mask=2),
    StridedSlice(SHAPE, (0, 0, 1), (1, 0, 3), (1, 1, 1), ellipsis_mask=2),
    StridedSlice(SHAPE, (0, 1), (0, 2), (1, 1), ellipsis_mask=1, shrink_axis_mask=2),
    StridedSlice((1, 5, 4), (0, 0, 1, 0), (1, 1, 4, 3), (1, 1, 1, 1), new_axis_mask=2),
    StridedSlice((1, 5, 4), (0, 0, 0, 1), (1, 5, 1, 4), (1, 1, 1, 2), new_axis_mask=4),
    StridedSlice((9,), (2,), (8,), (2,)),
    StridedSlice((9,), (-1,), (0,), (-3,), end_mask=1),
    StridedSlice((1, 8), (0, 3), (1, 8), (1, 2)),
    StridedSlice((1, 5, 4), (0, 1, 0), (1, 5, 4), (1, 3, 1)),
    StridedSlice((1, 2, 3, 4, 5), (0, 0, 1, 0, 4), (1, 2, 3, 4, 0), (1, 1, 1, 2, -2)),
)
