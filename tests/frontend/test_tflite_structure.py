"""What the importer writes into the module: attributes, constants, names and the signature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tflite

from tests.support.tflite_writer import Graph, Options, write_model
from tvm_tinyml.dialect.fixed_point import quantize_multiplier
from tvm_tinyml.dialect.relax_api import attributes
from tvm_tinyml.errors import ModelError, UnsupportedError
from tvm_tinyml.frontend import from_tflite, tensor_names

from .calls import calls
from .models import convolution, only_call, operator_names

SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID
RELU, RELU_N1_TO_1, RELU6, TANH = (
    getattr(tflite.ActivationFunctionType, name) for name in ("RELU", "RELU_N1_TO_1", "RELU6", "TANH")
)


def test_convolution_carries_the_quantisation_of_its_tensors() -> None:
    mod, params = from_tflite(convolution())
    attrs, _ = only_call(mod)
    assert params == {}
    assert attrs["name"] == "conv2d_0"
    assert attrs["tensor"] == "features"
    assert (attrs["scale"], attrs["zero_point"], attrs["input_zero_point"]) == (0.25, -10, 3)
    assert attrs["rounding"] == "double"
    assert (attrs["clamp_min"], attrs["clamp_max"]) == (-128, 127)


@pytest.mark.parametrize(
    ("padding", "stride", "expected"),
    [
        (SAME, 1, (1, 1, 1, 1)),
        (SAME, 2, (1, 0, 1, 1)),
        (VALID, 1, (0, 0, 0, 0)),
    ],
)
def test_padding_is_explicit_and_the_extra_element_is_at_the_end(
    padding: int, stride: int, expected: tuple[int, ...]
) -> None:
    attrs, _ = only_call(from_tflite(convolution(padding=padding, stride_h=stride, stride_w=stride))[0])
    assert attrs["padding"] == expected
    assert attrs["strides"] == (stride, stride)


def test_dilation_widens_same_padding() -> None:
    attrs, _ = only_call(from_tflite(convolution(dilation_h_factor=2, dilation_w_factor=1))[0])
    assert attrs["dilation"] == (2, 1)
    assert attrs["padding"] == (2, 1, 2, 1)


@pytest.mark.parametrize(
    ("activation", "clamp"),
    [(RELU, (-10, 127)), (RELU6, (-10, 14)), (RELU_N1_TO_1, (-14, -6))],
)
def test_fused_activation_becomes_a_quantised_clamp(activation: int, clamp: tuple[int, int]) -> None:
    attrs, _ = only_call(from_tflite(convolution(fused_activation_function=activation))[0])
    assert (attrs["clamp_min"], attrs["clamp_max"]) == clamp


def test_other_fused_activation_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="fused activation function"):
        from_tflite(convolution(fused_activation_function=TANH))


def test_each_channel_gets_its_effective_scale_from_the_stored_single_precision_values() -> None:
    scales = [0.01, 0.3, 1e-9]
    _, (weight, bias, multiplier, shift) = only_call(from_tflite(convolution(weight_scale=scales))[0])
    expected = [quantize_multiplier(0.5 * float(np.float32(scale)) / 0.25) for scale in scales]
    assert list(zip(multiplier.tolist(), shift.tolist(), strict=True)) == expected
    assert (weight.shape, weight.dtype) == ((3, 3, 3, 2), np.int8)
    np.testing.assert_array_equal(bias, [0, 1, 2])


def test_one_weight_scale_serves_every_channel() -> None:
    _, (_, _, multiplier, shift) = only_call(from_tflite(convolution(weight_scale=0.01))[0])
    assert multiplier.shape == shift.shape == (3,)
    assert len(set(multiplier.tolist())) == 1


def test_missing_bias_is_zero() -> None:
    _, (_, bias, _, _) = only_call(from_tflite(convolution(bias=False))[0])
    np.testing.assert_array_equal(bias, np.zeros(3, np.int32))


def test_signature_describes_inputs_and_outputs(tmp_path: Path) -> None:
    path = tmp_path / "my model-2.tflite"
    path.write_bytes(convolution())
    signature = json.loads(str(from_tflite(path)[0]["main"].attrs["tinyml.signature"]))
    assert signature == {
        "name": "my_model_2",
        "inputs": [
            {
                "name": "image",
                "dtype": "int8",
                "shape": [1, 5, 6, 2],
                "bytes": 60,
                "scale": 0.5,
                "zero_point": 3,
            }
        ],
        "outputs": [
            {
                "name": "features",
                "dtype": "int8",
                "shape": [1, 5, 6, 3],
                "bytes": 90,
                "scale": 0.25,
                "zero_point": -10,
            }
        ],
    }


@pytest.mark.parametrize(
    ("stem", "name"), [("kws", "kws"), ("1st", "model_1st"), ("---", "model"), ("é", "model"), ("a.b", "a_b")]
)
def test_model_name_is_a_c_identifier(tmp_path: Path, stem: str, name: str) -> None:
    path = tmp_path / f"{stem}.tflite"
    path.write_bytes(convolution())
    assert json.loads(str(from_tflite(path)[0]["main"].attrs["tinyml.signature"]))["name"] == name


def test_model_may_be_bytes_path_or_parsed(tmp_path: Path) -> None:
    data = convolution()
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    sources = (data, bytearray(data), memoryview(data), str(path), path, tflite.Model.GetRootAs(data, 0))
    texts = {from_tflite(source)[0].script() for source in sources}
    assert len(texts) == 1


def test_tensor_names_are_unique_and_are_those_of_the_calls() -> None:
    graph = Graph()
    tensors = [graph.input("x", (1, 4), "int8", scale=0.1)]
    for name in ("x", "", "x"):
        tensors.append(graph.tensor(name, (1, 4), "int8", scale=0.1))
        graph.operator("RELU", tensors[-2:-1], tensors[-1:])
    graph.outputs = tensors[-1:]
    data = write_model(graph)
    names = tensor_names(data)
    assert names == {0: "x", 1: "x#1", 2: "t2", 3: "x#3"}
    mod, _ = from_tflite(data)
    assert [attributes(call)["tensor"] for _, call in calls(mod)] == ["x#1", "t2", "x#3"]


def test_unprintable_characters_of_a_name_are_replaced() -> None:
    graph = Graph()
    graph.outputs = [graph.input("a\n*/\x07é", (1, 4), "int8", scale=0.1)]
    assert tensor_names(write_model(graph)) == {0: "a?*/?é"}


@pytest.mark.parametrize(("narrow", "wide"), [(0, 28), (28, 0), (19, 28), (28, 19), (28, 28)])
def test_operator_code_is_the_larger_of_its_two_fields(narrow: int, wide: int) -> None:
    """Files may fill the 8-bit field, the 32-bit field or both; RELU is 19 and TANH is 28."""
    graph = Graph()
    graph.operator(
        "RELU",
        [graph.input("x", (1, 4), "int8", scale=0.1)],
        [graph.output("y", (1, 4), "int8", scale=0.1)],
    )
    data = bytearray(write_model(graph))
    code = tflite.Model.GetRootAs(data, 0).OperatorCodes(0)._tab
    data[code.Pos + code.Offset(4)] = narrow
    data[code.Pos + code.Offset(10)] = wide
    attrs, _ = only_call(from_tflite(bytes(data))[0])
    assert attrs["function"] == "tanh"


def test_split_becomes_one_slice_per_output() -> None:
    graph = Graph()
    source = graph.input("x", (1, 6), "int8", scale=0.1)
    parts = [graph.output(f"part_{i}", (1, 3), "int8", scale=0.1) for i in range(2)]
    graph.operator(
        "SPLIT", [graph.constant("axis", 1), source], parts, Options("SplitOptions", {"num_splits": 2})
    )
    mod, _ = from_tflite(write_model(graph))
    described = [attributes(call) for _, call in calls(mod)]
    assert operator_names(mod) == ["slice", "slice"]
    assert [attrs["begin"] for attrs in described] == [(0, 0), (0, 3)]
    assert [attrs["name"] for attrs in described] == ["slice_0_0", "slice_0_1"]
    assert [attrs["tensor"] for attrs in described] == ["part_0", "part_1"]


def test_pack_is_reshapes_and_one_concat() -> None:
    graph = Graph()
    sources = [graph.input(f"x{i}", (2, 3), "int8", scale=0.1) for i in range(2)]
    target = graph.output("packed", (2, 2, 3), "int8", scale=0.1)
    graph.operator("PACK", sources, [target], Options("PackOptions", {"values_count": 2, "axis": 1}))
    mod, _ = from_tflite(write_model(graph))
    assert operator_names(mod) == ["reshape", "reshape", "concat"]
    tensors = [attributes(call)["tensor"] for _, call in calls(mod)]
    assert tensors[-1] == "packed"
    assert len(set(tensors)) == 3


def test_shared_constant_is_embedded_once() -> None:
    graph = Graph()
    tensors = [graph.input("x", (1, 4), "int8", scale=0.1)]
    addend = graph.tensor("addend", (1, 4), "int8", scale=0.1, data=np.ones((1, 4)))
    for index in range(2):
        tensors.append(graph.tensor(f"sum_{index}", (1, 4), "int8", scale=0.1))
        graph.operator("ADD", [tensors[-2], addend], tensors[-1:], Options("AddOptions"))
    graph.outputs = tensors[-1:]
    (_, first), (_, second) = calls(from_tflite(write_model(graph))[0])
    assert first.args[1].same_as(second.args[1])


def test_output_that_no_operator_writes_is_a_copy() -> None:
    graph = Graph()
    source = graph.input("x", (1, 4), "int8", scale=0.1)
    target = graph.output("y", (1, 4), "int8", scale=0.1)
    graph.operator("RELU", [source], [target])
    graph.outputs = [source, target, target]
    mod, _ = from_tflite(write_model(graph))
    assert operator_names(mod) == ["lookup", "copy", "copy"]


def test_data_movement_takes_any_type_at_the_edges() -> None:
    graph = Graph()
    source = graph.input("float_image", (1, 2, 3, 4), "float32")
    moved = graph.tensor("channels_last", (1, 3, 4, 2), "float32")
    quantized = graph.tensor("quantized", (1, 3, 4, 2), "int8", scale=0.1)
    real = graph.tensor("real", (1, 3, 4, 2), "float32")
    flat = graph.output("flat", (1, 24), "float32")
    graph.operator("TRANSPOSE", [source, graph.constant("order", [0, 2, 3, 1])], [moved])
    graph.operator("QUANTIZE", [moved], [quantized])
    graph.operator("DEQUANTIZE", [quantized], [real])
    graph.operator("RESHAPE", [real, graph.constant("shape", [1, -1])], [flat])
    mod, _ = from_tflite(write_model(graph))
    assert operator_names(mod) == ["transpose", "quantize", "dequantize", "reshape"]


def test_batch_of_one_may_be_declared_variable() -> None:
    graph = Graph()
    source = graph.tensor("x", (1, 4), "int8", scale=0.1, shape_signature=(-1, 4))
    target = graph.tensor("y", (1, 4), "int8", scale=0.1, shape_signature=(-1, 4))
    graph.operator("RELU", [source], [target])
    graph.inputs, graph.outputs = [source], [target]
    assert operator_names(from_tflite(write_model(graph))[0]) == ["lookup"]


def test_reading_a_path_that_is_no_file_is_one_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.tflite", Path("/dev/zero"), Path("nul\0byte")):
        with pytest.raises(ModelError):
            from_tflite(path)
