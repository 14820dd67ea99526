"""`--quantize`: float models are quantised by every command that reads one, or refused with one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.invocation import DIGITS, HOST, invoke, refuse, succeed

pytest.importorskip("onnxruntime")

from tests.quantization.test_onnx import SAMPLES, model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float ONNX model, samples, and a test set."""
    place = tmp_path_factory.mktemp("quantize")
    (place / "net.onnx").write_bytes(model().SerializeToString())
    np.savez(place / "samples.npz", image=SAMPLES)
    np.savez(place / "test.npz", images=SAMPLES[:3].transpose(0, 2, 3, 1), labels=[0, 1, 2])
    return place


def test_commands_quantise_and_tell_the_loss_of_every_layer(folder: Path, tmp_path: Path) -> None:
    given = (folder / "net.onnx", "--quantize", folder / "samples.npz")
    ran = succeed("run", *given, "--target", HOST, "--check", "--json").document
    assert (ran["bit_exact"], ran["model"]) == (True, "net")
    names = ["r1", "c2", "h2", "a", "f", "scores"]
    assert [layer["layer"] for layer in ran["quantization"]] == names
    assert all(layer["sqnr_db"] > 25 for layer in ran["quantization"])
    for command in (
        ("compile", "-o", tmp_path / "out"),
        ("plan",),
        ("evaluate", "--data", folder / "test.npz"),
    ):
        name, *options = command
        said = succeed(name, *given, "--target", HOST, *options).stdout
        assert "Signal to quantisation noise" in said, name
        assert "lowest: " in said, name
    described = succeed("inspect", *given, "--json").document
    assert described["quantization"] == ran["quantization"]
    assert described["macs"] == 64 * (27 * 4 + 4 * 6) + 30
    # Its progress is on standard error.
    measured = invoke("bench", *given, "--target", HOST, "--inputs", "1", "--json").document
    assert measured["quantization"] == {"net": ran["quantization"]}
    assert [(row["macs"], row["bit_exact"]) for row in measured["results"]] == [(described["macs"], True)]


def test_archives_are_quantised_when_they_are_trusted(folder: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchao")
    place = tmp_path / "conv.pt2"
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    torch.export.save(torch.export.export(layer, (torch.zeros(1, 3, 8, 8),)), place)
    given = ("run", place, "--target", HOST, "--quantize", folder / "samples.npz")
    assert "--trust-archive" in refuse(*given)
    named = refuse(*given, "--trust-archive")
    assert "samples.npz: holds 'image', the model takes 'input'" in named
    np.savez(tmp_path / "x.npz", x=SAMPLES)
    ran = succeed(*given[:-1], tmp_path / "x.npz", "--trust-archive", "--check", "--json").document
    assert (ran["bit_exact"], ran["model"]) == (True, "conv")
    assert [layer["operator"] for layer in ran["quantization"]] == ["conv2d + relu"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pixels": SAMPLES}, "holds 'pixels', the model takes 'image'"),
        ({"image": SAMPLES.transpose(0, 2, 3, 1)}, "transpose"),
        ({"image": SAMPLES.astype("uint8")}, "samples are uint8"),
        ({"image": SAMPLES[:0]}, "none at all"),
        ({"image": SAMPLES * np.nan}, "not finite"),
        ({"image": np.array([None])}, "not a readable .npz file"),
        ({}, "holds no arrays"),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    folder: Path, tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    said = refuse("inspect", folder / "net.onnx", "--quantize", tmp_path / "bad.npz")
    assert "bad.npz: " in said
    assert message in said


@pytest.mark.parametrize(
    "contents", [None, b"", b"no archive", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(99)]
)
def test_files_that_hold_no_samples_are_refused(folder: Path, tmp_path: Path, contents: bytes | None) -> None:
    place = tmp_path / "bad.npz"
    if contents is not None:
        place.write_bytes(contents)
    assert "bad.npz: " in refuse("inspect", folder / "net.onnx", "--quantize", place)


def test_models_that_are_quantised_already_are_refused(folder: Path) -> None:
    said = refuse("plan", DIGITS, "--target", HOST, "--quantize", folder / "samples.npz")
    assert "--quantize is for .onnx and .pt2 files" in said
