"""The oracle runs LiteRT's reference kernels and shows every tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.oracle import random_inputs, require_oracle, run_reference
from tests.support.single_ops import small_networks
from tests.support.tflite_writer import Graph, Options, write_model


@pytest.fixture(autouse=True)
def _oracle() -> None:
    require_oracle()


def _doubling() -> bytes:
    """y = x + x, then its rectified copy; the sum is an intermediate tensor."""
    graph = Graph()
    source = graph.input("x", (1, 6), "int8", scale=0.5)
    total = graph.tensor("total", (1, 6), "int8", scale=1.0)
    result = graph.output("y", (1, 6), "int8", scale=1.0)
    graph.operator("ADD", [source, source], [total], Options("AddOptions"))
    graph.operator("RELU", [total], [result])
    return write_model(graph)


def test_outputs_and_intermediate_tensors_are_returned() -> None:
    run = run_reference(_doubling(), [np.array([[-128, -5, 0, 7, 100, 127]], np.int8)])
    assert run.outputs[0].tolist() == [[0, 0, 0, 7, 100, 127]]
    assert run.names == {0: "x", 1: "total", 2: "y"}
    assert run.tensors[1].tolist() == [[-128, -5, 0, 7, 100, 127]]


def test_a_file_gives_the_same_as_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "doubling.tflite"
    path.write_bytes(_doubling())
    inputs = random_inputs(path, 3)
    assert np.array_equal(
        run_reference(path, inputs).outputs[0], run_reference(_doubling(), inputs).outputs[0]
    )


def test_exact_rounding_ties_follow_the_reference_kernels() -> None:
    """FULLY_CONNECTED rounds halves away from zero; the optimised kernels would round -0.5 to 0."""
    graph = Graph()
    source = graph.input("x", (1, 1), "int8", scale=1.0)
    weights = graph.tensor("w", (4, 1), "int8", scale=1.0, data=np.array([[1], [-1], [3], [-3]]))
    result = graph.output("y", (1, 4), "int8", scale=2.0)
    graph.operator("FULLY_CONNECTED", [source, weights], [result], Options("FullyConnectedOptions"))
    run = run_reference(write_model(graph), [np.array([[1]], np.int8)])
    assert run.outputs[0].tolist() == [[1, -1, 2, -2]]


def test_inputs_of_the_wrong_shape_type_or_number_are_refused() -> None:
    for inputs in ([np.zeros((1, 5), np.int8)], [np.zeros((1, 6), np.uint8)], []):
        with pytest.raises(ValueError, match="input"):
            run_reference(_doubling(), inputs)


def test_random_inputs_repeat_and_fill_the_range() -> None:
    model = next(network.model_bytes for network in small_networks() if network.id == "residual")
    first, again, other = (random_inputs(model, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first.min(), first.max()) == (-128, 127)


def test_random_float_inputs_go_beyond_the_quantised_range() -> None:
    model = next(network.model_bytes for network in small_networks() if network.id == "float_edges")
    (data,) = random_inputs(model, 0)
    scale, zero_point = 0.02, -3
    assert data.dtype == np.float32
    assert data.min() < (-128 - zero_point) * scale
    assert data.max() > (127 - zero_point) * scale
    assert np.mean(data > (127 - zero_point) * scale) < 0.25
