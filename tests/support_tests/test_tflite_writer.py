"""What the writer writes can be read back field by field."""

from __future__ import annotations

import numpy as np
import pytest
import tflite

from tests.support.tflite_writer import BUFFER_ALIGNMENT, Graph, Options, SparseDimension, write_model


def _convolution() -> Graph:
    graph = Graph("network")
    image = graph.input("image", (1, 4, 5, 3), "int8", scale=0.5, zero_point=-7)
    weights = graph.tensor(
        "weights",
        (2, 1, 1, 3),
        "int8",
        scale=[0.25, 0.125],
        quantized_dimension=0,
        data=np.array([1, -2, 3, -4, 5, -6]),
    )
    bias = graph.tensor("bias", (2,), "int32", scale=[0.125, 0.0625], data=np.array([100, -100]))
    features = graph.output("features", (1, 2, 5, 2), "int8", scale=0.75, zero_point=3)
    graph.operator(
        "CONV_2D",
        [image, weights, bias],
        [features],
        Options("Conv2DOptions", {"padding": 1, "stride_h": 2, "stride_w": 1, "dilation_w_factor": 3}),
    )
    return graph


def test_tensors_read_back_as_written() -> None:
    model = tflite.Model.GetRootAs(write_model(_convolution()), 0)
    graph = model.Subgraphs(0)
    assert (model.Version(), graph.Name(), graph.TensorsLength()) == (3, b"network", 4)
    weights = graph.Tensors(1)
    assert weights.Name() == b"weights"
    assert weights.Type() == tflite.TensorType.INT8
    assert weights.ShapeAsNumpy().tolist() == [2, 1, 1, 3]
    assert weights.Quantization().ScaleAsNumpy().tolist() == [0.25, 0.125]
    assert weights.Quantization().ZeroPointAsNumpy().tolist() == [0, 0]
    contents = model.Buffers(weights.Buffer()).DataAsNumpy().view(np.int8)
    assert contents.tolist() == [1, -2, 3, -4, 5, -6]
    bias = model.Buffers(graph.Tensors(2).Buffer()).DataAsNumpy().view(np.int32)
    assert bias.tolist() == [100, -100]
    assert graph.Tensors(3).Quantization().ZeroPoint(0) == 3


def test_operators_read_back_as_written() -> None:
    model = tflite.Model.GetRootAs(write_model(_convolution()), 0)
    graph = model.Subgraphs(0)
    operator = graph.Operators(0)
    assert model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode() == tflite.BuiltinOperator.CONV_2D
    assert operator.InputsAsNumpy().tolist() == [0, 1, 2]
    assert graph.OutputsAsNumpy().tolist() == operator.OutputsAsNumpy().tolist() == [3]
    table = operator.BuiltinOptions()
    options = tflite.Conv2DOptions()
    options.Init(table.Bytes, table.Pos)
    assert (options.Padding(), options.StrideH(), options.StrideW()) == (1, 2, 1)
    assert (options.DilationHFactor(), options.DilationWFactor()) == (1, 3)


def test_buffers_are_aligned_in_the_file() -> None:
    content = write_model(_convolution())
    model = tflite.Model.GetRootAs(content, 0)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if not buffer.DataIsNone():
            start = buffer._tab.Vector(buffer._tab.Offset(4))
            assert start % BUFFER_ALIGNMENT == 0


def test_custom_operators_keep_their_name() -> None:
    graph = Graph()
    first, last = graph.input("a", (3,), "int8", scale=1.0), graph.output("b", (3,), "int8", scale=1.0)
    graph.operator("VendorTransform", [first], [last])
    code = tflite.Model.GetRootAs(write_model(graph), 0).OperatorCodes(0)
    assert code.BuiltinCode() == tflite.BuiltinOperator.CUSTOM
    assert code.CustomCode() == b"VendorTransform"


def test_codes_above_126_leave_a_placeholder_for_old_readers() -> None:
    graph = Graph()
    first, last = graph.input("a", (3,), "int8", scale=1.0), graph.output("b", (3,), "int8", scale=1.0)
    graph.operator("GELU", [first], [last], Options("GeluOptions"))
    code = tflite.Model.GetRootAs(write_model(graph), 0).OperatorCodes(0)
    assert code.BuiltinCode() == tflite.BuiltinOperator.GELU
    assert code.DeprecatedBuiltinCode() == tflite.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES


def test_signatures_and_sparsity_read_back() -> None:
    graph = Graph()
    dimensions = (SparseDimension(dense_size=2), SparseDimension(segments=(0, 1, 2), indices=(3, 0)))
    graph.tensor("dynamic", (1, 4), "int8", shape_signature=(-1, 4))
    graph.tensor("sparse", (2, 4), "int8", scale=1.0, data=np.array([5, 6]), sparsity=dimensions)
    written = tflite.Model.GetRootAs(write_model(graph), 0).Subgraphs(0)
    assert written.Tensors(0).ShapeSignatureAsNumpy().tolist() == [-1, 4]
    sparsity = written.Tensors(1).Sparsity()
    assert sparsity.DimMetadata(0).DenseSize() == 2
    assert sparsity.DimMetadata(1).Format() == tflite.DimensionType.SPARSE_CSR


def test_an_unknown_option_field_is_refused() -> None:
    graph = Graph()
    first = graph.input("a", (3,), "int8", scale=1.0)
    graph.operator("ADD", [first, first], [first], Options("AddOptions", {"colour": 1}))
    with pytest.raises(AttributeError, match="AddOptionsAddColour"):
        write_model(graph)
