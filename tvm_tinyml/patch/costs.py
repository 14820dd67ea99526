"""Estimated cost of a plan: what calls of operators take, by the rows and columns they make, and moving rows.

A call has a cost of its own beside its pixels: it sets up, reads and on many cores expands weights, and has tiles that
few pixels do not fill. Whoever knows the kernels says what a call costs (`Instructions`); patch plans only know its
geometry. Few geometries are asked about, and costs between them lie on lines. Where nobody knows, a call costs its
multiply-accumulates and those of some pixels more (`Work`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf, isfinite
from typing import NamedTuple, Protocol

from ..errors import PlanError
from .block import Buffer, Placed
from .floating import shifts
from .geometry import PIXEL, Columns, Operation, Read, read_columns
from .network import Network
from .region import Stage, operation_of, pixel_bytes, stage_of
from .rows import RowStream
from .workspace import Workspace

SAMPLES = (1, 2, 4, 8, 16, 32, 64, 256, 1024, 4096)
"""Numbers of pixels or columns that are asked about."""

TILE = 4
"""Pixels that kernels without windows make together."""

SOME_TILES = 8
"""Pixels beside which a few more are asked about, for what those add to any number of tiles."""

ROWS_SAMPLED = (1, 2, 4, 8, 32, 128, 512)
"""The same of rows."""


READS, MAKES = "reads planes", "makes planes"

SHARED = 1.02
"""What calls take over the estimate of the fastest way, measured: layers share kernels where that saves code."""


@dataclass(frozen=True)
class Moving:
    """What a region does beside calling functions.

    region: of having it at all. event: of one entry of its order.
    copy: of setting up a copy of some rows; row: of each of them; byte: of a byte.
    pixel: of each pixel that a segment turns between rows and columns, beside its bytes.
    """

    region: float = 0.0
    event: float = 0.0
    copy: float = 0.0
    row: float = 0.0
    byte: float = 0.0
    pixel: float = 0.0

    def rows(self, count: int, pitch: int) -> float:
        """A copy of `count` rows that lie apart, `pitch` bytes each."""
        return self.copy + count * (self.row + pitch * self.byte)

    def pixels(self, count: int, nbytes: int) -> float:
        """A copy of `count` pixels of `nbytes` bytes each between rows and columns."""
        return self.copy + count * (self.pixel + nbytes * self.byte)


NOTHING = Moving()


class Calls(NamedTuple):
    """Calls of an operator of a network by its number, each for so many rows and columns of its strip.

    whole: there are no strips.
    """

    operator: int
    rows: int
    width: int
    whole: bool
    calls: int


class Costs(Protocol):
    """What calls cost."""

    @property
    def moving(self) -> Moving:
        """What a region does beside them."""

    def plain(self, index: int) -> float:
        """Operator `index` of the network in one piece."""

    def call(self, index: int, rows: int, width: int, *, whole: bool = False, swapped: bool = False) -> float:
        """A call of operator `index` that makes, or takes in, so many rows and columns of its strip.

        whole: there are no strips. swapped: rows and columns are, as in segments.
        """

    def saved_by_planes(self, maker: Calls, reader: Calls) -> float:
        """What it saves that one operator hands rows of its whole strip to one other in channel planes, at least 0."""


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates; a call costs those of `setup_pixels` pixels beside its own, at least one per channel."""

    network: Network
    setup_pixels: float = 1.0
    moving: Moving = NOTHING

    @cached_property
    def _pixels(self) -> Sequence[tuple[int, int]]:
        """Work of every operator for one pixel, and of setting up a call; of those that stream."""
        found = []
        for index, node in enumerate(self.network.nodes):
            if not self.network.streams[index][0]:
                found.append((0, 0))
                continue
            operation = operation_of(node, 1)
            pixel = self.network.macs[index] // (operation.height * operation.width)
            found.append((0 if operation.accumulates else pixel, max(node.output.shape[-1], pixel)))
        return found

    def plain(self, index: int) -> float:
        """All of its work."""
        return float(self.network.macs[index])

    def call(self, index: int, rows: int, width: int, *, whole: bool = False, swapped: bool = False) -> float:
        """Work of its pixels, and of those it costs beside them."""
        pixel, setup = self._pixels[index]
        return pixel * rows * width + self.setup_pixels * setup

    def saved_by_planes(self, maker: Calls, reader: Calls) -> float:
        """Nothing: the work is the same."""
        return 0.0


