"""Build small .tflite files in memory, one tensor and one operator at a time.

The layout follows the published TensorFlow Lite schema (schema version 3). A `Graph` collects tensors and
operators; `write_model` serialises one or several graphs. The writer checks nothing about an operator's
meaning, so that models a compiler must refuse can be written just as easily as valid ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

Array: TypeAlias = npt.NDArray[Any]
OptionValue: TypeAlias = int | float | bool | Sequence[int]

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
# The schema marks buffer contents with force_align: 16.
BUFFER_ALIGNMENT = 16

TENSOR_TYPES: dict[str, int] = {
    "float32": tflite.TensorType.FLOAT32,
    "int32": tflite.TensorType.INT32,
    "uint8": tflite.TensorType.UINT8,
    "int64": tflite.TensorType.INT64,
    "bool": tflite.TensorType.BOOL,
    "int16": tflite.TensorType.INT16,
    "int8": tflite.TensorType.INT8,
    "int4": tflite.TensorType.INT4,
}


@dataclass(frozen=True)
class Options:
    """An operator's options table.

    Attributes:
        table: name of the schema table, e.g. "Conv2DOptions".
        fields: field name in snake case -> scalar, or a sequence of int32 for vector fields.
    """

    table: str
    fields: Mapping[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True)
class SparseDimension:
    """One dimension of a sparse tensor: dense with `dense_size`, or compressed with segments and indices."""

    dense_size: int = 0
    segments: tuple[int, ...] | None = None
    indices: tuple[int, ...] | None = None


@dataclass
class TensorSpec:
    """One tensor as it will be written; see `Graph.tensor`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    quantized_dimension: int
    data: bytes | None
    shape_signature: tuple[int, ...] | None
    sparsity: tuple[SparseDimension, ...] | None


@dataclass
class OperatorSpec:
    """One operator as it will be written; see `Graph.operator`."""

    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options | None
    version: int


class Graph:
    """Tensors and operators of one subgraph, in the order in which they were added."""

    def __init__(self, name: str = "main") -> None:
        self.name = name
        self.tensors: list[TensorSpec] = []
        self.operators: list[OperatorSpec] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        scale: float | Sequence[float] | None = None,
        zero_point: int | Sequence[int] = 0,
        quantized_dimension: int = 0,
        data: Array | bytes | None = None,
        shape_signature: Sequence[int] | None = None,
        sparsity: Sequence[SparseDimension] | None = None,
    ) -> int:
        """Add a tensor and return its index.

        Args:
            shape: static shape; () is a scalar.
            dtype: a key of `TENSOR_TYPES`.
            scale: None leaves the tensor unquantised; a sequence quantises per channel.
            zero_point: one value for all channels, or one per scale.
            quantized_dimension: the axis of per-channel scales.
            data: contents of a constant (bytes are written as they are, an array is cast to `dtype`).
            shape_signature: the shape with -1 for unknown dimensions.
            sparsity: the storage of each dimension, outermost first.
        """
        scales = () if scale is None else tuple(float(s) for s in np.atleast_1d(np.asarray(scale)))
        zero_points = tuple(int(z) for z in np.broadcast_to(np.asarray(zero_point), (len(scales),)))
        if data is not None and not isinstance(data, bytes):
            data = np.ascontiguousarray(data, dtype=np.dtype(dtype)).tobytes()
        self.tensors.append(
            TensorSpec(
                name=name,
                shape=tuple(shape),
                dtype=dtype,
                scales=scales,
                zero_points=zero_points,
                quantized_dimension=quantized_dimension,
                data=data,
                shape_signature=None if shape_signature is None else tuple(shape_signature),
                sparsity=None if sparsity is None else tuple(sparsity),
            )
        )
        return len(self.tensors) - 1

    def input(
        self, name: str, shape: Sequence[int], dtype: str, *, scale: float | None = None, zero_point: int = 0
    ) -> int:
        """Add a tensor and list it as an input of the graph."""
        index = self.tensor(name, shape, dtype, scale=scale, zero_point=zero_point)
        self.inputs.append(index)
        return index

    def output(
        self, name: str, shape: Sequence[int], dtype: str, *, scale: float | None = None, zero_point: int = 0
    ) -> int:
        """Add a tensor and list it as an output of the graph."""
        index = self.tensor(name, shape, dtype, scale=scale, zero_point=zero_point)
        self.outputs.append(index)
        return index

    def constant(self, name: str, values: npt.ArrayLike, dtype: str = "int32") -> int:
        """Add an unquantised constant, e.g. a shape, axis or padding table."""
        array = np.asarray(values, dtype=np.dtype(dtype))
        return self.tensor(name, array.shape, dtype, data=array)

    def operator(
        self,
        code: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Options | None = None,
        *,
        version: int = 1,
    ) -> None:
        """Add an operator.

        Args:
            code: a BuiltinOperator name such as "CONV_2D"; any other name becomes a custom operator.
            inputs: tensor indices; -1 stands for an omitted optional input.
        """
        self.operators.append(OperatorSpec(code, tuple(inputs), tuple(outputs), options, version))


