"""Model files of any kind: what a file is, is found by its contents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import ModelError, UnsupportedError
from .onnx import from_onnx
from .onnx.reader import read_network
from .qdq import graph_of
from .qdq.operators import CONVERSIONS as QDQ_CONVERSIONS
from .tflite import ModelSummary, from_tflite, summarize
from .tflite.summary import summary_of

TFLITE, ONNX = "tflite", "onnx"
_TFLITE_IDENTIFIER = slice(4, 8)
# The first field of an ONNX file is its version, a number.
_ONNX_START = b"\x08"
_ARCHIVE_START = b"PK\x03\x04"


def from_file(path: str | os.PathLike[str]) -> tuple[Any, dict[str, Any]]:
    """Import a model file; results and errors as those of `from_tflite` and `from_onnx`."""
    return from_onnx(path) if kind_of(path) == ONNX else from_tflite(path)


def summarize_file(path: str | os.PathLike[str]) -> ModelSummary:
    """Describe a model file; errors as those of `from_file`."""
    if kind_of(path) == TFLITE:
        return summarize(path)
    network = read_network(path)
    return summary_of(graph_of(network), network.name, QDQ_CONVERSIONS)


def kind_of(path: str | os.PathLike[str]) -> str:
    """TFLITE or ONNX; what is neither counts as TFLITE, whose reader says what is wrong with it.

    Raises ModelError when the file cannot be read, UnsupportedError for a kind that is known and not supported.
    """
    place = Path(path)
    try:
        if not place.is_file():
            raise ModelError(f"{place}: no such file, or not a regular one. Give the path of a model file.")
        with place.open("rb") as file:
            start = file.read(8)
    except (OSError, ValueError) as error:
        raise ModelError(f"{place}: cannot be read: {error}.") from error
    if start[_TFLITE_IDENTIFIER] == b"TFL3":
        return TFLITE
    if start.startswith(_ARCHIVE_START):
        raise UnsupportedError(
            f"{place}: an archive, as PyTorch and Keras write them, which is not supported; export the model to "
            "int8 TFLite or to quantised ONNX."
        )
    return ONNX if start.startswith(_ONNX_START) or place.suffix == ".onnx" else TFLITE