@dataclass(frozen=True, eq=False)
class Instructions:
    """Estimated instructions.

    of: those of one call with the types and attributes of a stage.
    in_planes: the same where input and output have so many bytes from one channel to the next, 0 for channels side by
        side; infinite where that cannot be. None: planes save nothing.
    """

    network: Network
    of: Callable[[Stage], float]
    moving: Moving
    in_planes: Callable[[Stage, int, int], float] | None = None
    _asked: dict[tuple[int, int, int, bool, bool, str], float] = field(default_factory=dict)
    _found: dict[tuple[int, int, int, bool, bool, str], float] = field(default_factory=dict)

    @cached_property
    def _by_pixel(self) -> Sequence[bool]:
        """Of every operator, whether its calls read just the pixels that they make."""
        found = []
        for node, (by_rows, _) in zip(self.network.nodes, self.network.streams, strict=True):
            operation = operation_of(node, 1) if by_rows else None
            found.append(
                operation is not None
                and not operation.accumulates
                and all(read.rows == read.columns == PIXEL for read in operation.reads)
            )
        return found

    @cached_property
    def _widths(self) -> Sequence[int]:
        """Columns of what every operator makes, or takes in; 1 where there are none."""
        return [
            operation_of(node, 1).width if by_rows else 1
            for node, (by_rows, _) in zip(self.network.nodes, self.network.streams, strict=True)
        ]

    def plain(self, index: int) -> float:
        """The operator as it is."""
        node = self.network.nodes[index]
        key = index, 0, 0, True, False, ""
        if key not in self._found:
            alone = Operation(node.name, node.tensor, 1, 1, 1, ())
            stage = Stage(node, alone, node.specs, node.attrs, node.output)
            self._found[key] = 0.0 if node.operator.is_view else self.of(stage)
        return self._found[key]

    def call(self, index: int, rows: int, width: int, *, whole: bool = False, swapped: bool = False) -> float:
        """Between the nearest geometries that were asked about, and a little more (`SHARED`)."""
        if self._by_pixel[index]:
            rows, width, whole, swapped = 1, rows * width, False, False
        return self._call(index, rows, width, whole, swapped, "")

    def saved_by_planes(self, maker: Calls, reader: Calls) -> float:
        """By the calls of both; the reader first: few operators read planes."""
        if self.in_planes is None:
            return 0.0
        saved = 0.0
        for one, planes in (reader, READS), (maker, MAKES):
            # Whoever refuses a row of the whole width has no planes at all; asking takes time.
            if not isfinite(self._sample(one.operator, 1, self._widths[one.operator], True, False, planes)):
                return 0.0
            there = self._call(one.operator, one.rows, one.width, one.whole, swapped=False, planes=planes)
            if not isfinite(there):
                return 0.0
            usual = self.call(one.operator, one.rows, one.width, whole=one.whole)
            saved += one.calls * (usual - there)
        return max(saved, 0.0)

    def _call(self, index: int, rows: int, width: int, whole: bool, swapped: bool, planes: str) -> float:
        key = index, rows, width, whole, swapped, planes
        if key not in self._found:
            estimated = _between(
                ROWS_SAMPLED,
                rows,
                lambda count: self._of_row(index, count, width, whole, swapped, planes),
            )
            self._found[key] = SHARED * estimated
        return self._found[key]

    def _of_row(self, index: int, rows: int, width: int, whole: bool, swapped: bool, planes: str) -> float:
        if whole:
            return self._sample(index, rows, width, whole, swapped, planes)

        def sample(count: int) -> float:
            return self._sample(index, rows, count, whole, swapped, planes)

        rest = width % TILE if self._by_pixel[index] and width > TILE else 0
        estimated = _between(SAMPLES, width - rest, sample)
        if rest and isfinite(estimated):
            # What the last pixels cost that fill no tile does not depend on how many tiles there are.
            estimated += max(0.0, sample(SOME_TILES + rest) - sample(SOME_TILES))
        return estimated

    def _sample(self, index: int, rows: int, width: int, whole: bool, swapped: bool, planes: str) -> float:
        key = index, rows, width, whole, swapped, planes
        if key not in self._asked:
            self._asked[key] = self._of_stage(*key)
        return self._asked[key]

    def _of_stage(self, index: int, rows: int, width: int, whole: bool, swapped: bool, planes: str) -> float:
        node = self.network.nodes[index]
        try:
            operation = operation_of(node, 1)
            if swapped:
                node, operation = node.transposed, operation.transposed
            # Neighbours of what is asked for may have more rows than the image; a call does not care.
            operation = replace(operation, rows=rows)
            stage = stage_of(node, operation, Columns(0 if whole else width, 0, width), whole)
        except PlanError:
            return inf
        if not planes:
            return self.of(stage)
        assert self.in_planes is not None
        # Of the least line buffer that there can be; how large it is hardly matters.
        _, height, columns, _ = stage.output.shape if planes == MAKES else stage.specs[0].shape
        plane = height * columns
        return self.in_planes(stage, 0, plane) if planes == MAKES else self.in_planes(stage, plane, 0)


def _between(samples: Sequence[int], size: int, cost: Callable[[int], float]) -> float:
    """Cost of a size on the line between its neighbours among samples; beyond them, on the line through the origin."""
    place = bisect_left(samples, size)
    if place == len(samples):
        return cost(samples[-1]) * size / samples[-1]
    above = samples[place]
    if above == size:
        return cost(size)
    below = samples[place - 1]
    low, high = cost(below), cost(above)
    if not isfinite(low):
        return low
    return low + (high - low) * (size - below) / (above - below)


