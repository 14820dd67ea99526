"""TFLite to Relax: one function of dialect operators, with constants and quantisation from the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import tflite

from ...errors import ModelError
from ..naming import DEFAULT_NAME, identifier
from .emitter import Emitter
from .graph import Graph
from .operators import CONVERSIONS
from .plan import plan_layers
from .reader import read_graph
from .writer import write_graph

ModelSource: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | tflite.Model"

MAX_FILE_BYTES = 1 << 28
_OPTIONS = {kind: row.options for kind, row in CONVERSIONS.items() if row.options is not None}


def from_tflite(model: ModelSource) -> tuple[Any, dict[str, Any]]:
    """Import an int8 TFLite model.

    Args:
        model: the bytes of a .tflite file, its path, or a `tflite.Model`.

    Returns:
        (mod, params): an IRModule whose function "main" takes the graph's inputs and returns its output, or a
        tuple of them; every call in it is a dialect operator. Constants are embedded, so `params` is
        empty. The function attribute "tinyml.signature" is a JSON object: "name" (the model's, a C
        identifier), "inputs" and "outputs" (lists of name, dtype, shape, bytes, scale, zero_point; scale is 0
        when a tensor is not quantised).

    Raises:
        ModelError: the file cannot be read, is damaged or contradicts itself.
        UnsupportedError: operators outside the supported set, all of them listed.
    """
    graph, name = read_model(model)
    layers = plan_layers(graph, CONVERSIONS)
    return Emitter(graph, name).module(layers), {}


def tensor_names(model: ModelSource) -> dict[int, str]:
    """Unique name of every tensor of the first subgraph, by tensor index.

    A name is the file's; t<index> when it has none, name#<index> when another tensor has it already. These
    are the names in the `tensor` attribute of the imported calls.

    Raises:
        ModelError: the file cannot be read or is damaged.
    """
    graph, _ = read_model(model)
    return {tensor.index: tensor.name for tensor in graph.tensors}


def write_model(graph: Graph) -> bytes:
    """A .tflite file of a graph. RejectionError names an operator for which the format has no form."""
    return write_graph(graph, _OPTIONS)


def read_model(model: ModelSource) -> tuple[Graph, str]:
    """The first subgraph of a model and the model's name, a C identifier; ModelError as for `from_tflite`."""
    if isinstance(model, tflite.Model):
        return read_graph(bytes(model._tab.Bytes), "model", _OPTIONS, root=model), DEFAULT_NAME
    if isinstance(model, bytes | bytearray | memoryview):
        return read_graph(bytes(model), "model", _OPTIONS), DEFAULT_NAME
    path = Path(model)
    return read_graph(_file_contents(path), str(path), _OPTIONS), identifier(path.stem)


def _file_contents(path: Path) -> bytes:
    try:
        # Devices and pipes may never end.
        if not path.is_file():
            raise ModelError(f"{path}: no such file, or not a regular one. Give the path of a .tflite file.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path}: the file exceeds {MAX_FILE_BYTES} bytes. Use a smaller model.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}.") from error
