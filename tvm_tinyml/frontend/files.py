"""Model files of any kind: what a file is, is found by its contents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import ModelError, UnsupportedError
from .onnx.reader import read_network
from .pytorch.archive import read_archive
from .qdq import Network, graph_of, import_network
from .qdq.operators import CONVERSIONS as QDQ_CONVERSIONS
from .tflite import ModelSummary, from_tflite, summarize
from .tflite.summary import summary_of

TFLITE, ONNX, PYTORCH = "tflite", "onnx", "pytorch"
_TFLITE_IDENTIFIER = slice(4, 8)
# The first field of an ONNX file is its version, a number.
_ONNX_START = b"\x08"
_ARCHIVE_START = b"PK\x03\x04"


def from_file(
    path: str | os.PathLike[str], *, trust: bool = False, float_edges: bool = True
) -> tuple[Any, dict[str, Any]]:
    """Import a model file; results and errors as those of `from_tflite`, `from_onnx` and `from_pytorch`.

    trust: load archives of PyTorch, whose loading can run code that somebody put into them. UnsupportedError without.
    float_edges: as for `from_onnx`; .tflite files have the edges that they were converted with, UnsupportedError.
    """
    if kind_of(path) == TFLITE:
        _require_own_edges(path, float_edges)
        return from_tflite(path)
    return import_network(_network(path, trust=trust), float_edges=float_edges), {}


def summarize_file(
    path: str | os.PathLike[str], *, trust: bool = False, float_edges: bool = True
) -> ModelSummary:
    """Describe a model file; errors as those of `from_file`."""
    if kind_of(path) == TFLITE:
        _require_own_edges(path, float_edges)
        return summarize(path)
    return summarize_network(_network(path, trust=trust), float_edges=float_edges)


def summarize_network(network: Network, *, float_edges: bool = True) -> ModelSummary:
    """Describe a quantised network; UnsupportedError as `from_file`."""
    return summary_of(graph_of(network, float_edges=float_edges), network.name, QDQ_CONVERSIONS)


def _require_own_edges(path: str | os.PathLike[str], float_edges: bool) -> None:
    if not float_edges:
        raise UnsupportedError(
            f"{path}: int8 edges are for .onnx and .pt2 files; .tflite files get theirs when they are converted "
            "(inference_input_type and inference_output_type)."
        )


def _network(path: str | os.PathLike[str], *, trust: bool) -> Network:
    if kind_of(path) == ONNX:
        return read_network(path)
    require_trust(path, trust)
    return read_archive(Path(path))


def require_trust(path: str | os.PathLike[str], trust: bool) -> None:
    """Raise UnsupportedError unless `trust` is given for an archive of PyTorch."""
    if not trust:
        raise UnsupportedError(
            f"{path}: an archive of PyTorch. Loading one can run code that somebody put into it: allow it for files "
            "you trust, with --trust-archive or from_file(..., trust=True)."
        )


def kind_of(path: str | os.PathLike[str]) -> str:
    """TFLITE, ONNX or PYTORCH; what is none counts as TFLITE, whose reader says what is wrong with it.

    Raises ModelError when the file cannot be read.
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
        return PYTORCH
    return ONNX if start.startswith(_ONNX_START) or place.suffix == ".onnx" else TFLITE
