"""Which rows and columns of its inputs an operator reads, and which columns of every tensor a strip needs.

Derived from the operators' bounds maps, so that nothing here knows an operator by name. The last dimension but two is
rows, the last but one columns (NHWC).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ..dialect import Operator
from ..dialect.bounds import AxisBounds, Whole, Window
from ..dialect.relax_api import Array, Attrs, TensorSpec
from ..errors import PlanError

RANK, ROWS, COLUMNS = 4, 1, 2
Index = TypeVar("Index", int, Array)


@dataclass(frozen=True)
class Sliding:
    """One axis read through a window: output index `o` reads `extent` elements from `o * stride + first` on."""

    stride: int
    first: int
    extent: int

    def begin(self, output: Index) -> Index:
        """First element that output index `output` reads; negative when it lies before the axis."""
        return output * self.stride + self.first

    def span(self, outputs: int) -> int:
        """Elements that `outputs` neighbouring output indices read together."""
        return (outputs - 1) * self.stride + self.extent

    def through(self, below: Sliding) -> Sliding:
        """This window over an axis whose elements are read through the window `below` themselves."""
        return Sliding(self.stride * below.stride, below.begin(self.first), below.span(self.extent))

    def joined(self, other: Sliding) -> Sliding:
        """The least window that covers both; ValueError when they move at different speeds."""
        if self.stride != other.stride:
            raise ValueError(f"windows move by {self.stride} and {other.stride}")
        first = min(self.first, other.first)
        end = max(self.first + self.extent, other.first + other.extent)
        return Sliding(self.stride, first, end - first)


PIXEL = Sliding(1, 0, 1)
"""Every element by itself."""


@dataclass(frozen=True)
class Read:
    """How an operation reads an image: which tensor, and its windows over rows and columns."""

    tensor: str
    rows: Sliding
    columns: Sliding


@dataclass(frozen=True)
class Operation:
    """One operator of a region, or a segment of them, reduced to geometry.

    output: tensor it makes, of `height` rows and `width` columns; rows: rows it makes per call.
    reads: images it reads; operands without rows are left out.
    members: the operators of a segment, which reads and makes nothing outside of the image.
    lead: rows of a segment's first call. sweep: columns of its output that its members make at a time.
    accumulates: it has no rows of its own but takes in those of the image it reads: `height`, `width` and `rows` are
        of that image.
    """

    name: str
    output: str
    height: int
    width: int
    rows: int
    reads: tuple[Read, ...]
    members: tuple[Operation, ...] = ()
    lead: int = 0
    accumulates: bool = False
    sweep: int = 1

    @property
    def calls(self) -> int:
        """Calls that make all rows; the last one may go beyond the image."""
        return -(-(self.height - self.lead) // self.rows) + bool(self.lead)

    def made(self, done: int) -> int:
        """Rows that the next call makes when `done` are there; of an operator, those beyond the image included."""
        if not self.members:
            return self.rows
        return min(self.rows if done else self.lead, self.height - done)

    def reach(self, read: Read, done: int, height: int) -> int:
        """End of the rows that the next call reads of a tensor of `height` rows."""
        end = read.rows.begin(done) + read.rows.span(self.made(done))
        return min(end, height) if self.members else end

    @property
    def transposed(self) -> Operation:
        """The operator with rows and columns swapped, one of the new rows per call."""
        reads = tuple(Read(read.tensor, read.columns, read.rows) for read in self.reads)
        return Operation(self.name, self.output, self.width, self.height, 1, reads)


@dataclass(frozen=True)
class Columns:
    """Columns of a tensor in each strip: `width` of them from `strip * step + first` on, the image's edges ignored."""

    step: int
    first: int
    width: int


def keeping_pace(operations: Sequence[Operation], rows: int) -> list[Operation]:
    """Operations of a region whose last one makes so many rows per call, the others as many as it uses up."""
    last = operations[-1]
    pace = {last.output: min(rows, last.height)}
    found = []
    for operation in reversed(operations):
        own = min(pace[operation.output], operation.height)
        found.append(replace(operation, rows=own))
        for read in operation.reads:
            wanted = pace[operation.output] * read.rows.stride
            pace[read.tensor] = max(pace.get(read.tensor, 1), wanted)
    return found[::-1]


def sliding(
    operator: Operator, specs: Sequence[TensorSpec], attrs: Attrs, index: int
) -> tuple[Sliding, Sliding]:
    """How a call reads rows and columns of its input `index`.

    specs: types of all inputs. Raises PlanError when that input cannot be read row by row.
    """
    bounds = operator.bounds(specs, attrs)[index].axes
    if len(bounds) == RANK:
        rows, columns = (_sliding(bounds[axis], axis) for axis in (ROWS, COLUMNS))
        if rows is not None and columns is not None:
            return rows, columns
    raise PlanError(
        f"patch plan: {operator.name} {attrs['name']!r} does not read {operator.inputs[0]!r} row by row; "
        "leave it out of the region"
    )


def _sliding(bounds: AxisBounds, axis: int) -> Sliding | None:
    if isinstance(bounds, Window) and bounds.axis == axis and bounds.denominator == 1:
        return Sliding(bounds.numerator, bounds.first, bounds.last - bounds.first + 1)
    return None


def is_image(operator: Operator, specs: Sequence[TensorSpec], attrs: Attrs, index: int) -> bool:
    """Whether input `index` has rows that follow those of the output; False for operands that are read whole."""
    bounds = operator.bounds(specs, attrs)[index].axes
    return not (all(isinstance(axis, Whole) for axis in bounds[-3:-1]) or len(bounds) < RANK)


def strip_columns(operations: Sequence[Operation], strip: int) -> dict[str, Columns]:
    """Columns of every tensor made in a region for strips of `strip` columns of its last operation's output.

    Raises PlanError when two readers of a tensor move over it at different speeds.
    """
    return columns_for(operations, Columns(strip, 0, strip))


def columns_for(operations: Sequence[Operation], output: Columns) -> dict[str, Columns]:
    """Columns of every tensor made in a region for given ones of its last operation's output.

    Raises PlanError when two readers of a tensor move over it at different speeds.
    """
    found = {operations[-1].output: output}
    made = {operation.output for operation in operations}
    for operation in reversed(operations):
        for read in operation.reads:
            if read.tensor in made:
                needed = read_columns(read, found[operation.output])
                found[read.tensor] = _union(read.tensor, found.get(read.tensor, needed), needed)
    return found


def read_columns(read: Read, output: Columns) -> Columns:
    """Columns of the tensor of `read` that the columns `output` of its reader need."""
    window = read.columns
    return Columns(output.step * window.stride, window.begin(output.first), window.span(output.width))


def _union(tensor: str, one: Columns, other: Columns) -> Columns:
    if one.step != other.step:
        raise PlanError(
            f"patch plan: readers of {tensor!r} move over it by {one.step} and {other.step} columns per strip; "
            "use strips of the whole width or split the region"
        )
    first = min(one.first, other.first)
    return Columns(one.step, first, max(one.first + one.width, other.first + other.width) - first)


def full_columns(operations: Sequence[Operation]) -> Mapping[str, Columns]:
    """Columns of every tensor made in a region without strips."""
    return {operation.output: Columns(0, 0, operation.width) for operation in operations}