def region_cost(network: Network, workspace: Workspace, costs: Costs, *, swapped: bool = False) -> float:
    """All calls of a region, and what it does beside them.

    swapped: it is a segment, whose rows are columns.
    """
    total = 0.0
    for index, operation in enumerate(workspace.operations):
        if index in workspace.sweeps:
            total += region_cost(network, workspace.sweeps[index], costs, swapped=True)
        elif operation.name in network.position:
            columns = workspace.columns[operation.output]
            whole = columns.step == 0 and not swapped
            total += operation.calls * costs.call(
                network.position[operation.name],
                operation.rows,
                columns.width,
                whole=whole,
                swapped=swapped,
            )
    if not swapped:
        total -= _saved_by_planes(network, workspace, costs)
    own = 0.0 if swapped else costs.moving.region
    return own + workspace.strips * (total + _moving(network, workspace, costs.moving, swapped))


def floating_cost(workspace: Workspace, placed: Placed, moving: Moving) -> float:
    """What moves line buffers that float."""
    total = 0.0
    held = {one.name: one.held for one in workspace.buffers}
    for tensor, lifts in placed.lifts.items():
        for index in shifts(workspace.stream, lifts):
            total += moving.copy + held[tensor][index] * moving.byte
    return workspace.strips * total


def _saved_by_planes(network: Network, workspace: Workspace, costs: Costs) -> float:
    """What line buffers in planes save in one strip."""
    columns, saved = workspace.columns, 0.0
    for maker, reader in handed_on(workspace.operations, columns, frozenset(workspace.stream.buffers)):
        one, other = workspace.operations[maker], workspace.operations[reader]
        if one.name in workspace.settling:
            continue
        saved += costs.saved_by_planes(calls_of(network, one, columns), calls_of(network, other, columns))
    return saved


def calls_of(network: Network, operation: Operation, columns: Mapping[str, Columns]) -> Calls:
    """Calls of an operation of no segment, in one strip; columns: of every tensor made."""
    own = columns[operation.output]
    return Calls(network.position[operation.name], operation.rows, own.width, own.step == 0, operation.calls)


def handed_on(
    operations: Sequence[Operation], columns: Mapping[str, Columns], buffered: Set[str]
) -> Iterator[tuple[int, int]]:
    """Operations, of no segment, of which one makes rows that only the other reads, in their whole width.

    columns: of every tensor made. buffered: tensors with line buffers. See `RegionShape.handed_on`.
    """
    readers: dict[str, list[tuple[int, Read]]] = {}
    for index, operation in enumerate(operations):
        for read in operation.reads:
            readers.setdefault(read.tensor, []).append((index, read))
    for maker, operation in enumerate(operations):
        found = readers.get(operation.output, [])
        if operation.members or not operation.reads or len(found) != 1 or operation.output not in buffered:
            continue
        ((index, read),) = found
        needed = columns[operations[index].output]
        if operations[index].members or operations[index].accumulates:
            continue
        if needed.step == 0 or read_columns(read, needed) == columns[operation.output]:
            yield maker, index


def _moving(network: Network, workspace: Workspace, moving: Moving, swapped: bool) -> float:
    """What one strip does beside calling functions."""
    if moving == NOTHING:
        return 0.0
    stream = workspace.stream
    total = moving.event * len(stream.events)
    for index, operation in enumerate(workspace.operations):
        tensor = operation.output
        if tensor in stream.buffers:
            pitch = workspace.columns[tensor].width * pixel_bytes(network.specs[tensor])
            total += line_moves(index, operation, stream, pitch, moving)
    for buffer in workspace.buffers:
        operation = workspace.operations[max(buffer.first, 0)]
        if buffer.first >= 0 and buffer.name.startswith(f"{operation.name}.") and buffer.first == buffer.last:
            if buffer.name.endswith(".scratch"):
                continue
            if swapped and not buffer.name.endswith(".made"):
                pixel = _pixel(network, operation, buffer)
                total += operation.calls * moving.pixels(buffer.nbytes // pixel, pixel)
                continue
            size = buffer.nbytes
            if not operation.reads:
                # Of a row that is fetched whole, the columns of the strip.
                size = workspace.columns[operation.output].width * pixel_bytes(
                    network.specs[operation.output]
                )
            total += operation.calls * moving.rows(operation.rows, size // operation.rows)
    return total


def _pixel(network: Network, operation: Operation, buffer: Buffer) -> int:
    """Bytes of a pixel of a window that an operation copies, or of output that lies in the workspace first."""
    _, _, part = buffer.name.rpartition(".")
    tensor = (
        operation.output if part == "staged" else operation.reads[int(part.removeprefix("window_"))].tensor
    )
    return pixel_bytes(network.specs[tensor])


def line_moves(index: int, operation: Operation, stream: RowStream, pitch: int, moving: Moving) -> float:
    """What keeps the line buffer of what operation `index` of a region makes; pitch: bytes of its rows."""
    if moving == NOTHING:
        return 0.0
    buffer = stream.buffers[operation.output]
    fills = stream.fills[index]
    if not fills and stream.stays(index):
        return 0.0
    kept = max(0, buffer.rows - operation.rows) * pitch * moving.byte
    return operation.calls * (moving.copy + kept) + fills * (moving.copy + pitch * moving.byte)
