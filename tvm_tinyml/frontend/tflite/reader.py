"""Read a .tflite file into plain values, trusting nothing in it.

The layout is the published TensorFlow Lite schema (version 3) as FlatBuffers. The FlatBuffers runtime for
Python checks no offset and no length, so this module is the one place that reads through it: whatever
the runtime raises becomes a ModelError, and lengths are checked against the size of the file before anything
of that length is made. Constants stay views of the file's bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite

from ...errors import ModelError
from .graph import ITEM_BYTES, Array, Graph, Operator, OptionValue, Quantization, Tensor

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
# The smallest file with a root offset and an identifier.
HEADER_BYTES = 8
# Limits far above any model for a microcontroller, so that a hostile file cannot ask for unbounded work.
MAX_TABLES = 16_384
MAX_RANK = 8
MAX_ACTIVATION_BYTES = 1 << 30
MAX_CONSTANT_BYTES = 1 << 26
# Quantised dimensions and zero points are checked for these element types.
ZERO_POINT_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
# A table without fields (vtable of 4 bytes, then its offset): reading it gives every schema default.
EMPTY_TABLE = b"\x04\x00\x04\x00\x04\x00\x00\x00"
EMPTY_TABLE_POSITION = 4
# Places of fields in their tables' vtables.
NAME_SLOT, CUSTOM_CODE_SLOT, BUILTIN_CODE_SLOT = 10, 6, 10
RUNTIME_ERRORS = (struct.error, IndexError, ValueError, TypeError, OverflowError)


@dataclass(frozen=True)
class OptionsTable:
    """Which options an operator has: the schema's table name and its fields in snake case."""

    name: str
    fields: tuple[str, ...]


def read_graph(
    data: bytes, source: str, options: Mapping[str, OptionsTable], root: tflite.Model | None = None
) -> Graph:
    """Read the first subgraph of a model.

    Args:
        data: the file.
        source: what error messages call the file.
        options: the options to read, by operator kind; other operators keep none.
        root: the model table, when it is not the one the file starts with.

    Raises:
        ModelError: the file is truncated, inconsistent or not a TFLite model.
    """
    try:
        return _Reader(data, source, options).graph(root)
    except RUNTIME_ERRORS as error:
        raise ModelError(
            f"{source}: damaged model file ({type(error).__name__}: {error}); an offset or a length points "
            f"outside its {len(data)} bytes. Export or copy the model again."
        ) from error


