"""The C function of a streamed region: a table of calls, the loop over it, and one case for each layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tvm_tinyml.patch.geometry import COLUMNS, ROWS, Columns, Read, read_columns
from tvm_tinyml.patch.region import pixel_bytes
from tvm_tinyml.patch.workspace import row_bytes

from .constants import c_type
from .streaming import WORKSPACE, StreamedRegion

_INDENT = " " * 4


def region_arguments(region: StreamedRegion) -> tuple[str, ...]:
    """Names of the activations and buffers that the region's function is called with, in order."""
    return (*region.shape.inputs, region.shape.output, *(buffer.name for buffer in region.buffers))


def region_signature(region: StreamedRegion) -> str:
    """C signature without a semicolon."""
    shape = region.shape
    inputs = [
        f"const {c_type(shape.specs[tensor].dtype)} *input_{k}" for k, tensor in enumerate(shape.inputs)
    ]
    output = f"{c_type(shape.specs[shape.output].dtype)} *output"
    work = [f"int8_t *{WORKSPACE}"] if region.buffers else []
    return f"void {region.symbol}({', '.join([*inputs, output, *work])})"


def region_body(region: StreamedRegion) -> list[tuple[int, str]]:
    """Statements of the function, each with its depth of indentation."""
    return list(_Body(region).statements())


def _maker(region: StreamedRegion, tensor: str) -> int:
    """Number of the layer in the region that makes `tensor`."""
    return next(index for index, stage in enumerate(region.shape.stages) if stage.node.tensor == tensor)


def _times(name: str, factor: int) -> str:
    return name if factor == 1 else f"{name} * {factor}"


def _plus(text: str, offset: int) -> str:
    return text if offset == 0 else f"{text} {'+' if offset > 0 else '-'} {abs(offset)}"


def _scaled(text: str, factor: int) -> str:
    """A sum times a constant."""
    if factor == 1:
        return text
    return f"({text}) * {factor}" if " " in text else f"{text} * {factor}"


