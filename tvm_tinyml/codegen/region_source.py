"""The C function of a streamed region: the calls of its layers, in the order in which rows are ready."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tvm_tinyml.patch.block import Placed
from tvm_tinyml.patch.geometry import COLUMNS, ROWS, Columns, Read, read_columns
from tvm_tinyml.patch.pulling import Request, requested
from tvm_tinyml.patch.region import pixel_bytes
from tvm_tinyml.patch.workspace import row_bytes

from .constants import c_type
from .floating_source import FloatingLines
from .idle_rows import without_idle_rows
from .order_source import statements_in_order
from .streaming import WORKSPACE, StreamedRegion
from .terms import plus, scaled, times

_INDENT = " " * 4


def region_arguments(region: StreamedRegion) -> tuple[str, ...]:
    """Names of the activations, buffers and fetched inputs that the region's function is called with, in order."""
    buffers = (buffer.name for buffer in region.lowest)
    return (*region.shape.inputs, region.shape.output, *buffers, *region.pulled)


def region_signature(region: StreamedRegion) -> str:
    """C signature without a semicolon."""
    shape = region.shape
    inputs = [
        f"const {c_type(shape.specs[tensor].dtype)} *input_{k}" for k, tensor in enumerate(shape.inputs)
    ]
    output = f"{c_type(shape.specs[shape.output].dtype)} *output"
    work = [f"int8_t *{WORKSPACE}"] if region.buffers else []
    pulls = [f"{kind} pull_{k}, void *context_{k}" for k, kind in enumerate(region.callbacks)]
    result = "int" if pulls else "void"
    return f"{result} {region.symbol}({', '.join([*inputs, output, *work, *pulls])})"


def region_body(region: StreamedRegion) -> list[tuple[int, str]]:
    """Statements of the function, each with its depth of indentation."""
    return without_idle_rows(list(RegionBody(region).statements()))


def _maker(region: StreamedRegion, tensor: str) -> int:
    """Number of the operation in the region that makes `tensor`; what fetches comes before the layers."""
    return next(index for index, one in enumerate(region.shape.operations) if one.output == tensor)


