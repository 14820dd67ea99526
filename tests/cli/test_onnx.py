"""ONNX files: every command takes them as it takes TFLite files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.invocation import DIGITS, HOST, invoke, refuse, succeed
from tests.frontend.onnx_models import QdqModel

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and its average."""
    build = QdqModel(1, 3, 8, 8)
    value = build.node("Conv", [build.start, build.weight(8, 3, 3, 3), build.bias(8)], pads=[1, 1, 1, 1])
    pooled = build.node("GlobalAveragePool", [build.quantized(build.node("Relu", [value]))])
    place = tmp_path_factory.mktemp("onnx") / "net.onnx"
    place.write_bytes(build.model(build.quantized(pooled)).SerializeToString())
    return place


def test_a_model_is_compiled_run_and_checked(model: Path, tmp_path: Path) -> None:
    described = succeed("compile", model, "--target", HOST, "-o", tmp_path / "out", "--json").document
    assert described["inputs"][0]["shape"] == [1, 8, 8, 3]
    ran = succeed("run", model, "--target", HOST, "--check", "--json").document
    assert (ran["bit_exact"], ran["reference"]) == (True, "numpy")


def test_a_model_is_inspected_planned_and_measured(model: Path, tmp_path: Path) -> None:
    assert succeed("inspect", model, "--json").document["macs"] == 8 * 3 * 9 * 64
    assert succeed("plan", model, "--target", HOST, "--json").document["model"] == "net"
    measured = invoke("bench", model, "--target", HOST, "--inputs", "1", "--output", tmp_path / "bench")
    assert (measured.code, (tmp_path / "bench" / "results.md").exists()) == (0, True)


def test_int8_edges_leave_no_float_in_the_code(model: Path, tmp_path: Path) -> None:
    given = (model, "--int8-edges")
    described = succeed("compile", *given, "--target", HOST, "-o", tmp_path / "out", "--json").document
    kinds = [(one["dtype"], one["shape"]) for side in ("inputs", "outputs") for one in described[side]]
    assert kinds == [("int8", [1, 8, 8, 3]), ("int8", [1, 1, 1, 8])]
    assert "float" not in (tmp_path / "out" / "net.c").read_text()
    assert succeed("run", *given, "--target", HOST, "--check", "--json").document["bit_exact"] is True
    operators = [one["operator"] for one in succeed("inspect", *given, "--json").document["layers"]]
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(operators)
    # Real numbers of a test set are quantised as the model's edge is.
    np.savez(tmp_path / "set.npz", x=np.random.default_rng(0).normal(size=(3, 8, 8, 3)))
    data = ("--data", tmp_path / "set.npz", "--target", HOST, "--json")
    assert succeed("evaluate", *given, *data).document["equal_outputs"] == 3
    assert "int8 edges are for .onnx and .pt2 files" in refuse("inspect", DIGITS, "--int8-edges")


def test_a_float_model_is_refused(tmp_path: Path) -> None:
    build = QdqModel(1, 4)
    build.nodes = []
    place = tmp_path / "float.onnx"
    place.write_bytes(build.model(build.node("Relu", ["x"])).SerializeToString())
    assert "computes in float" in refuse("compile", place, "--target", HOST, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
