"""A region of a module as it will run: the small problem each operator solves per call, buffers, order and work.

`shape_region` derives all of that from the calls and a `Region` of a plan; lowering and search ask the same function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..dialect import Operator
from ..dialect.registry import ACCUMULATE, IN_PLACE
from ..dialect.relax_api import Attrs, TensorSpec
from ..errors import PlanError
from .bands import segment_operation, sweep
from .geometry import (
    COLUMNS,
    PIXEL,
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
from .plan import Region, Segment
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

    @property
    def transposed(self) -> Node:
        """The call with rows and columns of all images swapped; PlanError when there is none."""
        attrs = self.operator.transposed(self.attrs)
        if attrs is None or any(len(spec.shape) in (2, 3) for spec in self.specs):
            raise PlanError(
                f"patch plan: {self.operator.name} {self.name!r} cannot be computed with rows and columns swapped; "
                "leave it out of segments"
            )
        specs = tuple(_swapped(spec) for spec in self.specs)
        return replace(self, attrs=attrs, specs=specs, output=_swapped(self.output))


def _swapped(spec: TensorSpec) -> TensorSpec:
    if len(spec.shape) != RANK:
        return spec
    batch, rows, columns, channels = spec.shape
    return TensorSpec((batch, columns, rows, channels), spec.dtype)


@dataclass(frozen=True)
class Stage:
    """What an operator of a region computes in one call: input types, attributes and output type."""

    node: Node
    operation: Operation
    specs: tuple[TensorSpec, ...]
    attrs: Attrs
    output: TensorSpec

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The operator."""
        return (self.node,)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one call."""
        return self.node.operator.macs(self.specs, self.attrs)

    @property
    def initial(self) -> int:
        """Byte that fills the output of an operator that accumulates before the region begins."""
        value = self.node.operator.accumulates(self.attrs)
        assert value is not None
        return value


@dataclass(frozen=True)
class SegmentStage:
    """What a segment of a region computes in one call: one of the strips of `band`.

    nodes: its operators. band: the region they are with rows and columns swapped; the strips of that are bands.
    ranges: columns of every tensor made inside, by strip of the region; None when whole columns are made.
    """

    nodes: tuple[Node, ...]
    operation: Operation
    band: RegionShape
    ranges: Mapping[str, Columns] | None

    @property
    def node(self) -> Node:
        """The operator that makes the segment's output."""
        return self.nodes[-1]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one call."""
        return self.band.macs // self.band.strips


@dataclass(frozen=True)
class RegionShape:
    """A region as it will run.

    strips: how often the rows are streamed; whole: strips of the whole width, horizontal padding is done by the
        operators then.
    columns: of every tensor made inside, or fetched.
    stream: of `operations`.
    borders: value of the elements outside the image, by tensor; tensors without such a value are left out.
    pulls: operations that fetch rows of inputs of the model; whole_rows: of the whole width, even for strips.
    settling, floating: as in `plan.Region`.
    """

    stages: tuple[Stage | SegmentStage, ...]
    strips: int
    whole: bool
    columns: Mapping[str, Columns]
    stream: RowStream
    borders: Mapping[str, int]
    pulls: tuple[Operation, ...] = ()
    whole_rows: bool = False
    settling: frozenset[str] = frozenset()
    floating: bool = False

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """What fetches, then what the stages compute."""
        return (*self.pulls, *(stage.operation for stage in self.stages))

    @cached_property
    def specs(self) -> dict[str, TensorSpec]:
        """Types of all tensors that the region reads or makes."""
        found = {node.tensor: node.output for node in self.nodes}
        for node in self.nodes:
            for tensor, spec in zip(node.inputs, node.specs, strict=True):
                if tensor is not None:
                    found[tensor] = spec
        return found

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The operators, in order."""
        return tuple(node for stage in self.stages for node in stage.nodes)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Tensors made before the region which it reads, in order of their first use; nothing that it fetches."""
        made = {node.tensor for node in self.nodes} | {operation.output for operation in self.pulls}
        read = (tensor for node in self.nodes for tensor in node.inputs)
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

    @cached_property
    def handed_on(self) -> dict[str, tuple[int, int]]:
        """Tensors in line buffers that one stage makes and one other reads in its whole width, with both numbers.

        Segments are no such stages, nor are those that are settling.
        """
        found = {}
        for maker, stage in enumerate(self.stages):
            if stage.node.name in self.settling:
                continue
            tensor = stage.node.tensor
            uses = [
                index for index, one in enumerate(self.stages) for node in one.nodes if tensor in node.inputs
            ]
            if len(uses) == 1 and tensor in self.stream.buffers and isinstance(stage, Stage):
                (reader,) = uses
                read, *others = (one for one in self.stages[reader].operation.reads if one.tensor == tensor)
                columns = self.columns[self.stages[reader].node.tensor]
                if (
                    not others
                    and isinstance(self.stages[reader], Stage)
                    and (self.whole or read_columns(read, columns) == self.columns[tensor])
                ):
                    found[tensor] = maker, reader
        return found

    def plane(self, tensor: str) -> int:
        """Bytes of one channel in the line buffer of `tensor`, where it holds planes."""
        return self.stream.buffers[tensor].rows * self.columns[tensor].width

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
    stages: list[Stage | SegmentStage] = []
    for (chosen, segment), operation in zip(_units(nodes, region), operations, strict=True):
        output = columns[operation.output]
        if segment is None:
            stages.append(stage_of(chosen[0], operation, output, whole))
        else:
            stages.append(_segment(chosen, operation, None if whole else output))
    return RegionShape(
        stages=tuple(stages),
        strips=1 if whole else -(-width // region.strip),
        whole=whole,
        columns={operation.output: columns[operation.output] for operation in every},
        stream=stream_rows(every),
        borders=_borders([node for (node, *_), segment in _units(nodes, region) if segment is None]),
        pulls=pulls,
        whole_rows=whole_rows,
        settling=frozenset(region.settling),
        floating=region.floating,
    )


def _units(nodes: Sequence[Node], region: Region) -> list[tuple[tuple[Node, ...], Segment | None]]:
    """The units of a region with their calls."""
    named = {node.name: node for node in nodes}
    return [(tuple(named[name] for name in names), segment) for names, segment in region.units]


def region_operations(nodes: Sequence[Node], region: Region) -> list[Operation]:
    """Geometry of the calls of a region.

    Raises PlanError when one cannot be computed row by row, reads a tensor as a whole whose rows pass by, or has its
    result only when all rows have passed by and is not the last.
    """
    operations = []
    alone: list[Operation] = []
    for chosen, segment in _units(nodes, region):
        members = [operation_of(node, 1 if segment else region.rows[node.name]) for node in chosen]
        for node, member in zip(chosen, members, strict=True):
            if member.accumulates and (segment is not None or node is not nodes[-1]):
                raise PlanError(
                    f"patch plan: {node.operator.name} {node.name!r} has its result after the last row; "
                    "end the region with it, outside of segments"
                )
        alone += members
        operations += [_banded(members, segment)] if segment else members
    made = {operation.output for operation in alone}
    for node, operation in zip(nodes, alone, strict=True):
        streamed = {read.tensor for read in operation.reads}
        for tensor in node.inputs:
            if tensor in made and tensor not in streamed:
                raise PlanError(
                    f"patch plan: {node.operator.name} {node.name!r} reads all of {tensor!r}, which is made in "
                    "the same region; end the region before it"
                )
    return operations


def _banded(members: Sequence[Operation], segment: Segment) -> Operation:
    return segment_operation(members, segment.rows, segment.lead, segment.columns)


def _segment(nodes: tuple[Node, ...], operation: Operation, output: Columns | None) -> SegmentStage:
    """A segment; output: columns of its output in each strip, None for the whole width."""
    swapped = [node.transposed for node in nodes]
    swept = sweep(operation, output)
    stages = tuple(
        stage_of(node, member, swept.bands[member.output], whole=False)
        for node, member in zip(swapped, swept.operations, strict=True)
    )
    band = RegionShape(
        stages=stages,
        strips=operation.calls,
        whole=False,
        columns=swept.bands,
        stream=stream_rows(swept.operations),
        borders=_borders(swapped),
    )
    return SegmentStage(nodes, operation, band, swept.ranges)


def operation_of(node: Node, rows: int) -> Operation:
    """Geometry of a call that makes `rows` rows at a time; PlanError when it cannot be computed row by row."""
    image = accumulated(node)
    if image is not None:
        source, (_, height, width, _) = image
        read = Read(source, PIXEL, PIXEL)
        return Operation(node.name, node.tensor, height, width, min(rows, height), (read,), accumulates=True)
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


def accumulated(node: Node) -> tuple[str, tuple[int, ...]] | None:
    """The image whose rows a call can take in one after the other, and its shape; None for all other calls."""
    if node.operator.accumulates(node.attrs) is None or node.inputs[0] is None or node.specs[0].shape[0] != 1:
        return None
    return node.inputs[0], node.specs[0].shape


def stage_of(node: Node, operation: Operation, output: Columns, whole: bool) -> Stage:
    """The problem of one call: the rows and columns of its windows, vertical padding already part of them."""
    attrs = dict(node.attrs)
    if operation.accumulates:
        attrs[ACCUMULATE] = 1
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
    expected = node.output
    if not operation.accumulates:
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
        if value is None or node.inputs[0] is None:
            continue
        # What accumulates also takes in what the last rows and columns have beyond the image.
        if accumulated(node) is None and not any(node.attrs["padding"]):
            continue
        if borders.setdefault(node.inputs[0], value) != value:
            raise PlanError(
                f"patch plan: readers of {node.inputs[0]!r} pad it with {borders[node.inputs[0]]} and {value}; "
                "split the region between them"
            )
    return borders