class RegionBody:
    """Prints one region.

    Operations have numbers in the names of variables; `index` is that of a stage, which is an operation from
    `fetches` on. strip: name of the number of the strip. block: in which its buffers lie; that of the region itself
    unless it is a segment.
    """

    strip = "strip"

    def __init__(self, region: StreamedRegion, block: Placed | None = None) -> None:
        self.region = region
        self.shape = region.shape
        self.fetches = region.fetches
        self.inputs = {tensor: f"input_{k}" for k, tensor in enumerate(self.shape.inputs)}
        self.lines = {tensor: _maker(region, tensor) for tensor in self.shape.stream.buffers}
        self.moving = {tensor: made for tensor, made in self.lines.items() if not region.refills(tensor)}
        self.block = region.block if block is None else block
        self.floating = FloatingLines(self.shape, self.lines, self.block, self._keep)
        self.filled = {event.operation for event in self.shape.stream.events if event.fills}

    def statements(self) -> Iterator[tuple[int, str]]:
        if self.fetches:
            yield 1, "int status;"
        for tensor, made in self.lines.items():
            if tensor not in self.floating.lifts:
                yield 1, f"int8_t *const line_{made} = {plus(WORKSPACE, self.block.offsets[tensor])};"
        depth = 1
        if self._repeats:
            yield 1, f"for (int32_t strip = 0; strip < {self.shape.strips}; ++strip) {{"
            depth = 2
        yield from ((depth, text) for text in self._state())
        for further, text in statements_in_order(self.region.order, self._calls()):
            yield depth + further, text
        if self._repeats:
            yield 1, "}"
        if self.fetches:
            yield 1, "return 0;"

    def _calls(self) -> dict[int, list[str]]:
        """Statements by what stands for them in the order of calls."""
        layers = len(self.region.layers)
        shifted = self.floating.shifted
        found = {
            start: [*shifted(self.fetches + index), *self._call(index)]
            for index, start in enumerate(self.region.starts)
        }
        for number in range(self.fetches):
            found[layers + number] = [*shifted(number), *self._fetch(number)]
        for number in sorted(self.filled):
            passed = self.floating.passed(number)
            found[layers + self.fetches + number] = [*shifted(number), *self._fill(number), *passed]
        return found

    @property
    def _repeats(self) -> bool:
        """Whether the function runs over several strips itself."""
        return self.shape.strips > 1

    def _row(self, index: int) -> str:
        """Variable of the next row of a stage."""
        return f"row_{self.fetches + index}"

    def _tensor(self, index: int) -> str:
        """The tensor that a stage makes."""
        return self.shape.stages[index].node.tensor

    def _state(self) -> Iterator[str]:
        """Declarations: next row of every layer, first row in every line buffer; rows above the image."""
        rows = ", ".join(f"row_{number} = 0" for number in range(len(self.shape.operations)))
        yield f"int32_t {rows};"
        yield from self.floating.declared()
        buffers = self.shape.stream.buffers
        # Where rows lie at the end, those above the image do.
        begins = {
            tensor: buffer.rows if self._rises(tensor) else buffer.above for tensor, buffer in buffers.items()
        }
        firsts = [f"first_{made} = {-begins[tensor]}" for tensor, made in self.moving.items()]
        if firsts:
            yield f"int32_t {', '.join(firsts)};"
        for tensor, buffer in buffers.items():
            if buffer.above:
                # Rows of planes lie apart; what else is filled with them is not in use yet.
                filled = buffer.rows if tensor in self.region.planes else buffer.above
                pitch = self.shape.pitch(tensor)
                place = plus(f"line_{self.lines[tensor]}", (begins[tensor] - buffer.above) * pitch)
                yield f"tinyml_fill_bytes({place}, {self._border(tensor)}, {filled * pitch});"

    def _border(self, tensor: str) -> int:
        """Value of what lies outside the image; where there is none, nothing that is kept depends on it."""
        return self.shape.borders.get(tensor, 0)

    def _call(self, index: int) -> Iterator[str]:
        if index in self.region.segments:
            yield from self._segment(index)
            return
        layer, stage = self.region.layer(index), self.region.stage(index)
        tensor, rows = stage.node.tensor, stage.operation.rows
        yield from self._room(self.fetches + index, str(rows))
        if stage.operation.accumulates:
            # Not before its first call: rows of an input may lie there until then.
            strip = " && strip == 0" if self.shape.strips > 1 else ""
            yield f"if ({self._row(index)} == 0{strip}) {{"
            cleared = self._bytes(tensor, "output", const=False)
            yield f"{_INDENT}tinyml_fill_bytes({cleared}, {stage.initial}, {stage.output.nbytes});"
            yield "}"
        parts = {
            name: plus(WORKSPACE, self.block.offsets[self.region.part_name(index, name)])
            for name in self.region.parts(index)
        }
        arguments = [self._argument(index, name, parts) for name in layer.arguments]
        place = self._place(index)
        arguments.append(self._cast(tensor, parts[tensor]) if tensor in parts else place)
        arguments += [f"(void *)({parts[buffer.name]})" for buffer in self.region.own_scratch(index)]
        yield f"{layer.function}({', '.join(arguments)});"
        if tensor in parts:
            yield from self._store(index, parts[tensor])
        if tensor in self.lines and tensor in self.shape.borders:
            yield from self._edges(self.fetches + index)
        yield from self._advance(self.fetches + index)

    def _advance(self, number: int) -> Iterator[str]:
        """An operation has made its rows and passed those that it does not read again."""
        row, operation = f"row_{number}", self.shape.operations[number]
        if operation.members:
            yield f"{row} += {self._made(number)};"
        elif operation.height % operation.rows:
            # Rows that the last call made beyond the image do not count.
            yield f"{row} = tinyml_least({row} + {operation.rows}, {operation.height});"
        else:
            yield f"{row} += {operation.rows};"
        for tensor in dict.fromkeys(read.tensor for read in operation.reads):
            if tensor in self.moving and tensor in self.block.settled:
                made, pitch = self.moving[tensor], self.shape.pitch(tensor)
                rest = f"first_{made}, row_{made}, {self._keep(tensor)}"
                yield f"first_{made} = tinyml_settle_rows(line_{made}, {pitch}, {rest});"

    def _segment(self, index: int) -> Iterator[str]:
        """The call of a segment: it makes one band."""
        number, segment = self.fetches + index, self.region.segments[index]
        operation, row = self.shape.operations[number], self._row(index)
        yield from self._room(number, self._made(number))
        arguments = [f"({plus(row, operation.rows - operation.lead)}) / {operation.rows}"]
        arguments += [self.strip] if self._repeats else []
        for tensor in segment.shape.inputs:
            read = self.region.reads(index).get(tensor)
            if read is None:
                arguments.append(self.inputs[tensor])
            elif tensor in self.lines:
                begin = plus(times(row, read.rows.stride), read.rows.first)
                arguments += [f"line_{self.lines[tensor]}", self._first(tensor, begin)]
            else:
                arguments += [self._bytes(tensor, self.inputs[tensor]), "0"]
        tensor = operation.output
        if tensor in self.lines:
            arguments += [f"line_{number}", self._first(tensor, row)]
        else:
            arguments += [self._bytes(tensor, "output", const=False), "0"]
        arguments.append(WORKSPACE)
        yield f"{segment.symbol}({', '.join(arguments)});"
        if tensor in self.lines and tensor in self.shape.borders:
            yield from self._edges(number)
        yield from self._advance(number)

    def _first(self, tensor: str, row: str) -> str:
        """Row that the line buffer of `tensor` holds first, where row `row` is used."""
        return f"first_{self.lines[tensor]}" if tensor in self.moving else row

    def _made(self, number: int) -> str:
        """Rows that the next call of an operation makes."""
        operation, row = self.shape.operations[number], f"row_{number}"
        rows, lead = operation.rows, operation.lead
        if not operation.members or (lead == rows and operation.height % rows == 0):
            return str(rows)
        next_band = f"{row} == 0 ? {lead} : {rows}" if lead != rows else str(rows)
        return f"tinyml_least({next_band}, {operation.height} - {row})"

    def _room(self, number: int, rows: str) -> Iterator[str]:
        tensor = self.shape.operations[number].output
        if tensor not in self.moving or tensor in self.block.settled:
            return
        first, row = f"first_{number}", f"row_{number}"
        keep, step = self._keep(tensor), self._row_step(tensor)
        if self._rises(tensor):
            keep = f"tinyml_most({keep}, {-self.shape.stream.buffers[tensor].above})"
            yield f"{first} = tinyml_raise_rows(line_{number}, {step}, {first}, {row}, {keep}, {rows});"
            return
        if rows == str(self.region.slots(tensor)):
            # They take the whole line buffer.
            yield f"{first} = {row};"
            return
        yield f"if ({row} + {rows} - {first} > {self.region.slots(tensor)}) {{"
        if tensor in self.region.planes:
            last = self.shape.plane(tensor) * (self.shape.pitch(tensor) // step - 1)
            call = f"tinyml_drop_plane_rows(line_{number}, {last}, {step}"
        else:
            call = f"tinyml_drop_rows(line_{number}, {step}"
        yield f"{_INDENT}{first} = {call}, {first}, {row}, {keep});"
        yield "}"

    def _rises(self, tensor: str) -> bool:
        """Whether the rows of a line buffer lie at its end."""
        return tensor in self.moving and tensor in self.block.raised

    def _keep(self, tensor: str) -> str:
        """First row of a tensor that is still needed."""
        first, *others = (
            plus(times(self._row(reader), read.rows.stride), read.rows.first)
            for reader, read in self._readers(tensor)
        )
        for other in others:
            first = f"tinyml_least({first}, {other})"
        return first

    def _readers(self, tensor: str) -> list[tuple[int, Read]]:
        return [
            (index, self.region.reads(index)[tensor])
            for index in range(len(self.shape.stages))
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
        begin = plus(times(self._row(index), read.rows.stride), read.rows.first)
        slot, pitch = self._slot(tensor, begin), self.shape.pitch(tensor)
        pixel = pixel_bytes(self.shape.specs[tensor])
        if tensor not in parts:
            place = self._row_of(tensor, begin)
            if made < self.fetches and self.shape.strips > 1 and self.region.fetched(made).whole:
                place = f"{place} + {scaled(self._first_column(tensor), pixel)}"
                place = plus(place, self.region.fetched(made).before)
            return self._cast(tensor, place)
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
        begin = plus(times(self._row(index), read.rows.stride), read.rows.first)
        pitch, name, height = row_bytes(spec), self.inputs[tensor], spec.shape[ROWS]
        span = read.rows.span(self.shape.stages[index].operation.rows)
        direct = self._cast(tensor, f"{self._bytes(tensor, name)} + {scaled(begin, pitch)}", const=True)
        if tensor not in parts:
            return direct
        needed, pixel = self._needed(index, read), pixel_bytes(spec)
        column = str(0)
        if not self.shape.whole:
            column = scaled(plus(times(self.strip, needed.step), needed.first), pixel)
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
        outside.append(f"{plus(begin, span)} > {height}")
        return f"{' || '.join(outside)} ? {copied} : {direct}"

    def _copied(self, tensor: str, source: Sequence[object], window: Sequence[object]) -> str:
        """A window copied to the workspace: (to, image, height, pitch, row), (rows, column, bytes, value)."""
        text = f"tinyml_copy_window({', '.join(map(str, (*source, *window)))})"
        return self._cast(tensor, text, const=True)

    def _needed(self, index: int, read: Read) -> Columns:
        """Columns of `read` that stage `index` needs."""
        if self.shape.whole:
            return Columns(0, 0, self.shape.specs[read.tensor].shape[COLUMNS])
        return read_columns(read, self.shape.columns[self._tensor(index)])

    def _slot(self, tensor: str, row: str) -> str:
        """Where row `row` lies in the line buffer of `tensor`, in rows."""
        return f"{row} - first_{self.lines[tensor]}" if tensor in self.moving else "0"

    def _row_of(self, tensor: str, row: str) -> str:
        """Address of a row in the line buffer of `tensor`."""
        line = f"line_{self.lines[tensor]}"
        if tensor not in self.moving:
            return line
        return f"{line} + {scaled(self._slot(tensor, row), self._row_step(tensor))}"

    def _row_step(self, tensor: str) -> int:
        """Bytes from one row to the next in the line buffer of `tensor`."""
        if tensor in self.region.planes:
            return self.shape.columns[tensor].width
        return self.shape.pitch(tensor)

    def _place(self, index: int) -> str:
        """Where the rows that stage `index` makes belong."""
        tensor = self._tensor(index)
        if tensor in self.lines:
            return self._cast(tensor, self._row_of(tensor, self._row(index)))
        if self.shape.stages[index].operation.accumulates:
            return "output"
        output = self._bytes(tensor, "output", const=False)
        text = f"{output} + {scaled(self._row(index), row_bytes(self.shape.specs[tensor]))}"
        return self._cast(tensor, text)

    def _store(self, index: int, source: str) -> Iterator[str]:
        """Copy what layer `index` made from the workspace to its place, without what lies outside the image."""
        stage = self.region.stage(index)
        tensor, operation = stage.node.tensor, stage.operation
        rows, pitch = operation.rows, self.shape.pitch(tensor)
        if tensor in self.lines:
            yield f"tinyml_move_bytes({self._row_of(tensor, self._row(index))}, {source}, {rows * pitch});"
            return
        full = row_bytes(stage.node.output)
        row, count = self._row(index), str(rows)
        if operation.height % rows:
            count = f"tinyml_least({rows}, {operation.height} - {row})"
        target, width = f"{self._bytes(tensor, 'output', const=False)} + {scaled(row, full)}", str(pitch)
        if self.shape.strips > 1:
            target += f" + {times('strip', pitch)}"
            if full % pitch:
                width = f"tinyml_least({pitch}, {full} - {times('strip', pitch)})"
        yield f"tinyml_copy_rows({target}, {full}, {source}, {pitch}, {count}, {width});"

    def _edges(self, number: int) -> Iterator[str]:
        """Overwrite the columns outside the image that an operation made or did not fetch."""
        operation = self.shape.operations[number]
        tensor = operation.output
        if not self._leaves_image(tensor):
            return
        columns, pixel = self.shape.columns[tensor], pixel_bytes(self.shape.specs[tensor])
        channels = pixel if tensor in self.region.planes else 1
        begin, pixel = self._first_column(tensor), pixel // channels
        left = f"({begin}) * -{pixel}"
        right = scaled(plus(begin, columns.width - operation.width), pixel)
        place, rows, step = self._row_of(tensor, f"row_{number}"), self._made(number), self._row_step(tensor)
        edges = f"{place}, {rows}, {step}, {left}, {right}, {self._border(tensor)}"
        if channels > 1:
            yield f"tinyml_fill_plane_edges({edges}, {channels}, {self.shape.plane(tensor)});"
        else:
            yield f"tinyml_fill_edges({edges});"

    def _leaves_image(self, tensor: str) -> bool:
        """Whether some strip has columns of `tensor` outside the image."""
        columns = self.shape.columns[tensor]
        last = (self.shape.strips - 1) * columns.step + columns.first + columns.width
        return columns.first < 0 or last > self.shape.specs[tensor].shape[COLUMNS]

    def _first_column(self, tensor: str) -> str:
        """First column of the strip."""
        columns = self.shape.columns[tensor]
        return plus(times(self.strip, columns.step), columns.first)

    def _fetch(self, number: int) -> Iterator[str]:
        """Rows that the application supplies."""
        operation = self.shape.operations[number]
        tensor, pitch = operation.output, self.shape.pitch(operation.output)
        yield from self._room(number, str(operation.rows))
        row, rows, width = f"row_{number}", str(operation.rows), operation.width
        if operation.height % operation.rows:
            rows = f"tinyml_least({rows}, {operation.height} - {row})"
        place, pixel = self._row_of(tensor, row), pixel_bytes(self.shape.specs[tensor])
        fetched, every = self.region.fetched(number), ("0", str(width))
        column, count = self._first_column(tensor), str(self.shape.columns[tensor].width)
        inside, guard = place, ""
        if self._leaves_image(tensor):
            begin = f"tinyml_most({column}, 0)"
            inside = f"{place} + {scaled(f'{begin} - ({column})', pixel)}"
            count = f"tinyml_least({plus(column, int(count))}, {width}) - {begin}"
            column = begin
        if any(one is None for one in self._requests(number)):
            guard = f"{count} > 0"
        if fetched.whole:
            call = self._pull(number, rows, every, plus(place, fetched.before), width * pixel)
        elif fetched.beside:
            # Rows are fetched one by one.
            beside = plus(WORKSPACE, self.block.offsets[self.region.row_name(number)])
            call = self._pull(number, rows, every, beside, fetched.beside)
        else:
            call = self._pull(number, rows, (column, count), inside, pitch)
            call = f"{guard} ? {call} : 0" if guard else call
        yield f"status = {call};"
        yield "if (status != 0) {"
        yield f"{_INDENT}return status;"
        yield "}"
        if fetched.beside:
            moved = f"{inside}, {beside} + {scaled(column, pixel)}, {scaled(count, pixel)}"
            moved = f"tinyml_move_bytes({moved});"
            yield from (f"if ({guard}) {{", f"{_INDENT}{moved}", "}") if guard else (moved,)
        if not fetched.whole:
            yield from self._edges(number)
        yield from self._advance(number)

    def _pull(self, number: int, rows: str, columns: tuple[str, str], place: str, pitch: int) -> str:
        """The call of the application; columns: the first one and how many."""
        tensor = self.shape.operations[number].output
        what = f"row_{number}, {rows}, {', '.join(columns)}"
        return f"pull_{number}(context_{number}, {what}, {self._cast(tensor, place)}, {pitch})"

    def _requests(self, number: int) -> list[Request | None]:
        """What every strip needs of the first rows; None where all columns lie outside the image."""
        operation, shape = self.shape.operations[number], self.shape
        columns = shape.columns[operation.output]
        return [requested(operation, columns, strip, 0, whole_rows=False) for strip in range(shape.strips)]

    def _fill(self, number: int) -> Iterator[str]:
        """One row below the image."""
        tensor = self.shape.operations[number].output
        pitch = self.shape.pitch(tensor)
        yield from self._room(number, "1")
        if tensor in self.shape.borders:
            place = self._row_of(tensor, f"row_{number}")
            if tensor in self.region.planes:
                step = self._row_step(tensor)
                planes = f"{place}, {pitch // step}, {self.shape.plane(tensor)}, {step}"
                yield f"tinyml_fill_rows({planes}, {self._border(tensor)});"
            else:
                yield f"tinyml_fill_bytes({place}, {self._border(tensor)}, {pitch});"
        yield f"row_{number} += 1;"

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
