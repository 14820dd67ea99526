"""A region of a module as it will run: the small problem each operator solves per call, buffers, order and work.

`shape_region` derives all of that from the calls and a `Region` of a plan; lowering and search ask the same function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..dialect import Operator
from ..dialect.registry import IN_PLACE
from ..dialect.relax_api import Attrs, TensorSpec
from ..errors import PlanError
from .geometry import (
    COLUMNS,
    RANK,
    ROWS,
    Columns,
    Operation,
    Read,
    full_columns,
    is_image,
    read_columns,
    sliding,
    strip_columns,
)
from .plan import Region
from .pulling import Request, pulling, pulls_of, requests
from .rows import RowStream, stream_rows


@dataclass(frozen=True)
class Node:
    """One call of a dialect operator: `inputs` are names of tensors, None for constants; `specs` their types."""

    operator: Operator
    attrs: Attrs
    inputs: tuple[str | None, ...]
    specs: tuple[TensorSpec, ...]
    output: TensorSpec

    @property
    def name(self) -> str:
        """Name of the call."""
        return str(self.attrs["name"])

    @property
    def tensor(self) -> str:
        """Name of the tensor it makes."""
        return str(self.attrs["tensor"])


@dataclass(frozen=True)
class Stage:
    """What an operator of a region computes in one call: input types, attributes and output type."""

    node: Node
    operation: Operation
    specs: tuple[TensorSpec, ...]
    attrs: Attrs
    output: TensorSpec

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one call."""
        return self.node.operator.macs(self.specs, self.attrs)


