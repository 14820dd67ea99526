"""Model files that cannot be used: one line, exit code 2, for every command that takes a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.invocation import DIGITS, HOST, invoke, refuse
from tests.support.unsupported import unsupported_models

TAKES_A_MODEL = (
    ["inspect"],
    ["plan", "--target", HOST],
    ["compile", "--target", HOST, "--output", "unwritten"],
    ["run", "--target", HOST, "--output", "unwritten"],
    ["bench", "--target", HOST, "--output", "unwritten"],
)
each_command = pytest.mark.parametrize("command", TAKES_A_MODEL, ids=lambda command: command[0])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@each_command
def test_missing_file(command: list[str], elsewhere: Path) -> None:
    assert (
        refuse(*command, "missing.tflite")
        == "missing.tflite: no such file; pass a .tflite, .onnx or .pt2 file"
    )
    assert not list(elsewhere.iterdir())


@each_command
def test_folder(command: list[str], elsewhere: Path) -> None:
    (elsewhere / "model.tflite").mkdir()
    assert refuse(*command, "model.tflite") == "model.tflite is a folder; pass a .tflite, .onnx or .pt2 file"


@each_command
def test_file_of_another_kind(command: list[str], elsewhere: Path) -> None:
    np.save(elsewhere / "model.npy", np.zeros(100))
    assert "model.npy: not a TFLite model" in refuse(*command, "model.npy")


@each_command
def test_truncated_file(command: list[str], elsewhere: Path) -> None:
    (elsewhere / "half.tflite").write_bytes(DIGITS.read_bytes()[:20_000])
    assert "half.tflite: damaged model file" in refuse(*command, "half.tflite")
    assert [path.name for path in elsewhere.iterdir()] == ["half.tflite"]


@each_command
def test_unreadable_file(command: list[str], elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "secret.tflite").write_bytes(DIGITS.read_bytes())

    def denied(_path: Path) -> bytes:
        # As for a file without read permission, which a superuser would still read.
        raise PermissionError(13, "Permission denied", "secret.tflite")

    monkeypatch.setattr(Path, "read_bytes", denied)
    message = refuse(*command, "secret.tflite")
    assert "secret.tflite" in message
    assert "Permission denied" in message


@each_command
def test_unsupported_operators_are_all_named(command: list[str], elsewhere: Path) -> None:
    model = unsupported_models()[0]
    (elsewhere / "model.tflite").write_bytes(model.model_bytes)
    outcome = invoke(*command, "model.tflite")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "Traceback" not in outcome.stderr
    for text in model.mentions:
        assert text in outcome.stderr
    assert [path.name for path in elsewhere.iterdir()] == ["model.tflite"]