class _Body:
    """Prints one region."""

    def __init__(self, region: StreamedRegion) -> None:
        self.region = region
        self.shape = region.shape
        self.inputs = {tensor: f"input_{k}" for k, tensor in enumerate(self.shape.inputs)}
        self.lines = {tensor: _maker(region, tensor) for tensor in self.shape.stream.buffers}
        self.moving = {tensor: made for tensor, made in self.lines.items() if not region.refills(tensor)}
        self.filled = {event.operation for event in self.shape.stream.events if event.fills}

    def statements(self) -> Iterator[tuple[int, str]]:
        order, count = self.region.order, len(self.region.layers)
        yield 1, f"static const uint8_t order[] = {{{', '.join(map(str, order.table))}}};"
        for tensor, made in self.lines.items():
            yield 1, f"int8_t *const line_{made} = {_plus(WORKSPACE, self.region.block.offsets[tensor])};"
        depth = 1
        if self.shape.strips > 1:
            yield 1, f"for (int32_t strip = 0; strip < {self.shape.strips}; ++strip) {{"
            depth = 2
        yield from ((depth, text) for text in self._state())
        turns = f", turns = {order.times}" if order.times > 1 else ""
        yield depth, f"for (int32_t at = 0{turns}; at < {len(order.table)}; ++at) {{"
        yield depth + 1, "switch (order[at]) {"
        for index in range(count):
            yield depth + 1, f"case {index}:"
            yield from ((depth + 2, text) for text in self._call(index))
            yield depth + 2, "break;"
        for index in sorted(self.filled):
            yield depth + 1, f"case {count + index}:"
            yield from ((depth + 2, text) for text in self._fill(index))
            yield depth + 2, "break;"
        yield depth + 1, "}"
        if order.times > 1:
            begin = len(order.first)
            yield depth + 1, f"if (at == {begin + len(order.repeated) - 1} && --turns > 0) {{"
            yield depth + 2, f"at = {begin - 1};"
            yield depth + 1, "}"
        yield depth, "}"
        if self.shape.strips > 1:
            yield 1, "}"

    def _state(self) -> Iterator[str]:
        """Declarations: next row of every layer, first row in every line buffer; rows above the image."""
        rows = ", ".join(f"row_{index} = 0" for index in range(len(self.region.layers)))
        yield f"int32_t {rows};"
        buffers = self.shape.stream.buffers
        firsts = [f"first_{made} = {-buffers[tensor].above}" for tensor, made in self.moving.items()]
        if firsts:
            yield f"int32_t {', '.join(firsts)};"
        for tensor, buffer in buffers.items():
            if buffer.above:
                size = buffer.above * self.shape.pitch(tensor)
                yield f"memset(line_{self.lines[tensor]}, {self._border(tensor)}, {size});"

    def _border(self, tensor: str) -> int:
        """Value of what lies outside the image; where there is none, nothing that is kept depends on it."""
        return self.shape.borders.get(tensor, 0)

    def _call(self, index: int) -> Iterator[str]:
        layer, stage = self.region.layers[index], self.shape.stages[index]
        tensor, rows = stage.node.tensor, stage.operation.rows
        yield from self._room(index, rows)
        parts = {
            name: _plus(WORKSPACE, self.region.block.offsets[self.region.part_name(index, name)])
            for name in self.region.parts(index)
        }
        arguments = [self._argument(index, name, parts) for name in layer.arguments]
        place = self._place(index)
        arguments.append(self._cast(tensor, parts[tensor]) if tensor in parts else place)
        arguments += [f"(void *)({parts[buffer.name]})" for buffer in self.region.scratch[index]]
        yield f"{layer.function}({', '.join(arguments)});"
        if tensor in parts:
            yield from self._store(index, parts[tensor])
        if tensor in self.lines:
            yield from self._edges(index)
        if stage.operation.height % rows:
            # Rows that the last call made beyond the image do not count.
            yield f"row_{index} = tinyml_least(row_{index} + {rows}, {stage.operation.height});"
        else:
            yield f"row_{index} += {rows};"

    def _room(self, index: int, rows: int) -> Iterator[str]:
        tensor = self.shape.stages[index].node.tensor
        if tensor not in self.moving:
            return
        first, row = f"first_{index}", f"row_{index}"
        yield f"if ({_plus(row, rows)} - {first} > {self.shape.stream.buffers[tensor].rows}) {{"
        keeps = [
            _plus(_times(f"row_{reader}", read.rows.stride), read.rows.first)
            for reader, read in self._readers(tensor)
        ]
        keep = keeps[0]
        for other in keeps[1:]:
            keep = f"tinyml_least({keep}, {other})"
        pitch = self.shape.pitch(tensor)
        yield f"{_INDENT}{first} = tinyml_drop_rows(line_{index}, {pitch}, {first}, {row}, {keep});"
        yield "}"

    def _readers(self, tensor: str) -> list[tuple[int, Read]]:
        return [
            (index, self.region.reads(index)[tensor])
            for index in range(len(self.region.layers))
            if tensor in self.region.reads(index)
        ]

    def _argument(self, index: int, name: str, parts: dict[str, str]) -> str:
        if name not in self.shape.specs:
            return name
        if not self.region.is_image(index, name):
            return self.inputs[name]
        if name in self.lines:
            return self._line_window(index, name, parts)
        return self._input_window(index, name, parts)

    def _line_window(self, index: int, tensor: str, parts: dict[str, str]) -> str:
        read, made = self.region.reads(index)[tensor], self.lines[tensor]
        begin = _plus(_times(f"row_{index}", read.rows.stride), read.rows.first)
        slot, pitch = self._slot(tensor, begin), self.shape.pitch(tensor)
        if tensor not in parts:
            return self._cast(tensor, self._row_of(tensor, begin))
        pixel = pixel_bytes(self.shape.specs[tensor])
        needed = self._needed(index, read)
        column = 0 if self.shape.whole else needed.first - self.shape.columns[tensor].first
        return self._copied(
            tensor,
            (parts[tensor], f"line_{made}", self.shape.stream.buffers[tensor].rows, pitch, slot),
            (
                read.rows.span(self.shape.stages[index].operation.rows),
                column * pixel,
                needed.width * pixel,
                0,
            ),
        )

    def _input_window(self, index: int, tensor: str, parts: dict[str, str]) -> str:
        read, spec = self.region.reads(index)[tensor], self.shape.specs[tensor]
        begin = _plus(_times(f"row_{index}", read.rows.stride), read.rows.first)
        pitch, name, height = row_bytes(spec), self.inputs[tensor], spec.shape[ROWS]
        span = read.rows.span(self.shape.stages[index].operation.rows)
        direct = self._cast(tensor, f"{self._bytes(tensor, name)} + {_scaled(begin, pitch)}", const=True)
        if tensor not in parts:
            return direct
        needed, pixel = self._needed(index, read), pixel_bytes(spec)
        column = str(0)
        if not self.shape.whole:
            column = _scaled(_plus(_times("strip", needed.step), needed.first), pixel)
        copied = self._copied(
            tensor,
            (parts[tensor], self._bytes(tensor, name), height, pitch, begin),
            (span, column, needed.width * pixel, self._border(tensor)),
        )
        if self.region.always_copies(index, tensor):
            return copied
        outside = []
        if read.rows.first < 0:
            outside.append(f"{begin} < 0")
        outside.append(f"{_plus(begin, span)} > {height}")
        return f"{' || '.join(outside)} ? {copied} : {direct}"

    def _copied(self, tensor: str, source: Sequence[object], window: Sequence[object]) -> str:
        """A window copied to the workspace: (to, image, height, pitch, row), (rows, column, bytes, value)."""
        text = f"tinyml_copy_window({', '.join(map(str, (*source, *window)))})"
        return self._cast(tensor, text, const=True)

    def _needed(self, index: int, read: Read) -> Columns:
        """Columns of `read` that layer `index` needs."""
        if self.shape.whole:
            return Columns(0, 0, self.shape.specs[read.tensor].shape[COLUMNS])
        return read_columns(read, self.shape.columns[self.shape.stages[index].node.tensor])

    def _slot(self, tensor: str, row: str) -> str:
        """Where row `row` lies in the line buffer of `tensor`, in rows."""
        return f"{row} - first_{self.lines[tensor]}" if tensor in self.moving else "0"

    def _row_of(self, tensor: str, row: str) -> str:
        """Address of a row in the line buffer of `tensor`."""
        line = f"line_{self.lines[tensor]}"
        if tensor not in self.moving:
            return line
        return f"{line} + {_scaled(self._slot(tensor, row), self.shape.pitch(tensor))}"

    def _place(self, index: int) -> str:
        """Where the rows that layer `index` makes belong."""
        tensor = self.shape.stages[index].node.tensor
        if tensor in self.lines:
            return self._cast(tensor, self._row_of(tensor, f"row_{index}"))
        output = self._bytes(tensor, "output", const=False)
        text = f"{output} + {_scaled(f'row_{index}', row_bytes(self.shape.specs[tensor]))}"
        return self._cast(tensor, text)

    def _store(self, index: int, source: str) -> Iterator[str]:
        """Copy what layer `index` made from the workspace to its place, without what lies outside the image."""
        stage = self.shape.stages[index]
        tensor, operation = stage.node.tensor, stage.operation
        rows, pitch = operation.rows, self.shape.pitch(tensor)
        if tensor in self.lines:
            yield f"tinyml_move_bytes({self._row_of(tensor, f'row_{index}')}, {source}, {rows * pitch});"
            return
        full = row_bytes(stage.node.output)
        row, count = f"row_{index}", str(rows)
        if operation.height % rows:
            count = f"tinyml_least({rows}, {operation.height} - {row})"
        target, width = f"{self._bytes(tensor, 'output', const=False)} + {_scaled(row, full)}", str(pitch)
        if self.shape.strips > 1:
            target += f" + {_times('strip', pitch)}"
            if full % pitch:
                width = f"tinyml_least({pitch}, {full} - {_times('strip', pitch)})"
        yield f"tinyml_copy_rows({target}, {full}, {source}, {pitch}, {count}, {width});"

    def _edges(self, index: int) -> Iterator[str]:
        """Overwrite the columns outside the image that layer `index` made."""
        tensor = self.shape.stages[index].node.tensor
        columns, spec = self.shape.columns[tensor], self.shape.specs[tensor]
        if tensor not in self.shape.borders:
            return
        last = (self.shape.strips - 1) * columns.step + columns.first + columns.width
        width, pixel = spec.shape[COLUMNS], pixel_bytes(spec)
        if columns.first >= 0 and last <= width:
            return
        begin = _plus(_times("strip", columns.step), columns.first)
        left = f"({begin}) * -{pixel}"
        right = _scaled(_plus(begin, columns.width - width), pixel)
        pitch, rows = self.shape.pitch(tensor), self.shape.stages[index].operation.rows
        place = self._row_of(tensor, f"row_{index}")
        yield f"tinyml_fill_edges({place}, {rows}, {pitch}, {left}, {right}, {self._border(tensor)});"

    def _fill(self, index: int) -> Iterator[str]:
        """One row below the image."""
        tensor = self.shape.stages[index].node.tensor
        pitch = self.shape.pitch(tensor)
        yield from self._room(index, 1)
        if tensor in self.shape.borders:
            yield f"memset({self._row_of(tensor, f'row_{index}')}, {self._border(tensor)}, {pitch});"
        yield f"row_{index} += 1;"

    def _bytes(self, tensor: str, name: str, *, const: bool = True) -> str:
        """A pointer to a tensor as a pointer to bytes."""
        if self.shape.specs[tensor].dtype == "int8":
            return name
        return f"({'const ' if const else ''}int8_t *){name}"

    def _cast(self, tensor: str, place: str, *, const: bool = False) -> str:
        """A pointer to bytes as a pointer to elements of a tensor."""
        kind = self.shape.specs[tensor].dtype
        if kind == "int8":
            return place
        return f"({'const ' if const else ''}{c_type(kind)} *)(void *)({place})"
