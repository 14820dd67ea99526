"""Layers to Relax: one function of dialect operators, with constants and quantisation of the graph."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax

from ...dialect import call
from ...dialect.relax_api import Array, constant, tensor_type
from .graph import Graph, Operator, Tensor
from .node import Layer, Temporary, attributes_of, spec_of

SIGNATURE_ATTRIBUTE = "tinyml.signature"
SOURCE_ATTRIBUTE = "tinyml.source"


@dataclass(frozen=True)
class Source:
    """What a module was made from: operators of the model file with their layers, and the function as it was then."""

    graph: Graph
    name: str
    planned: Sequence[tuple[Operator, Sequence[Layer]]]
    function: Any


def source_of(module: Any) -> Source | None:
    """The source of a module that is still what the importer made of it; None for any other one."""
    source = (module.attrs or {}).get(SOURCE_ATTRIBUTE)
    unchanged = isinstance(source, Source) and module["main"].same_as(source.function)
    return source if unchanged else None


class Emitter:
    """Builds the Relax function of one graph."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name
        self.builder = relax.BlockBuilder()
        self.values: dict[Tensor | Temporary, Any] = {}
        self.tensor_names = {tensor.name for tensor in graph.tensors}

    def module(self, planned: Sequence[tuple[Operator, Sequence[Layer]]]) -> Any:
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
        module = tvm.IRModule(self.builder.finalize().functions)
        # As a Python object: whoever wants the operators of the file back has them, and nothing is written out.
        made_from = Source(self.graph, self.name, planned, module["main"])
        return module.with_attr(SOURCE_ATTRIBUTE, tvm_ffi.convert(made_from))

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