def names_by_value(enumeration: type) -> dict[int, str]:
    """Names of a schema enumeration by value."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


class _Reader:
    """Reads one file; `budget` bounds the work that vectors shared by many tables could cause."""

    def __init__(self, data: bytes, source: str, options: Mapping[str, OptionsTable]) -> None:
        self.data = data
        self.source = source
        self.options = options
        self.budget = 4 * len(data)
        self.operator_names = names_by_value(tflite.BuiltinOperator)
        self.type_names = {value: name.lower() for value, name in names_by_value(tflite.TensorType).items()}

    def fail(self, reason: str) -> ModelError:
        """The error for a file that is inconsistent."""
        return ModelError(f"{self.source}: damaged model file: {reason}. Export or copy the model again.")

    def spend(self, nbytes: int, what: str) -> None:
        """Account for `nbytes` of vector contents."""
        self.budget -= nbytes
        if self.budget < 0:
            raise self.fail(f"{what} is longer than the file can hold")

    def table_count(self, count: int, what: str) -> int:
        """Check the length of a vector of tables."""
        if count > MAX_TABLES:
            raise self.fail(f"{count} {what}, the limit is {MAX_TABLES}")
        self.spend(4 * count, what)
        return count

    def table(self, table: Any, what: str) -> Any:
        """`table` after checking that it, its vtable and its fields lie inside the file."""
        start = table._tab.Pos
        vtable = start - struct.unpack_from("<i", self.data, start)[0]
        if start % 4 or vtable % 2 or not 0 <= vtable < len(self.data):
            raise self.fail(f"the table of {what} is misplaced")
        vtable_bytes, table_bytes = struct.unpack_from("<HH", self.data, vtable)
        fields = struct.unpack_from(f"<{max(0, vtable_bytes // 2 - 2)}H", self.data, vtable + 4)
        if vtable_bytes < 4 or vtable_bytes % 2 or start + table_bytes > len(self.data):
            raise self.fail(f"the table of {what} does not fit the file")
        if max(fields, default=0) >= max(table_bytes, 4):
            raise self.fail(f"a field of {what} lies outside its table")
        return table

    def integers(self, vector: Any, what: str) -> tuple[int, ...]:
        """Contents of an integer vector read `AsNumpy` (0 when absent)."""
        if isinstance(vector, int):
            return ()
        self.spend(vector.nbytes, what)
        return tuple(vector.tolist())

    def text(self, table: Any, slot: int, what: str) -> str:
        """The string in a table's `slot`, empty when there is none, with everything unprintable replaced."""
        offset = table._tab.Offset(slot)
        if not offset:
            return ""
        start, length = table._tab.Vector(offset), table._tab.VectorLen(offset)
        self.spend(length, what)
        # The schema's strings are followed by a zero byte, which is not part of their length.
        if self.data[start + length : start + length + 1] != b"\0":
            raise self.fail(f"{what} has no end")
        decoded = self.data[start : start + length].decode("utf-8", errors="replace")
        return "".join(character if character.isprintable() else "?" for character in decoded)

    def graph(self, root: tflite.Model | None) -> Graph:
        """The first subgraph."""
        if len(self.data) < HEADER_BYTES or self.data[4:8] != IDENTIFIER:
            raise ModelError(
                f"{self.source}: not a TFLite model: the identifier {IDENTIFIER.decode()} is missing "
                "at byte 4. Give a .tflite file."
            )
        model = self.table(tflite.Model.GetRootAs(self.data, 0) if root is None else root, "the model")
        if model.Version() != SCHEMA_VERSION:
            raise self.fail(f"schema version {model.Version()}, expected {SCHEMA_VERSION}")
        subgraphs = self.table_count(model.SubgraphsLength(), "subgraphs")
        if subgraphs == 0:
            raise self.fail("it holds no subgraph")
        main = self.table(model.Subgraphs(0), "the first subgraph")
        buffers = self._buffers(model)
        tensors = self._tensors(main, buffers)
        self._check_memory(tensors)
        kinds = self._kinds(model)
        count = self.table_count(main.OperatorsLength(), "operators")
        operators = tuple(self._operator(i, main.Operators(i), kinds, tensors) for i in range(count))
        inputs = self._pick(main.InputsAsNumpy(), tensors, "the list of graph inputs")
        outputs = self._pick(main.OutputsAsNumpy(), tensors, "the list of graph outputs")
        graph = Graph(self.source, tensors, operators, inputs, outputs, subgraphs)
        self._check_order(graph)
        return graph

    def _buffers(self, model: tflite.Model) -> list[Array | str]:
        """Contents of every buffer (empty for none), or why it cannot be read."""
        contents: list[Array | str] = []
        for index in range(self.table_count(model.BuffersLength(), "buffers")):
            buffer = self.table(model.Buffers(index), f"buffer {index}")
            if buffer.Offset() > 1 or buffer.Size() > 1:
                contents.append("stored outside the model's tables")
                continue
            data = buffer.DataAsNumpy()
            contents.append(np.zeros(0, np.uint8) if isinstance(data, int) else data)
        return contents

    def _kinds(self, model: tflite.Model) -> list[str]:
        kinds = []
        for index in range(self.table_count(model.OperatorCodesLength(), "operator codes")):
            what = f"operator code {index}"
            code = self.table(model.OperatorCodes(index), what)
            # Files older than the 32-bit field have only the 8-bit one, others may have either or both.
            # The generated accessor ignores the wide field for small codes, LiteRT does not.
            offset = code._tab.Offset(BUILTIN_CODE_SLOT)
            wide = struct.unpack_from("<i", self.data, code._tab.Pos + offset)[0] if offset else 0
            value = max(wide, code.DeprecatedBuiltinCode())
            kind = self.operator_names.get(value, f"BUILTIN({value})")
            custom = self.text(code, CUSTOM_CODE_SLOT, f"the name of {what}")
            kinds.append(f"CUSTOM({custom})" if kind == "CUSTOM" else kind)
        return kinds

    def _tensors(self, subgraph: tflite.SubGraph, buffers: list[Array | str]) -> tuple[Tensor, ...]:
        count = self.table_count(subgraph.TensorsLength(), "tensors")
        tables = [self.table(subgraph.Tensors(index), f"tensor {index}") for index in range(count)]
        names = _unique_names(
            [self.text(table, NAME_SLOT, f"the name of tensor {i}") for i, table in enumerate(tables)]
        )
        return tuple(
            self._tensor(index, table, name, buffers)
            for index, (table, name) in enumerate(zip(tables, names, strict=True))
        )

    def _tensor(self, index: int, table: tflite.Tensor, name: str, buffers: list[Array | str]) -> Tensor:
        what = f"tensor {index} '{name}'"
        shape = self.integers(table.ShapeAsNumpy(), f"the shape of {what}")
        signature = self.integers(table.ShapeSignatureAsNumpy(), f"the shape signature of {what}")
        if len(shape) > MAX_RANK:
            raise self.fail(f"{what} has {len(shape)} axes, the limit is {MAX_RANK}")
        if signature and len(signature) != len(shape):
            raise self.fail(f"{what} has {len(shape)} axes and a shape signature of {len(signature)}")
        if table.Type() not in self.type_names:
            raise self.fail(f"{what} has the unknown element type {table.Type()}")
        dtype = self.type_names[table.Type()]
        if table.Buffer() >= len(buffers):
            raise self.fail(f"{what} refers to buffer {table.Buffer()} of {len(buffers)}")
        raw = buffers[table.Buffer()]
        obstacle = f"{raw}" if isinstance(raw, str) else ""
        quantization = None
        if (parameters := table.Quantization()) is not None:
            if parameters.DetailsType() != tflite.QuantizationDetails.NONE:
                obstacle = "quantised in a custom way"
            quantization = self._quantization(self.table(parameters, what), what, shape, dtype)
        if table.Sparsity() is not None:
            obstacle = "sparse"
        if table.IsVariable():
            obstacle = "a variable that keeps its value between inferences"
        data = None
        if not isinstance(raw, str) and raw.size:
            data = raw if obstacle or dtype not in ITEM_BYTES else self._constant(raw, shape, dtype, what)
        return Tensor(index, name, shape, signature or None, dtype, quantization, data, obstacle)

    def _constant(self, raw: Array, shape: tuple[int, ...], dtype: str, what: str) -> Array:
        expected = math.prod(shape) * ITEM_BYTES[dtype]
        if any(extent < 1 for extent in shape) or raw.nbytes != expected:
            raise self.fail(
                f"{what} is {dtype}{list(shape)} and needs {expected} bytes, its buffer has {raw.nbytes}"
            )
        contents: Array = raw.view(np.dtype(dtype).newbyteorder("<")).reshape(shape)
        return contents

    def _quantization(
        self, table: tflite.QuantizationParameters, what: str, shape: tuple[int, ...], dtype: str
    ) -> Quantization | None:
        scales, zero_points = table.ScaleAsNumpy(), table.ZeroPointAsNumpy()
        if isinstance(scales, int) or scales.size == 0:
            return None
        axis = table.QuantizedDimension()
        if scales.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scales.size):
            raise self.fail(f"{what} has {scales.size} scales along axis {axis}, its shape is {list(shape)}")
        self.spend(scales.nbytes, f"the scales of {what}")
        if isinstance(zero_points, int) or zero_points.size == 0:
            zero_points = np.zeros(scales.size, np.int64)
        if zero_points.size != scales.size:
            raise self.fail(f"{what} has {scales.size} scales and {zero_points.size} zero points")
        if not np.isfinite(scales).all() or (scales < 0).any():
            raise self.fail(f"{what} has a scale that is not a finite positive number")
        low, high = ZERO_POINT_RANGES.get(dtype, (-(2**63), 2**63 - 1))
        if zero_points.min() < low or zero_points.max() > high:
            raise self.fail(f"{what} has a zero point outside {low}..{high}")
        return Quantization(scales, zero_points, axis)

    def _check_memory(self, tensors: tuple[Tensor, ...]) -> None:
        known = [tensor for tensor in tensors if min(tensor.shape, default=1) > 0]
        for constant, limit in ((False, MAX_ACTIVATION_BYTES), (True, MAX_CONSTANT_BYTES)):
            total = sum(t.elements * ITEM_BYTES.get(t.dtype, 1) for t in known if t.is_constant == constant)
            if total > limit:
                what = "constants" if constant else "activations"
                raise ModelError(
                    f"{self.source}: its {what} take {total} bytes together, the limit is {limit}. "
                    "Use a smaller model."
                )

    def _pick(self, vector: Any, tensors: tuple[Tensor, ...], what: str) -> tuple[Tensor, ...]:
        indices = self.integers(vector, what)
        for index in indices:
            if not 0 <= index < len(tensors):
                raise self.fail(f"{what} names tensor {index} of {len(tensors)}")
        return tuple(tensors[index] for index in indices)

    def _operator(
        self, index: int, table: tflite.Operator, kinds: list[str], tensors: tuple[Tensor, ...]
    ) -> Operator:
        self.table(table, f"operator {index}")
        code = table.OpcodeIndex()
        if not 0 <= code < len(kinds):
            raise self.fail(f"operator {index} refers to operator code {code} of {len(kinds)}")
        what = f"operator {index} {kinds[code]}"
        inputs: list[Tensor | None] = []
        for tensor in self.integers(table.InputsAsNumpy(), f"the input list of {what}"):
            if not -1 <= tensor < len(tensors):
                raise self.fail(f"{what} reads tensor {tensor} of {len(tensors)}")
            inputs.append(None if tensor == -1 else tensors[tensor])
        outputs = self._pick(table.OutputsAsNumpy(), tensors, f"the output list of {what}")
        return Operator(index, kinds[code], tuple(inputs), outputs, self._options(table, kinds[code], what))

    def _options(self, table: tflite.Operator, kind: str, what: str) -> dict[str, OptionValue]:
        wanted = self.options.get(kind)
        if wanted is None:
            return {}
        stored = table.BuiltinOptionsType()
        expected = getattr(tflite.BuiltinOptions, wanted.name)
        union = table.BuiltinOptions()
        if stored not in (tflite.BuiltinOptions.NONE, expected):
            raise self.fail(
                f"{what} carries options of another operator (type {stored}, expected {expected})"
            )
        options = getattr(tflite, wanted.name)()
        if union is None or stored == tflite.BuiltinOptions.NONE:
            options.Init(EMPTY_TABLE, EMPTY_TABLE_POSITION)
        else:
            options.Init(union.Bytes, union.Pos)
            self.table(options, f"the options of {what}")
        return {field: self._field(options, field, what) for field in wanted.fields}

    def _field(self, options: Any, field: str, what: str) -> OptionValue:
        camel = "".join(part.capitalize() for part in field.split("_"))
        vector: Callable[[], Any] | None = getattr(options, f"{camel}AsNumpy", None)
        if vector is not None:
            return self.integers(vector(), f"option {field} of {what}")
        value: OptionValue = getattr(options, camel)()
        if isinstance(value, float) and not math.isfinite(value):
            raise self.fail(f"option {field} of {what} is {value}")
        return value

    def _check_order(self, graph: Graph) -> None:
        """Every tensor is written once, before it is read, and neither inputs nor constants are written."""
        available = {t.index for t in graph.tensors if t.is_constant}
        for tensor in graph.inputs:
            if tensor.index in available:
                raise self.fail(f"graph input {tensor} is a constant or listed twice")
            available.add(tensor.index)
        for operator in graph.operators:
            for source in operator.inputs:
                if source is None or source.obstacle or not source.elements:
                    continue
                if source.index not in available:
                    raise self.fail(f"{operator} reads {source}, which no earlier operator has written")
            for target in operator.outputs:
                if target.index in available:
                    raise self.fail(f"{operator} writes {target}, which already has a value")
                available.add(target.index)
        for tensor in graph.outputs:
            if tensor.index not in available:
                raise self.fail(f"graph output {tensor} is never written")


def _unique_names(stored: list[str]) -> list[str]:
    """Names made unique: t<index> for the nameless, name#index for repeated ones."""
    taken: set[str] = set()
    names = []
    for index, name in enumerate(stored):
        unique = name or f"t{index}"
        while unique in taken:
            unique = f"{unique}#{index}"
        taken.add(unique)
        names.append(unique)
    return names
