"""ONNX files: every command takes them as it takes TFLite files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.invocation import HOST, invoke, refuse, succeed
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


def test_a_float_model_is_refused(tmp_path: Path) -> None:
    build = QdqModel(1, 4)
    build.nodes = []
    place = tmp_path / "float.onnx"
    place.write_bytes(build.model(build.node("Relu", ["x"])).SerializeToString())
    assert "computes in float" in refuse("compile", place, "--target", HOST, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
