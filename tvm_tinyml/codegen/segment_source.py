"""The C function of a segment of a streamed region: one band of rows, made column by column.

It is a streamed region with rows and columns swapped, whose strips are bands and are called one by one: only how it
reads rows of its inputs as columns, and writes columns of its output as rows, is said here.
"""

from __future__ import annotations

from collections.abc import Iterator

from tvm_tinyml.patch.geometry import COLUMNS, ROWS
from tvm_tinyml.patch.region import SegmentStage, pixel_bytes
from tvm_tinyml.patch.workspace import row_bytes

from .constants import c_type
from .region_source import RegionBody
from .streaming import WORKSPACE, StreamedRegion
from .terms import plus, times


def segment_signature(region: StreamedRegion, index: int) -> str:
    """C signature, without a semicolon, of the function of the segment that is stage `index` of a region."""
    segment = region.segments[index]
    parameters = ["int32_t band", *(["int32_t strip"] if region.shape.strips > 1 else [])]
    for number, tensor in enumerate(segment.shape.inputs):
        if tensor in region.reads(index):
            parameters += [f"const int8_t *input_{number}", f"int32_t top_{number}"]
        else:
            parameters.append(f"const {c_type(segment.shape.specs[tensor].dtype)} *input_{number}")
    parameters += ["int8_t *output", "int32_t top", f"int8_t *{WORKSPACE}"]
    return f"void {segment.symbol}({', '.join(parameters)})"


def segment_body(region: StreamedRegion, index: int) -> list[tuple[int, str]]:
    """Statements of that function, each with its depth of indentation."""
    return list(_SegmentBody(region, index).statements())


class _SegmentBody(RegionBody):
    """Prints one segment; what is called a row in here is a column of the image."""

    strip = "band"

    def __init__(self, outer: StreamedRegion, index: int) -> None:
        super().__init__(outer.segments[index], outer.block)
        stage = outer.shape.stages[index]
        assert isinstance(stage, SegmentStage)
        self.outer = outer
        self.ranges = stage.ranges
        self.repeated = outer.shape.strips > 1

    @property
    def _repeats(self) -> bool:
        return False

    def _origin(self, tensor: str) -> str:
        """Column of the image with which an outer tensor's rows begin in memory."""
        if tensor not in self.outer.shape.stream.buffers or self.outer.shape.whole:
            return "0"
        columns = self.outer.shape.columns[tensor]
        return plus(times("strip", columns.step), columns.first)

    def _pitch(self, tensor: str) -> int:
        """Bytes of a row of an outer tensor in memory."""
        if tensor in self.outer.shape.stream.buffers:
            return self.outer.shape.pitch(tensor)
        return row_bytes(self.outer.shape.specs[tensor])

    def _input_window(self, index: int, tensor: str, parts: dict[str, str]) -> str:
        read, spec = self.region.reads(index)[tensor], self.outer.shape.specs[tensor]
        name, number = self.inputs[tensor], self.shape.inputs.index(tensor)
        needed = self._needed(index, read)
        column = plus(times(f"row_{index}", read.rows.stride), read.rows.first)
        if self.ranges is not None:
            if tensor in self.outer.shape.stream.buffers:
                column = plus(column, -self.outer.shape.columns[tensor].first)
            else:
                step = self.ranges[self._tensor(index)].step * read.rows.stride
                column = f"{column} + {times('strip', step)}"
        row = f"{plus(times('band', needed.step), needed.first)} - top_{number}"
        arguments = (
            parts[tensor],
            f"{name}",
            self._pitch(tensor),
            pixel_bytes(spec),
            column,
            read.rows.span(self.region.stage(index).operation.rows),
            self._origin(tensor),
            spec.shape[COLUMNS],
            row,
            needed.width,
            f"top_{number}",
            spec.shape[ROWS],
            self._border(tensor),
        )
        return self._cast(tensor, f"tinyml_get_columns({', '.join(map(str, arguments))})", const=True)

    def _place(self, index: int) -> str:
        tensor = self._tensor(index)
        if tensor in self.lines:
            return super()._place(index)
        spec, made = self.outer.shape.specs[tensor], self.shape.columns[tensor]
        row = f"{plus(times('band', made.step), made.first)} - top"
        place = f"output + ({row}) * {self._pitch(tensor)} + {times(self._column(index), pixel_bytes(spec))}"
        return self._cast(tensor, place)

    def _column(self, index: int) -> str:
        """Where the columns that stage `index` makes of the output begin, in rows in memory."""
        tensor, column = self._tensor(index), f"row_{index}"
        if self.ranges is None or tensor in self.outer.shape.stream.buffers:
            return column
        own = self.ranges[tensor]
        return f"({plus(times('strip', own.step), own.first)} + {column})"

    def _store(self, index: int, source: str) -> Iterator[str]:
        tensor = self._tensor(index)
        if tensor in self.lines:
            yield from super()._store(index, source)
            return
        spec, made = self.outer.shape.specs[tensor], self.shape.columns[tensor]
        pixel, column = pixel_bytes(spec), self._column(index)
        operation = self.region.stage(index).operation
        # The last call may make columns beyond those that there are, the last strip those beyond the image.
        count = str(operation.rows)
        if operation.height % operation.rows:
            count = f"tinyml_least({count}, {operation.height} - row_{index})"
        if tensor not in self.outer.shape.stream.buffers and spec.shape[COLUMNS] % operation.height:
            count = f"tinyml_least({count}, {spec.shape[COLUMNS]} - {column})"
        arguments = (
            f"output + {times(column, pixel)}",
            self._pitch(tensor),
            source,
            pixel,
            count,
            f"{plus(times('band', made.step), made.first)} - top",
            made.width,
            "top",
            spec.shape[ROWS],
        )
        yield f"tinyml_put_columns({', '.join(map(str, arguments))});"

    def _edges(self, number: int) -> Iterator[str]:
        yield from super()._edges(number)
        tensor = self.shape.operations[number].output
        if self.ranges is None:
            return
        own, width = self.ranges[tensor], self.outer.shape.specs[tensor].shape[COLUMNS]
        if own.first >= 0 and (self.outer.shape.strips - 1) * own.step + own.first + own.width <= width:
            return
        column = f"{plus(times('strip', own.step), own.first)} + row_{number}"
        place, pitch = self._row_of(tensor, f"row_{number}"), self.shape.pitch(tensor)
        rows = self.shape.operations[number].rows
        if rows == 1:
            yield f"if ({column} < 0 || {column} >= {width}) {{"
            yield f"    tinyml_fill_bytes({place}, {self._border(tensor)}, {pitch});"
            yield "}"
            return
        yield f"for (int32_t next = 0; next < {rows}; ++next) {{"
        yield f"    if ({column} + next < 0 || {column} + next >= {width}) {{"
        yield f"        tinyml_fill_bytes({place} + next * {pitch}, {self._border(tensor)}, {pitch});"
        yield "    }"
        yield "}"