def write_model(*graphs: Graph, description: str = "written by the test suite") -> bytes:
    """Serialise graphs (the first is the main one) to the bytes of a .tflite file."""
    return _ModelSerialiser().serialise(graphs, description)


class _ModelSerialiser:
    """Writes one model; buffers and operator codes are shared by its graphs."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)
        # Buffer 0 is empty by convention: tensors without data refer to it.
        self.buffers: list[bytes] = [b""]
        self.codes: list[tuple[str, int]] = []

    def serialise(self, graphs: Sequence[Graph], description: str) -> bytes:
        builder = self.builder
        subgraphs = self._offsets(tflite.ModelStartSubgraphsVector, [self._graph(g) for g in graphs])
        buffers = self._offsets(tflite.ModelStartBuffersVector, [self._buffer(data) for data in self.buffers])
        codes = self._offsets(
            tflite.ModelStartOperatorCodesVector, [self._operator_code(*code) for code in self.codes]
        )
        text = builder.CreateString(description)
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, SCHEMA_VERSION)
        tflite.ModelAddOperatorCodes(builder, codes)
        tflite.ModelAddSubgraphs(builder, subgraphs)
        tflite.ModelAddDescription(builder, text)
        tflite.ModelAddBuffers(builder, buffers)
        builder.Finish(tflite.ModelEnd(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _offsets(self, start: Callable[[flatbuffers.Builder, int], object], offsets: Sequence[int]) -> int:
        start(self.builder, len(offsets))
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def _vector(self, values: Sequence[int] | Sequence[float], dtype: str) -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, dtype=np.dtype(dtype))))

    def _buffer(self, data: bytes) -> int:
        builder = self.builder
        vector = None
        if data:
            builder.StartVector(1, len(data), BUFFER_ALIGNMENT)
            builder.head = builder.head - len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        tflite.BufferStart(builder)
        if vector is not None:
            tflite.BufferAddData(builder, vector)
        return int(tflite.BufferEnd(builder))

    def _operator_code(self, code: str, version: int) -> int:
        builder = self.builder
        builtin = getattr(tflite.BuiltinOperator, code, None)
        custom = None if builtin is not None else builder.CreateString(code)
        value = int(tflite.BuiltinOperator.CUSTOM if builtin is None else builtin)
        tflite.OperatorCodeStart(builder)
        # Readers older than the 32-bit field see the placeholder for every code above 126.
        placeholder = int(tflite.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(value, placeholder))
        tflite.OperatorCodeAddBuiltinCode(builder, value)
        tflite.OperatorCodeAddVersion(builder, version)
        if custom is not None:
            tflite.OperatorCodeAddCustomCode(builder, custom)
        return int(tflite.OperatorCodeEnd(builder))

    def _graph(self, graph: Graph) -> int:
        builder = self.builder
        tensors = self._offsets(tflite.SubGraphStartTensorsVector, [self._tensor(t) for t in graph.tensors])
        operators = self._offsets(
            tflite.SubGraphStartOperatorsVector, [self._operator(op) for op in graph.operators]
        )
        inputs = self._vector(graph.inputs, "int32")
        outputs = self._vector(graph.outputs, "int32")
        name = builder.CreateString(graph.name)
        tflite.SubGraphStart(builder)
        tflite.SubGraphAddTensors(builder, tensors)
        tflite.SubGraphAddInputs(builder, inputs)
        tflite.SubGraphAddOutputs(builder, outputs)
        tflite.SubGraphAddOperators(builder, operators)
        tflite.SubGraphAddName(builder, name)
        return int(tflite.SubGraphEnd(builder))

    def _tensor(self, tensor: TensorSpec) -> int:
        builder = self.builder
        buffer = 0
        if tensor.data is not None:
            buffer = len(self.buffers)
            self.buffers.append(tensor.data)
        name = builder.CreateString(tensor.name)
        shape = self._vector(tensor.shape, "int32")
        signature = None if tensor.shape_signature is None else self._vector(tensor.shape_signature, "int32")
        quantization = self._quantization(tensor) if tensor.scales else None
        sparsity = None if tensor.sparsity is None else self._sparsity(tensor.sparsity)
        tflite.TensorStart(builder)
        tflite.TensorAddShape(builder, shape)
        tflite.TensorAddType(builder, TENSOR_TYPES[tensor.dtype])
        tflite.TensorAddBuffer(builder, buffer)
        tflite.TensorAddName(builder, name)
        tflite.TensorAddHasRank(builder, True)
        if quantization is not None:
            tflite.TensorAddQuantization(builder, quantization)
        if signature is not None:
            tflite.TensorAddShapeSignature(builder, signature)
        if sparsity is not None:
            tflite.TensorAddSparsity(builder, sparsity)
        return int(tflite.TensorEnd(builder))

    def _quantization(self, tensor: TensorSpec) -> int:
        builder = self.builder
        scales = self._vector(tensor.scales, "float32")
        zero_points = self._vector(tensor.zero_points, "int64")
        tflite.QuantizationParametersStart(builder)
        tflite.QuantizationParametersAddScale(builder, scales)
        tflite.QuantizationParametersAddZeroPoint(builder, zero_points)
        tflite.QuantizationParametersAddQuantizedDimension(builder, tensor.quantized_dimension)
        return int(tflite.QuantizationParametersEnd(builder))

    def _sparsity(self, dimensions: Sequence[SparseDimension]) -> int:
        builder = self.builder
        metadata = self._offsets(
            tflite.SparsityParametersStartDimMetadataVector, [self._sparse_dimension(d) for d in dimensions]
        )
        order = self._vector(range(len(dimensions)), "int32")
        tflite.SparsityParametersStart(builder)
        tflite.SparsityParametersAddTraversalOrder(builder, order)
        tflite.SparsityParametersAddDimMetadata(builder, metadata)
        return int(tflite.SparsityParametersEnd(builder))

    def _sparse_dimension(self, dimension: SparseDimension) -> int:
        builder = self.builder
        if dimension.segments is None or dimension.indices is None:
            tflite.DimensionMetadataStart(builder)
            tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.DENSE)
            tflite.DimensionMetadataAddDenseSize(builder, dimension.dense_size)
            return int(tflite.DimensionMetadataEnd(builder))
        segments = self._int32_vector_table(dimension.segments)
        indices = self._int32_vector_table(dimension.indices)
        tflite.DimensionMetadataStart(builder)
        tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.SPARSE_CSR)
        tflite.DimensionMetadataAddArraySegmentsType(builder, tflite.SparseIndexVector.Int32Vector)
        tflite.DimensionMetadataAddArraySegments(builder, segments)
        tflite.DimensionMetadataAddArrayIndicesType(builder, tflite.SparseIndexVector.Int32Vector)
        tflite.DimensionMetadataAddArrayIndices(builder, indices)
        return int(tflite.DimensionMetadataEnd(builder))

    def _int32_vector_table(self, values: Sequence[int]) -> int:
        vector = self._vector(values, "int32")
        tflite.Int32VectorStart(self.builder)
        tflite.Int32VectorAddValues(self.builder, vector)
        return int(tflite.Int32VectorEnd(self.builder))

    def _operator(self, operator: OperatorSpec) -> int:
        builder = self.builder
        code = (operator.code, operator.version)
        if code not in self.codes:
            self.codes.append(code)
        inputs = self._vector(operator.inputs, "int32")
        outputs = self._vector(operator.outputs, "int32")
        options = None if operator.options is None else self._options(operator.options)
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, self.codes.index(code))
        tflite.OperatorAddInputs(builder, inputs)
        tflite.OperatorAddOutputs(builder, outputs)
        if operator.options is not None:
            tflite.OperatorAddBuiltinOptionsType(
                builder, getattr(tflite.BuiltinOptions, operator.options.table)
            )
            tflite.OperatorAddBuiltinOptions(builder, options)
        return int(tflite.OperatorEnd(builder))

    def _options(self, options: Options) -> int:
        builder = self.builder
        values = {
            name: self._vector(value, "int32") if isinstance(value, Sequence) else value
            for name, value in options.fields.items()
        }
        getattr(tflite, f"{options.table}Start")(builder)
        for name, value in values.items():
            camel = "".join(part.capitalize() for part in name.split("_"))
            getattr(tflite, f"{options.table}Add{camel}")(builder, value)
        return int(getattr(tflite, f"{options.table}End")(builder))
