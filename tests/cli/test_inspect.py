"""`inspect`: operators as in the file, their work and weights, and activation memory over time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.invocation import DIGITS, invoke, succeed
from tests.support.tflite_writer import Graph, Options, write_model
from tvm_tinyml.frontend.tflite import summarize


def test_document_describes_the_file() -> None:
    document = succeed("inspect", DIGITS, "--json").document
    summary = summarize(DIGITS)
    assert set(document) == {
        "model",
        "quantization",
        "macs",
        "weight_bytes",
        "peak_activation_bytes",
        "peak_layer",
        "inputs",
        "outputs",
        "layers",
    }
    assert document["model"] == "digits"
    assert [layer["operator"] for layer in document["layers"]] == [
        row.operator.kind for row in summary.operators
    ]
    assert document["macs"] == sum(layer["macs"] for layer in document["layers"]) == summary.macs
    assert document["weight_bytes"] == summary.constant_bytes
    assert document["inputs"][0] | {"name": ""} == {
        "name": "",
        "dtype": "int8",
        "shape": [1, 16, 16, 1],
        "scale": pytest.approx(1 / 255),
        "zero_point": -128,
    }
    assert set(document["layers"][0]) == {
        "index",
        "operator",
        "inputs",
        "outputs",
        "macs",
        "weight_bytes",
        "activation_bytes",
    }


def test_peak_is_the_layer_with_most_activations() -> None:
    document = succeed("inspect", DIGITS, "--json").document
    in_use = [layer["activation_bytes"] for layer in document["layers"]]
    assert document["peak_activation_bytes"] == max(in_use)
    assert in_use[document["peak_layer"]] == max(in_use)


def test_table_has_a_bar_for_every_operator_and_the_longest_at_the_peak() -> None:
    text = succeed("inspect", DIGITS).stdout
    rows = [line for line in text.splitlines() if line.strip()[:2].strip().isdigit()]
    assert len(rows) == len(summarize(DIGITS).operators)
    longest = max(rows, key=lambda row: row.count("█"))
    peak = succeed("inspect", DIGITS, "--json").document["peak_layer"]
    assert longest.split()[0] == str(peak)
    assert f"at operator {peak}" in text


def test_narrow_terminal_drops_columns_but_not_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvm_tinyml.cli.inspect.terminal_width", lambda: 80)
    text = succeed("inspect", DIGITS).stdout
    assert "first output" not in text
    assert "in use" in text
    assert "█" * 8 in text
    assert "█" * 9 not in text


def branching_model() -> bytes:
    """x (16 bytes) -> RELU a; x -> RELU b; reshape of a; a and b summed to y."""
    graph = Graph()
    x = graph.input("x", (1, 16), "int8", scale=0.1)
    a = graph.tensor("a", (1, 16), "int8", scale=0.1)
    b = graph.tensor("b", (4, 4), "int8", scale=0.1)
    c = graph.tensor("c", (4, 4), "int8", scale=0.1)
    y = graph.output("y", (4, 4), "int8", scale=0.1)
    graph.operator("RELU", [x], [a])
    graph.operator("RESHAPE", [a], [b], Options("ReshapeOptions", {"new_shape": [4, 4]}))
    graph.operator("RELU", [b], [c])
    graph.operator("ADD", [b, c], [y], Options("AddOptions"))
    return write_model(graph)


def test_activation_bytes_follow_lifetimes_and_views_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "branching.tflite"
    path.write_bytes(branching_model())
    layers = succeed("inspect", path, "--json").document["layers"]
    # x and a; a alone; a and c; a, c and y.
    assert [layer["activation_bytes"] for layer in layers] == [32, 16, 32, 48]


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path: Path) -> None:
    graph = Graph()
    source = graph.input("x[bold]", (1, 4), "int8", scale=0.1)
    graph.operator("RELU", [source], [graph.output("[/red]y", (1, 4), "int8", scale=0.1)])
    path = tmp_path / "[b]model.tflite"
    path.write_bytes(write_model(graph))
    outcome = invoke("inspect", path)
    assert outcome.code == 0
    assert "x[bold]" in outcome.stdout
    assert "[/red]y" in outcome.stdout
