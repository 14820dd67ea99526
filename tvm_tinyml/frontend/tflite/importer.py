"""TFLite to Relax: one function of dialect operators, with constants and quantisation from the file."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tflite
import tvm
from tvm import relax

from ...dialect import call
from ...dialect.relax_api import Array, constant, tensor_type
from ...errors import ModelError
from .graph import Graph, Operator, Tensor
from .node import Layer, Temporary, attributes_of, spec_of
from .operators import CONVERSIONS
from .plan import plan_layers
from .reader import read_graph

ModelSource: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | tflite.Model"

SIGNATURE_ATTRIBUTE = "tinyml.signature"
DEFAULT_NAME = "model"
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
    return _Emitter(graph, name).module(layers), {}


def tensor_names(model: ModelSource) -> dict[int, str]:
    """Unique name of every tensor of the first subgraph, by tensor index.

    A name is the file's; t<index> when it has none, name#<index> when another tensor has it already. These
    are the names in the `tensor` attribute of the imported calls.

    Raises:
        ModelError: the file cannot be read or is damaged.
    """
    graph, _ = read_model(model)
    return {tensor.index: tensor.name for tensor in graph.tensors}


def read_model(model: ModelSource) -> tuple[Graph, str]:
    """The first subgraph of a model and the model's name, a C identifier; ModelError as for `from_tflite`."""
    if isinstance(model, tflite.Model):
        return read_graph(bytes(model._tab.Bytes), "model", _OPTIONS, root=model), DEFAULT_NAME
    if isinstance(model, bytes | bytearray | memoryview):
        return read_graph(bytes(model), "model", _OPTIONS), DEFAULT_NAME
    path = Path(model)
    return read_graph(_file_contents(path), str(path), _OPTIONS), _identifier(path.stem)


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


def _identifier(text: str) -> str:
    """`text` as a C identifier."""
    cleaned = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_")
    if not cleaned:
        return DEFAULT_NAME
    return cleaned if cleaned[0].isalpha() else f"{DEFAULT_NAME}_{cleaned}"


class _Emitter:
    """Builds the Relax function of one graph."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name
        self.builder = relax.BlockBuilder()
        self.values: dict[Tensor | Temporary, Any] = {}
        self.tensor_names = {tensor.name for tensor in graph.tensors}

    def module(self, planned: list[tuple[Operator, list[Layer]]]) -> Any:
        """The module."""
        inputs = [
            relax.Var(f"input_{position}", tensor_type(spec_of(tensor)))
            for position, tensor in enumerate(self.graph.inputs)
        ]
        self.values.update(zip(self.graph.inputs, inputs, strict=True))
        attrs = {SIGNATURE_ATTRIBUTE: json.dumps(self._signature(), sort_keys=True)}
        with self.builder.function("main", inputs, attrs=attrs):
            with self.builder.dataflow():
                for source, layers in planned:
                    for position, layer in enumerate(layers):
                        self._emit(source, layer, f"_{position}" if len(layers) > 1 else "")
                outputs = self._outputs()
                result = self.builder.emit_output(outputs[0] if len(outputs) == 1 else relax.Tuple(outputs))
            self.builder.emit_func_output(result)
        return tvm.IRModule(self.builder.finalize().functions)

    def _emit(self, source: Operator, layer: Layer, suffix: str) -> None:
        name = f"{layer.operator}_{source.index}{suffix}"
        self.values[layer.output] = self._call(name, layer)

    def _call(self, name: str, layer: Layer) -> Any:
        output = layer.output
        attrs = {
            "name": name,
            "tensor": output.name if isinstance(output, Tensor) else self._fresh_name(name),
            **attributes_of(layer),
        }
        expr = call(layer.operator, [self._operand(value) for value in layer.inputs], attrs)
        return self.builder.emit(expr, name_hint=name)

    def _fresh_name(self, name: str) -> str:
        while name in self.tensor_names:
            name += "#"
        return name

    def _operand(self, value: Tensor | Temporary | Array) -> Any:
        if isinstance(value, np.ndarray):
            return _constant(value)
        if value not in self.values and isinstance(value, Tensor) and value.data is not None:
            self.values[value] = _constant(value.data)
        return self.values[value]

    def _outputs(self) -> list[Any]:
        """Graph outputs; one that no operator writes, or that is listed before, becomes a copy."""
        written = {tensor for operator in self.graph.operators for tensor in operator.outputs}
        outputs = []
        for position, tensor in enumerate(self.graph.outputs):
            if tensor in written:
                written.remove(tensor)
                outputs.append(self.values[tensor])
                continue
            name = f"copy_output_{position}"
            result = Temporary(tensor.scale, tensor.zero_point)
            outputs.append(self._call(name, Layer("copy", (tensor,), result, {})))
        return outputs

    def _signature(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inputs": [_description(tensor) for tensor in self.graph.inputs],
            "outputs": [_description(tensor) for tensor in self.graph.outputs],
        }


def _constant(value: Array) -> Any:
    return constant(np.require(value, dtype=value.dtype.newbyteorder("="), requirements=["C", "A"]))


def _description(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "bytes": spec_of(tensor).nbytes,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }
