"""Graphs of operators as TFLite files, for compilers that read those.

Field meanings follow the published TensorFlow Lite schema (version 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

import flatbuffers
import numpy as np
import tflite

from .graph import Graph, Operator, OptionValue, Quantization, Tensor
from .reader import OptionsTable
from .schema_form import in_schema_form

_SCHEMA_VERSION = 3
_IDENTIFIER = b"TFL3"


def tensor_label(tensor: Tensor) -> str:
    """The name of a tensor in files that are written here: what a model calls it may be long, or anything."""
    return f"t{tensor.index}"


def write_graph(graph: Graph, tables: Mapping[str, OptionsTable]) -> bytes:
    """A TFLite file of a graph; tensors that no operator, input or output names are left out.

    tables: options by the kind of operator.
    Raises RejectionError for an operator that the schema has no form for.
    """
    unused = count(max((tensor.index for tensor in graph.tensors), default=0) + 1)
    operators = [one for operator in graph.operators for one in in_schema_form(operator, unused)]
    return _Writer(tables).model(operators, graph.inputs, graph.outputs)


class _Writer:
    def __init__(self, tables: Mapping[str, OptionsTable]) -> None:
        self._tables = tables
        self._builder = flatbuffers.Builder(1 << 16)
        # The first buffer is the one of tensors without contents.
        self._buffers: list[bytes] = [b""]
        self._kinds: list[str] = []

    def model(
        self, operators: Sequence[Operator], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> bytes:
        """The file."""
        used = [tensor for one in operators for tensor in (*one.inputs, *one.outputs) if tensor is not None]
        tensors = list(dict.fromkeys([*inputs, *used, *outputs]))
        numbers = {tensor: number for number, tensor in enumerate(tensors)}
        subgraph = self._subgraph(operators, numbers, inputs, outputs)
        subgraphs = self._tables_of(tflite.ModelStartSubgraphsVector, [subgraph])
        buffers = self._tables_of(
            tflite.ModelStartBuffersVector, [self._buffer(one) for one in self._buffers]
        )
        codes = self._tables_of(
            tflite.ModelStartOperatorCodesVector, [self._operator_code(kind) for kind in self._kinds]
        )
        tflite.ModelStart(self._builder)
        tflite.ModelAddVersion(self._builder, _SCHEMA_VERSION)
        tflite.ModelAddOperatorCodes(self._builder, codes)
        tflite.ModelAddSubgraphs(self._builder, subgraphs)
        tflite.ModelAddBuffers(self._builder, buffers)
        self._builder.Finish(tflite.ModelEnd(self._builder), _IDENTIFIER)
        return bytes(self._builder.Output())

    def _subgraph(
        self,
        operators: Sequence[Operator],
        numbers: Mapping[Tensor, int],
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
    ) -> int:
        tensors = [self._tensor(tensor) for tensor in numbers]
        every = self._tables_of(tflite.SubGraphStartTensorsVector, tensors)
        calls = self._tables_of(
            tflite.SubGraphStartOperatorsVector, [self._operator(one, numbers) for one in operators]
        )
        starts = self._vector([numbers[tensor] for tensor in inputs], "int32")
        ends = self._vector([numbers[tensor] for tensor in outputs], "int32")
        tflite.SubGraphStart(self._builder)
        tflite.SubGraphAddTensors(self._builder, every)
        tflite.SubGraphAddInputs(self._builder, starts)
        tflite.SubGraphAddOutputs(self._builder, ends)
        tflite.SubGraphAddOperators(self._builder, calls)
        return int(tflite.SubGraphEnd(self._builder))

    def _tensor(self, tensor: Tensor) -> int:
        number = 0
        if tensor.data is not None:
            number = len(self._buffers)
            self._buffers.append(np.ascontiguousarray(tensor.data).tobytes())
        name = self._builder.CreateString(tensor_label(tensor))
        shape = self._vector(tensor.shape, "int32")
        quantization = None if tensor.quantization is None else self._quantization(tensor.quantization)
        tflite.TensorStart(self._builder)
        tflite.TensorAddShape(self._builder, shape)
        tflite.TensorAddType(self._builder, getattr(tflite.TensorType, tensor.dtype.upper()))
        tflite.TensorAddBuffer(self._builder, number)
        tflite.TensorAddName(self._builder, name)
        if quantization is not None:
            tflite.TensorAddQuantization(self._builder, quantization)
        return int(tflite.TensorEnd(self._builder))

    def _quantization(self, quantization: Quantization) -> int:
        scales = self._vector(quantization.scales, "float32")
        zero_points = self._vector(quantization.zero_points, "int64")
        tflite.QuantizationParametersStart(self._builder)
        tflite.QuantizationParametersAddScale(self._builder, scales)
        tflite.QuantizationParametersAddZeroPoint(self._builder, zero_points)
        tflite.QuantizationParametersAddQuantizedDimension(self._builder, quantization.axis)
        return int(tflite.QuantizationParametersEnd(self._builder))

    def _operator(self, operator: Operator, numbers: Mapping[Tensor, int]) -> int:
        if operator.kind not in self._kinds:
            self._kinds.append(operator.kind)
        table = self._tables.get(operator.kind)
        inputs = self._vector([-1 if one is None else numbers[one] for one in operator.inputs], "int32")
        outputs = self._vector([numbers[tensor] for tensor in operator.outputs], "int32")
        options = None if table is None else self._options(table, operator.options)
        tflite.OperatorStart(self._builder)
        tflite.OperatorAddOpcodeIndex(self._builder, self._kinds.index(operator.kind))
        tflite.OperatorAddInputs(self._builder, inputs)
        tflite.OperatorAddOutputs(self._builder, outputs)
        if table is not None:
            tflite.OperatorAddBuiltinOptionsType(self._builder, getattr(tflite.BuiltinOptions, table.name))
            tflite.OperatorAddBuiltinOptions(self._builder, options)
        return int(tflite.OperatorEnd(self._builder))

    def _options(self, table: OptionsTable, options: Mapping[str, OptionValue]) -> int:
        """Vectors first: a table cannot be begun while another one is open."""
        fields = {
            name: self._vector(value, "int32") if isinstance(value, tuple) else value
            for name, value in options.items()
        }
        getattr(tflite, f"{table.name}Start")(self._builder)
        for name, value in fields.items():
            camel = "".join(part.capitalize() for part in name.split("_"))
            getattr(tflite, f"{table.name}Add{camel}")(self._builder, value)
        return int(getattr(tflite, f"{table.name}End")(self._builder))

    def _operator_code(self, kind: str) -> int:
        value = int(getattr(tflite.BuiltinOperator, kind))
        tflite.OperatorCodeStart(self._builder)
        # Readers that do not know the 32-bit field look at this one of 8 bits.
        beyond = int(tflite.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self._builder, min(value, beyond))
        tflite.OperatorCodeAddBuiltinCode(self._builder, value)
        tflite.OperatorCodeAddVersion(self._builder, 1)
        return int(tflite.OperatorCodeEnd(self._builder))

    def _buffer(self, contents: bytes) -> int:
        vector = self._builder.CreateByteVector(contents) if contents else None
        tflite.BufferStart(self._builder)
        if vector is not None:
            tflite.BufferAddData(self._builder, vector)
        return int(tflite.BufferEnd(self._builder))

    def _tables_of(self, start: Callable[[flatbuffers.Builder, int], object], tables: Sequence[int]) -> int:
        start(self._builder, len(tables))
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table)
        return int(self._builder.EndVector())

    def _vector(self, values: object, dtype: str) -> int:
        return int(self._builder.CreateNumpyVector(np.asarray(values, np.dtype(dtype)).reshape(-1)))


def builtin_results(model: bytes) -> list[str]:
    """Names of the tensors that operators of the schema make, not custom ones, in a file that a compiler wrote."""
    root = tflite.Model.GetRootAs(model, 0)
    graph = root.Subgraphs(0)
    kinds = [root.OperatorCodes(number).BuiltinCode() for number in range(root.OperatorCodesLength())]
    return [
        graph.Tensors(operator.Outputs(place)).Name().decode()
        for operator in map(graph.Operators, range(graph.OperatorsLength()))
        if kinds[operator.OpcodeIndex()] != tflite.BuiltinOperator.CUSTOM
        for place in range(operator.OutputsLength())
    ]