@dataclass(frozen=True)
class RegionShape:
    """A region as it will run.

    strips: how often the rows are streamed; whole: strips of the whole width, horizontal padding is done by the
        operators then.
    columns: of every tensor made inside, or fetched.
    stream: of `operations`.
    borders: value of the elements outside the image, by tensor; tensors without such a value are left out.
    pulls: operations that fetch rows of inputs of the model; whole_rows: of the whole width, even for strips.
    """

    stages: tuple[Stage, ...]
    strips: int
    whole: bool
    columns: Mapping[str, Columns]
    stream: RowStream
    borders: Mapping[str, int]
    pulls: tuple[Operation, ...] = ()
    whole_rows: bool = False

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """What fetches, then what the stages compute."""
        return (*self.pulls, *(stage.operation for stage in self.stages))

    @cached_property
    def specs(self) -> dict[str, TensorSpec]:
        """Types of all tensors that the region reads or makes."""
        found = {stage.node.tensor: stage.node.output for stage in self.stages}
        for stage in self.stages:
            for tensor, spec in zip(stage.node.inputs, stage.node.specs, strict=True):
                if tensor is not None:
                    found[tensor] = spec
        return found

    @property
    def inputs(self) -> tuple[str, ...]:
        """Tensors made before the region which it reads, in order of their first use; nothing that it fetches."""
        made = {operation.output for operation in self.operations}
        read = (tensor for stage in self.stages for tensor in stage.node.inputs)
        return tuple(dict.fromkeys(tensor for tensor in read if tensor is not None and tensor not in made))

    @property
    def output(self) -> str:
        """The tensor it makes."""
        return self.stages[-1].node.tensor

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all calls, repeated ones and those outside the image included."""
        return self.strips * sum(stage.operation.calls * stage.macs for stage in self.stages)

    @property
    def requests(self) -> list[Request]:
        """What it fetches, in order."""
        columns = [self.columns[operation.output] for operation in self.pulls]
        return list(requests(self.pulls, columns, self.stream, self.strips, whole_rows=self.whole_rows))

    def pitch(self, tensor: str) -> int:
        """Bytes of one row of the line buffer of `tensor`."""
        spec = self.specs[tensor]
        return self.columns[tensor].width * pixel_bytes(spec)


def pixel_bytes(spec: TensorSpec) -> int:
    """Bytes of one pixel of an NHWC tensor."""
    return spec.nbytes // (spec.shape[ROWS] * spec.shape[COLUMNS])


def shape_region(
    nodes: Sequence[Node],
    region: Region,
    pulled: frozenset[str] = frozenset(),
    *,
    whole_rows: bool = False,
) -> RegionShape:
    """The region of `nodes`, the calls named by `region.operators` in that order.

    pulled: inputs of the model that are fetched, in rows of the whole width with `whole_rows`.
    Raises PlanError when an operator cannot be computed row by row, strip by strip, or border values contradict.
    """
    operations = region_operations(nodes, region)
    specs = {
        tensor: spec for node in nodes for tensor, spec in zip(node.inputs, node.specs, strict=True) if tensor
    }
    pulls = tuple(pulling(tensor, specs[tensor]) for tensor in pulls_of(operations, pulled))
    every = (*pulls, *operations)
    width = operations[-1].width
    whole = region.strip >= width
    columns = full_columns(every) if whole else strip_columns(every, region.strip)
    return RegionShape(
        stages=tuple(
            _stage(node, operation, columns[operation.output], whole)
            for node, operation in zip(nodes, operations, strict=True)
        ),
        strips=1 if whole else -(-width // region.strip),
        whole=whole,
        columns={operation.output: columns[operation.output] for operation in every},
        stream=stream_rows(every),
        borders=_borders(nodes),
        pulls=pulls,
        whole_rows=whole_rows,
    )


def region_operations(nodes: Sequence[Node], region: Region) -> list[Operation]:
    """Geometry of the calls of a region.

    Raises PlanError when one cannot be computed row by row, or reads a tensor as a whole whose rows pass by.
    """
    operations = [operation_of(node, region.rows[node.name]) for node in nodes]
    made = {operation.output for operation in operations}
    for node, operation in zip(nodes, operations, strict=True):
        streamed = {read.tensor for read in operation.reads}
        for tensor in node.inputs:
            if tensor in made and tensor not in streamed:
                raise PlanError(
                    f"patch plan: {node.operator.name} {node.name!r} reads all of {tensor!r}, which is made in "
                    "the same region; end the region before it"
                )
    return operations


def operation_of(node: Node, rows: int) -> Operation:
    """Geometry of a call that makes `rows` rows at a time; PlanError when it cannot be computed row by row."""
    shape = node.output.shape
    if len(shape) != RANK or shape[0] != 1 or node.operator.is_view or node.attrs.get(IN_PLACE):
        raise PlanError(
            f"patch plan: {node.operator.name} {node.name!r} makes no image of one batch, but {list(shape)}; "
            "leave it out of the region"
        )
    reads = []
    for index, tensor in enumerate(node.inputs):
        if tensor is not None and is_image(node.operator, node.specs, node.attrs, index):
            reads.append(Read(tensor, *sliding(node.operator, node.specs, node.attrs, index)))
    height = shape[ROWS]
    return Operation(node.name, node.tensor, height, shape[COLUMNS], min(rows, height), tuple(reads))


def _stage(node: Node, operation: Operation, output: Columns, whole: bool) -> Stage:
    """The problem of one call: the rows and columns of its windows, vertical padding already part of them."""
    attrs = dict(node.attrs)
    if "padding" in attrs:
        top, left, bottom, right = attrs["padding"]
        outside = (top, bottom) if whole else (top, left, bottom, right)
        if any(outside) and node.operator.border(attrs) is None:
            raise PlanError(
                f"patch plan: no value stands for the padding of {node.operator.name} {node.name!r}; "
                "leave it out of the region"
            )
        attrs["padding"] = (0, left, 0, right) if whole else (0, 0, 0, 0)
    reads = {read.tensor: read for read in operation.reads}
    specs = []
    for tensor, spec in zip(node.inputs, node.specs, strict=True):
        if tensor in reads:
            rows = reads[tensor].rows.span(operation.rows)
            width = spec.shape[COLUMNS] if whole else read_columns(reads[tensor], output).width
            spec = TensorSpec((1, rows, width, spec.shape[-1]), spec.dtype)
        specs.append(spec)
    expected = TensorSpec((1, operation.rows, output.width, node.output.shape[-1]), node.output.dtype)
    try:
        found: TensorSpec | None = node.operator.infer(specs, attrs)
    except ValueError:
        found = None
    if found != expected:
        raise PlanError(
            f"patch plan: {node.operator.name} {node.name!r} cannot make {operation.rows} of its rows on their own; "
            "leave it out of the region"
        )
    return Stage(node, operation, tuple(specs), attrs, expected)


def _borders(nodes: Sequence[Node]) -> dict[str, int]:
    borders: dict[str, int] = {}
    for node in nodes:
        value = node.operator.border(node.attrs)
        if value is None or node.inputs[0] is None or not any(node.attrs["padding"]):
            continue
        if borders.setdefault(node.inputs[0], value) != value:
            raise PlanError(
                f"patch plan: readers of {node.inputs[0]!r} pad it with {borders[node.inputs[0]]} and {value}; "
                "split the region between them"
            )
    return borders
