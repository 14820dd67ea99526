"""Models the importer must refuse: what is unsupported is listed completely, what is damaged is named."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from tests.support.tflite_writer import Graph, Options, write_model
from tests.support.unsupported import UnsupportedModel, unsupported_models
from tvm_tinyml.errors import ModelError, UnsupportedError
from tvm_tinyml.frontend import from_tflite, tensor_names

from .models import convolution

SCALE = 0.1


@pytest.mark.parametrize("model", unsupported_models(), ids=lambda model: model.name)
def test_refusal_names_operator_tensor_and_reason(model: UnsupportedModel) -> None:
    with pytest.raises(UnsupportedError) as refusal:
        from_tflite(model.model_bytes)
    for text in model.mentions:
        assert text in str(refusal.value)


def test_one_error_lists_every_unsupported_operator_with_index_and_output() -> None:
    graph = Graph()
    tensors = [graph.input("x", (1, 4), "int8", scale=SCALE)]
    for kind in ("RELU", "ABS", "RELU", "MyOwn"):
        tensors.append(graph.tensor(f"after_{kind}_{len(tensors)}", (1, 4), "int8", scale=SCALE))
        graph.operator(kind, tensors[-2:-1], tensors[-1:])
    graph.outputs = tensors[-1:]
    with pytest.raises(UnsupportedError) as refusal:
        from_tflite(write_model(graph))
    lines = str(refusal.value).splitlines()[1:]
    assert len(lines) == 2
    assert "operator 1 ABS -> 'after_ABS_2'" in lines[0]
    assert "operator 3 CUSTOM(MyOwn) -> 'after_MyOwn_4'" in lines[1]


def test_damaged_operator_does_not_hide_the_unsupported_ones_behind_it() -> None:
    graph = Graph()
    source = graph.input("x", (1, 4), "int8", scale=SCALE)
    flat = graph.tensor("flat", (5,), "int8", scale=SCALE)
    graph.operator("RESHAPE", [source, graph.constant("shape", [5])], [flat])
    graph.operator("ABS", [flat], [graph.output("y", (5,), "int8", scale=SCALE)])
    with pytest.raises(UnsupportedError, match="operator 1 ABS -> 'y'"):
        from_tflite(write_model(graph))


def test_float_between_dequantize_and_quantize_is_refused() -> None:
    graph = Graph()
    source = graph.input("x", (1, 4), "int8", scale=SCALE)
    real = graph.tensor("inner_float", (1, 4), "float32")
    target = graph.output("y", (1, 4), "int8", scale=SCALE)
    graph.operator("DEQUANTIZE", [source], [real])
    graph.operator("QUANTIZE", [real], [target])
    with pytest.raises(UnsupportedError, match=r"inner_float.*float32 inside the model"):
        from_tflite(write_model(graph))


def test_scales_beyond_a_32_bit_accumulator_are_unsupported_rather_than_damage() -> None:
    with pytest.raises(UnsupportedError, match="scales"):
        from_tflite(convolution(weight_scale=1e15))


def test_tensor_names_of_an_unsupported_model_can_be_read() -> None:
    model = next(model for model in unsupported_models() if model.name == "float_body")
    assert "features" in tensor_names(model.model_bytes).values()


def _unary(edit: Callable[[Graph], None]) -> bytes:
    """x -> RELU -> y, after `edit`."""
    graph = Graph()
    source = graph.input("x", (1, 4), "int8", scale=SCALE)
    graph.operator("RELU", [source], [graph.output("y", (1, 4), "int8", scale=SCALE)])
    edit(graph)
    return write_model(graph)


def _set_operator(**fields: tuple[int, ...]) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        for name, value in fields.items():
            setattr(graph.operators[0], name, value)

    return edit


def _set_tensor(index: int, **fields: object) -> Callable[[Graph], None]:
    def edit(graph: Graph) -> None:
        for name, value in fields.items():
            setattr(graph.tensors[index], name, value)

    return edit


def _add_cycle(graph: Graph) -> None:
    late = graph.tensor("late", (1, 4), "int8", scale=SCALE)
    graph.operators[0].inputs = (late,)
    graph.operator("RELU", [1], [late])


def _write_twice(graph: Graph) -> None:
    graph.operator("RELU", [0], [1])


def _list_input_twice(graph: Graph) -> None:
    graph.inputs = [0, 0]


def _constant_output(graph: Graph) -> None:
    graph.tensors[1].data = bytes(4)


def _unwritten_output(graph: Graph) -> None:
    graph.outputs = [graph.tensor("nowhere", (1, 4), "int8", scale=SCALE)]


def _many_elements(graph: Graph) -> None:
    for tensor in graph.tensors:
        tensor.shape = (2**31 - 1,) * 6


def _many_axes(graph: Graph) -> None:
    for tensor in graph.tensors:
        tensor.shape = (1,) * 400


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_set_operator(inputs=(7,)), "reads tensor 7 of 2"),
        (_set_operator(inputs=(-2,)), "reads tensor -2"),
        (_set_operator(outputs=(99,)), "names tensor 99 of 2"),
        (_set_operator(inputs=()), "0 inputs, expected 1"),
        (_set_operator(inputs=(0, 0)), "2 inputs, expected 1"),
        (_set_operator(inputs=(-1,)), "input 0 is missing"),
        (_set_operator(outputs=()), "never written"),
        (_add_cycle, "no earlier operator has written"),
        (_write_twice, "already has a value"),
        (_list_input_twice, "listed twice"),
        (_constant_output, "already has a value"),
        (_unwritten_output, "never written"),
        (_set_tensor(0, scales=(float("nan"),)), "not a finite positive number"),
        (_set_tensor(0, scales=(float("inf"),)), "not a finite positive number"),
        (_set_tensor(0, scales=(-0.5,)), "not a finite positive number"),
        (_set_tensor(0, scales=(0.0,)), "has the scale 0"),
        (_set_tensor(0, scales=(1e-45,)), "has the scale"),
        (_set_tensor(0, zero_points=(128,)), "zero point outside -128..127"),
        (_set_tensor(0, zero_points=(0, 0)), "1 scales and 2 zero points"),
        (_set_tensor(0, scales=(0.1, 0.2), zero_points=(0, 0)), "2 scales along axis 0"),
        (_set_tensor(0, quantized_dimension=9, scales=(0.1,) * 4, zero_points=(0,) * 4), "along axis 9"),
        (_set_tensor(0, shape_signature=(1, 4, 1)), "shape signature of 3"),
        (_set_tensor(1, shape=(1, 5)), "the file states"),
        (_many_elements, "take"),
        (_many_axes, "400 axes, the limit is 8"),
    ],
)
def test_inconsistent_graph_is_named_as_damage(edit: Callable[[Graph], None], reason: str) -> None:
    with pytest.raises(ModelError, match="model: ") as refusal:
        from_tflite(_unary(edit))
    assert reason in str(refusal.value)


def test_dense_bias_in_foreign_units_is_refused() -> None:
    graph = Graph()
    source = graph.input("x", (1, 4), "int8", scale=SCALE)
    weights = graph.tensor("weights", (2, 4), "int8", scale=SCALE, data=np.ones((2, 4)))
    bias = graph.tensor("bias", (2,), "int32", scale=SCALE, data=np.ones(2))
    target = graph.output("y", (1, 2), "int8", scale=SCALE)
    graph.operator("FULLY_CONNECTED", [source, weights, bias], [target], Options("FullyConnectedOptions"))
    with pytest.raises(UnsupportedError, match="the scale of bias 'bias'"):
        from_tflite(write_model(graph))


def test_constant_must_fill_its_shape() -> None:
    graph = Graph()
    source = graph.input("x", (1, 4), "int8", scale=SCALE)
    addend = graph.tensor("addend", (1, 4), "int8", scale=SCALE, data=bytes(3))
    graph.operator("ADD", [source, addend], [graph.output("y", (1, 4), "int8", scale=SCALE)])
    with pytest.raises(ModelError, match=r"'addend'.*needs 4 bytes, its buffer has 3"):
        from_tflite(write_model(graph))


@pytest.mark.parametrize(
    "options", [{"stride_h": 0}, {"stride_w": -1}, {"dilation_h_factor": 0}, {"padding": 5}]
)
def test_impossible_window_options_are_named(options: dict[str, int]) -> None:
    name = next(iter(options))
    graph = Graph()
    source = graph.input("image", (1, 5, 6, 2), "int8", scale=0.5)
    weights = graph.tensor("weights", (3, 3, 3, 2), "int8", scale=0.1, data=np.ones((3, 3, 3, 2)))
    target = graph.output("features", (1, 5, 6, 3), "int8", scale=0.5)
    values = {"stride_h": 1, "stride_w": 1, **options}
    graph.operator("CONV_2D", [source, weights], [target], Options("Conv2DOptions", values))
    with pytest.raises(ModelError, match=rf"operator 0 CONV_2D -> 'features': option {name}"):
        from_tflite(write_model(graph))


def test_mean_axis_out_of_range_is_named() -> None:
    graph = Graph()
    source = graph.input("x", (1, 4), "int8", scale=SCALE)
    target = graph.output("y", (1,), "int8", scale=SCALE)
    graph.operator("MEAN", [source, graph.constant("axis", [5])], [target], Options("ReducerOptions"))
    with pytest.raises(ModelError, match="axis 5 does not exist in a tensor of 2 axes"):
        from_tflite(write_model(graph))


def test_options_of_another_operator_are_damage() -> None:
    graph = Graph()
    source = graph.input("x", (1, 4), "int8", scale=SCALE)
    target = graph.output("y", (1, 4), "int8", scale=SCALE)
    graph.operator("ADD", [source, source], [target], Options("MulOptions"))
    with pytest.raises(ModelError, match="options of another operator"):
        from_tflite(write_model(graph))


def test_size_that_would_need_gigabytes_while_importing_is_refused() -> None:
    graph = Graph()
    source = graph.input("x", (1, 1, 1, 1), "int8", scale=SCALE)
    target = graph.output("y", (1, 2**30 - 1, 1, 1), "int8", scale=SCALE)
    size = graph.constant("size", [2**30 - 1, 1])
    graph.operator("RESIZE_BILINEAR", [source, size], [target], Options("ResizeBilinearOptions"))
    with pytest.raises(ModelError, match="32768"):
        from_tflite(write_model(graph))


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 7, b"\0" * 4 + b"TFL4" + b"\0" * 64, b"PK\3\4" * 50])
def test_file_of_another_kind_is_recognised(data: bytes) -> None:
    with pytest.raises(ModelError, match="not a TFLite model"):
        from_tflite(data)


def test_schema_of_another_version_is_recognised() -> None:
    data = bytearray(convolution())
    root = struct.unpack_from("<I", data, 0)[0]
    vtable = root - struct.unpack_from("<i", data, root)[0]
    version = root + struct.unpack_from("<H", data, vtable + 4)[0]
    struct.pack_into("<I", data, version, 2)
    with pytest.raises(ModelError, match="schema version 2"):
        from_tflite(data)
