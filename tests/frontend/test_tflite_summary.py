"""A model file described operator by operator: work, constants and views."""

from __future__ import annotations

from pathlib import Path

from tests.support.tflite_writer import Graph, Options, write_model
from tvm_tinyml.frontend.tflite import summarize

DIGITS = Path(__file__).resolve().parents[1] / "models" / "digits.tflite"


def test_operators_are_those_of_the_file_in_order() -> None:
    summary = summarize(DIGITS)
    assert summary.name == "digits"
    assert [row.operator.index for row in summary.operators] == list(range(len(summary.operators)))
    assert summary.operators[0].operator.kind == "CONV_2D"
    assert summary.operators[-1].operator.kind == "SOFTMAX"


def test_macs_of_a_convolution_follow_from_its_shapes() -> None:
    first = summarize(DIGITS).operators[0]
    weight = first.constants[0]
    _, height, width, channels = first.operator.outputs[0].shape
    assert first.macs == height * width * channels * weight.elements // weight.shape[0]


def test_constants_read_twice_count_once_in_the_model() -> None:
    summary = summarize(DIGITS)
    assert 0 < summary.constant_bytes <= sum(row.constant_bytes for row in summary.operators)
    constants = {
        t.index: t.data.nbytes for row in summary.operators for t in row.constants if t.data is not None
    }
    assert summary.constant_bytes == sum(constants.values())


def test_reshape_is_a_view_and_has_no_macs() -> None:
    graph = Graph()
    source = graph.input("x", (1, 4), "int8", scale=0.1)
    target = graph.output("y", (2, 2), "int8", scale=0.1)
    graph.operator("RESHAPE", [source], [target], Options("ReshapeOptions", {"new_shape": [2, 2]}))
    (row,) = summarize(write_model(graph)).operators
    assert (row.is_view, row.macs, row.constant_bytes) == (True, 0, 0)
