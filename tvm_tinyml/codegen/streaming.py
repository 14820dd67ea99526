"""Streamed regions: where every layer of a region reads and writes, and the C function that calls them row by row.

The function is a frame like the entry function: it says who is called with which part of which line buffer, and moves
rows where layers want them elsewhere than they are (runtime_c/include/tinyml_rows.h). Its size depends on the number
of operators and on the period of their calls, not on the number of rows or strips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from tvm_tinyml.memory import InPlace, MemoryPlan, Tensor
from tvm_tinyml.patch.block import Buffer, Placed
from tvm_tinyml.patch.floating import shifts
from tvm_tinyml.patch.geometry import ROWS, Read, read_columns
from tvm_tinyml.patch.overwriting import overwrite_distance, rows_done
from tvm_tinyml.patch.region import RegionShape, SegmentStage, Stage
from tvm_tinyml.patch.rows import Event
from tvm_tinyml.patch.workspace import (
    FetchedRow,
    Workspace,
    at_words,
    columns_in_place,
    fetched_row,
    line_buffers,
    output_row,
    row_bytes,
)

from .layer import Layer
from .order import Repetition, fold
from .tensorir import Scratch

ROWS_HEADER, COLUMNS_HEADER = "tinyml_rows.h", "tinyml_columns.h"
WORKSPACE = "workspace"
# Rows in planes move at every eighth call.
SPARE_CALLS = 7


def pull_type(model: str, number: int) -> str:
    """C type of the function that supplies input `number` of a model."""
    return f"{model}_pull_{number}_t"


@dataclass(frozen=True)
class StreamedRegion:
    """A region of a lowered model.

    symbol: C function that runs it.
    layers: its layers; each layer's function computes one call.
    scratch: what the function of each layer needs besides.
    alignment: of buffers in the arena, bytes.
    callbacks: C types of the functions that supply the inputs it fetches, in their order.
    planes: tensors whose line buffers hold the rows of each channel side by side.
    spare: calls of the makers of planes for whose rows there is room besides. Each plane then runs into the next one,
        where rows are done by then, and only the last one needs the room: rows move less often.
    in_place: whether the columns of the output, of a segment, are made where they belong.
    pieces: where each piece of the block lies, in bytes above the lowest one; empty where it is in one piece.
    """

    symbol: str
    shape: RegionShape
    layers: tuple[Layer, ...]
    scratch: tuple[tuple[Scratch, ...], ...]
    alignment: int
    callbacks: tuple[str, ...] = ()
    planes: frozenset[str] = frozenset()
    spare: int = SPARE_CALLS
    in_place: bool = False
    pieces: tuple[int, ...] = ()

    @cached_property
    def order(self) -> Repetition:
        """Calls by the number of the layer in the region, of a segment its first one; larger numbers fetch rows, then
        fill a row of an output.
        """
        return fold([self.number(event) for event in self.shape.stream.events])

    @property
    def fetches(self) -> int:
        """Number of inputs it fetches, which are its first operations; its layers are the operations behind them."""
        return len(self.shape.pulls)

    def number(self, event: Event) -> int:
        """What stands in the table of calls for an event."""
        layers, fetches = len(self.layers), self.fetches
        if event.fills:
            return layers + fetches + event.operation
        return (
            self.starts[event.operation - fetches] if event.operation >= fetches else layers + event.operation
        )

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Number of the first layer of every stage."""
        counts = [len(stage.nodes) for stage in self.shape.stages]
        return tuple(sum(counts[:index]) for index in range(len(counts)))

    @cached_property
    def segments(self) -> dict[int, StreamedRegion]:
        """Segments by stage: the region that each one is with rows and columns swapped."""
        found: dict[int, StreamedRegion] = {}
        for index, stage in enumerate(self.shape.stages):
            if isinstance(stage, SegmentStage):
                own = slice(self.starts[index], self.starts[index] + len(stage.nodes))
                symbol = f"{self.symbol}_segment_{len(found)}"
                layers, scratch, tensor = self.layers[own], self.scratch[own], stage.node.tensor
                in_place = columns_in_place(
                    stage.operation,
                    stage.band.operations[-1].rows,
                    None if self.shape.whole else self.shape.columns[tensor],
                    self.shape.specs[tensor],
                    buffered=tensor in self.shape.stream.buffers,
                )
                found[index] = StreamedRegion(
                    symbol, stage.band, layers, scratch, self.alignment, in_place=in_place
                )
        return found

    def stage(self, index: int) -> Stage:
        """Stage `index`, which is no segment."""
        stage = self.shape.stages[index]
        assert isinstance(stage, Stage)
        return stage

    def layer(self, index: int) -> Layer:
        """The layer of stage `index`, which is no segment."""
        return self.layers[self.starts[index]]

    def own_scratch(self, index: int) -> tuple[Scratch, ...]:
        """Scratch of that layer."""
        return self.scratch[self.starts[index]]

    @property
    def streamed(self) -> tuple[str, ...]:
        """Tensors of which only some rows or columns exist."""
        return (*self.pulled, *(node.tensor for node in self.shape.nodes[:-1]))

    @property
    def pulled(self) -> tuple[str, ...]:
        """Inputs of the model that it fetches."""
        return tuple(operation.output for operation in self.shape.pulls)

    @cached_property
    def block(self) -> Placed:
        """Where the line buffers, and what single calls need besides, lie, above the first byte of the region's."""
        return self._placed.apart(self.pieces) if self.pieces else self._placed

    @cached_property
    def _placed(self) -> Placed:
        """The block in one piece."""
        return self.space.place(self.alignment)

    @property
    def space(self) -> Workspace:
        """Everything that lies in the block, of segments as well."""
        shape = self.shape
        operations = shape.operations
        pitches = {tensor: shape.pitch(tensor) for tensor in shape.stream.buffers}
        pitches |= {tensor: self.fetched(number).line for number, tensor in enumerate(self.pulled)}
        lines = [
            one._replace(nbytes=one.nbytes + self.spare_bytes(one.name))
            for one in line_buffers(operations, shape.stream, pitches, shape.settling)
        ]
        parts = [
            Buffer(self.part_name(index, name), size, self.fetches + index, self.fetches + index)
            for index in range(len(shape.stages))
            for name, size in self.parts(index).items()
        ]
        parts += [
            Buffer(self.row_name(index), self.fetched(index).beside, index, index)
            for index in range(self.fetches)
            if self.fetched(index).beside
        ]
        sweeps = {self.fetches + index: segment.space for index, segment in self.segments.items()}
        return Workspace(
            operations,
            shape.strips,
            shape.columns,
            shape.stream,
            (*lines, *parts),
            sweeps,
            output_row=output_row(operations, shape.specs[shape.output], shape.strips),
            floating=shape.floating,
        )

    @property
    def buffers(self) -> tuple[Tensor, ...]:
        """The block, or its pieces, as scratch of one step, if there is anything in it."""
        size = self._placed.arena_bytes
        if not size:
            return ()
        block = Tensor(self.block_name, size, self.alignment, self._placed.cuts)
        return block.pieces if self.pieces else (block,)

    @property
    def lowest(self) -> tuple[Tensor, ...]:
        """Of `buffers` the one that begins first, with which its function is called."""
        return tuple(one for one, above in zip(self.buffers, self.pieces or (0,), strict=False) if above == 0)

    def as_planned(self, plan: MemoryPlan) -> StreamedRegion:
        """This region with its block in the pieces that a memory plan has."""
        pieces = [piece.name for buffer in self.buffers for piece in buffer.pieces]
        if len(pieces) < 2 or pieces[0] not in plan.scratch_offsets:
            return self
        offsets = [plan.scratch_offsets[piece] for piece in pieces]
        return replace(self, pieces=tuple(offset - min(offsets) for offset in offsets))

    @property
    def permissions(self) -> tuple[InPlace, ...]:
        """Inputs, and buffers, whose dead rows the output may overwrite."""
        if not self.shape.whole:
            return ()
        over = self._placed.permissions(self.block_name, self.shape.output) if self.buffers else ()
        operations = self.shape.operations
        done = rows_done(operations, self.shape.stream)
        read = [tensor for node in self.shape.nodes for tensor in node.inputs]
        members = [member for one in operations for member in one.members or (one,)]
        by_rows = [one.tensor for operation in members for one in operation.reads]
        inputs = (
            InPlace(tensor, self.shape.output, overwrite_distance(operations, done, tensor, self.shape.specs))
            for tensor in self.shape.inputs
            if read.count(tensor) == by_rows.count(tensor)
        )
        return (*inputs, *over)

    @property
    def block_name(self) -> str:
        """Name of the block in a memory program."""
        return f"{self.symbol}.{WORKSPACE}"

    @property
    def moved_bytes(self) -> int:
        """Most bytes that the function moves or fills itself: windows, rows of outputs, rows that stay.

        Of segments, only what lies outside of them.
        """
        shape, total = self.shape, 0
        for index, stage in enumerate(shape.stages):
            if isinstance(stage, Stage):
                for tensor, spec in zip(stage.node.inputs, stage.specs, strict=True):
                    if tensor is not None and self.is_image(index, tensor):
                        total += self.copied_windows(index, tensor) * spec.nbytes
                if self.copies_output(index):
                    total += stage.operation.calls * stage.output.nbytes
        for event in shape.stream.events:
            operation = shape.operations[event.operation]
            for read in () if event.fills else operation.reads:
                if read.tensor in self.block.settled:
                    # All but the rows that it does not read again.
                    rest = shape.stream.buffers[read.tensor].rows - read.rows.stride * operation.rows
                    total += max(0, rest) * shape.pitch(read.tensor)
            if operation.output in self.block.settled:
                continue
            if operation.output in shape.stream.buffers and not self.refills(operation.output):
                # All that is not overwritten moves, or the row is filled; planes move as a whole.
                buffer = shape.stream.buffers[operation.output]
                if operation.output in self.planes:
                    total += buffer.rows * shape.pitch(operation.output) // (1 + self.spare)
                else:
                    rows = buffer.rows - (0 if event.fills else operation.rows)
                    total += rows * shape.pitch(operation.output)
        held = {one.name: one.held for one in self.space.buffers}
        for tensor, lifts in self.block.lifts.items():
            total += sum(held[tensor][index] for index in shifts(shape.stream, lifts))
        return total * shape.strips

    def slots(self, tensor: str) -> int:
        """Rows of a line buffer before some have to move."""
        return self.shape.stream.buffers[tensor].rows + self._spare_rows(tensor)

    def spare_bytes(self, tensor: str) -> int:
        """Bytes of a line buffer beyond the rows that are needed at once."""
        return self._spare_rows(tensor) * self.shape.columns[tensor].width

    def _spare_rows(self, tensor: str) -> int:
        if tensor not in self.planes:
            return 0
        return self.spare * next(one.rows for one in self.shape.operations if one.output == tensor)

    def part_name(self, index: int, name: str) -> str:
        """Name in the block of what the calls of layer `index` need under `name`."""
        return f"{self.symbol}.{index}.{name}"

    def row_name(self, fetch: int) -> str:
        """Name in the block of the row that is fetched whole for input `fetch` of those it fetches."""
        return f"{self.symbol}.{self.shape.pulls[fetch].output}.row"

    def fetched(self, fetch: int) -> FetchedRow:
        """Where rows of input `fetch` of those it fetches lie."""
        shape, tensor = self.shape, self.shape.pulls[fetch].output
        spec, whole_rows = shape.specs[tensor], shape.whole_rows
        return fetched_row(tensor, shape.operations, shape.columns, shape.stream, spec, whole_rows=whole_rows)

    def parts(self, index: int) -> dict[str, int]:
        """What the calls of stage `index` need while they run: scratch, copied windows and output; name -> bytes.

        Nothing for a segment, which has a block of its own.
        """
        if index in self.segments:
            return {}
        stage = self.stage(index)
        parts = {buffer.name: buffer.nbytes for buffer in self.own_scratch(index)}
        for tensor, spec in zip(stage.node.inputs, stage.specs, strict=True):
            if tensor is not None and self.is_image(index, tensor) and self.copied_windows(index, tensor):
                parts[tensor] = spec.nbytes
        if self.copies_output(index):
            parts[stage.node.tensor] = stage.output.nbytes
        return parts

    def reads(self, index: int) -> dict[str, Read]:
        """Images that layer `index` reads, by tensor."""
        return {read.tensor: read for read in self.shape.stages[index].operation.reads}

    def is_image(self, index: int, tensor: str) -> bool:
        """Whether layer `index` reads `tensor` through windows."""
        return tensor in self.reads(index)

    def begins(self, index: int) -> Iterator[int]:
        """First row of every call of layer `index`."""
        operation = self.shape.stages[index].operation
        return iter(range(0, operation.height, operation.rows))

    def leaving_image(self, index: int, tensor: str) -> int:
        """Calls of layer `index` whose windows go beyond the rows of `tensor`, which is made before the region."""
        rows = self.reads(index)[tensor].rows
        span = rows.span(self.shape.stages[index].operation.rows)
        height = self.shape.specs[tensor].shape[ROWS]
        return sum(rows.begin(row) < 0 or rows.begin(row) + span > height for row in self.begins(index))

    def always_copies(self, index: int, tensor: str) -> bool:
        """Whether no window of layer `index` lies in memory as the layer reads it."""
        read, shape = self.reads(index)[tensor], self.shape
        if tensor in self.planes:
            return False
        if tensor in shape.stream.buffers:
            needed = read_columns(read, shape.columns[shape.stages[index].node.tensor])
            misplaced = not shape.whole and needed != shape.columns[tensor]
            slots = shape.stream.read_slots[self.fetches + index, tensor]
            return misplaced or not at_words(slots, shape.pitch(tensor))
        begins = (read.rows.begin(row) for row in self.begins(index))
        return not shape.whole or not at_words(begins, row_bytes(shape.specs[tensor]))

    def refills(self, tensor: str) -> bool:
        """Whether the line buffer of `tensor` is always filled from its start: there is nothing to keep or to count."""
        stream = self.shape.stream
        slots = {slot for (_, read), slots in stream.read_slots.items() if read == tensor for slot in slots}
        maker = next(k for k, one in enumerate(self.shape.operations) if one.output == tensor)
        # A row below the image goes behind those that the last call has made.
        filled = any(event.fills and event.operation == maker for event in stream.events)
        return not filled and slots | stream.write_slots[maker] == {0}

    def copied_windows(self, index: int, tensor: str) -> int:
        """Calls of layer `index`, in one strip, whose windows over `tensor` are copied to the workspace."""
        if self.always_copies(index, tensor):
            return self.shape.stages[index].operation.calls
        return 0 if tensor in self.shape.stream.buffers else self.leaving_image(index, tensor)

    def copies_output(self, index: int) -> bool:
        """Whether what layer `index` makes is copied from the workspace to its place."""
        stage, shape = self.shape.stages[index], self.shape
        if stage.operation.accumulates or stage.node.tensor in self.planes:
            return False
        if self.in_place and index == len(shape.stages) - 1:
            return False
        if stage.node.tensor in shape.stream.buffers:
            slots = shape.stream.write_slots[self.fetches + index]
            return not at_words(slots, shape.pitch(stage.node.tensor))
        beyond = stage.operation.height % stage.operation.rows != 0
        pitch = row_bytes(stage.node.output)
        return not shape.whole or beyond or not at_words(self.begins(index), pitch)
