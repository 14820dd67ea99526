"""An exported program as a QDQ network: its nodes in ONNX's terms, parameters and scales as constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...errors import UnsupportedError
from ..qdq.network import Call, Network, Value
from .operators import TRANSLATIONS, Arguments

_IGNORED_MODULES = ("_guards_fn",)


def read_network(program: Any, name: str) -> Network:
    """The network of a torch.export.ExportedProgram; UnsupportedError naming every operator that has no counterpart."""
    return _Reader(program.module(), name).network()


class _Reader:
    """Translates the graph of a module node by node."""

    def __init__(self, module: Any, name: str) -> None:
        self.module = module
        self.name = name
        self.values: dict[Any, Value] = {}
        self.calls: list[Call] = []
        self.refused: list[str] = []

    def network(self) -> Network:
        """The network."""
        inputs: list[Value] = []
        outputs: tuple[Value, ...] = ()
        for node in self.module.graph.nodes:
            if node.op == "get_attr":
                self.values[node] = Value.constant(node.name, self._attribute(node.target))
            elif node.op == "placeholder":
                self.values[node] = self._typed(node)
                inputs.append(self.values[node])
            elif node.op == "call_function":
                self._translate(node)
            elif node.op == "output":
                outputs = tuple(self.values[one] for one in _flattened(node.args[0]) if one in self.values)
            elif not (node.op == "call_module" and node.target in _IGNORED_MODULES):
                self.refused.append(f"operator {node.name}: {node.op} of {node.target} is not supported")
        if self.refused:
            count = "1 operator has" if len(self.refused) == 1 else f"{len(self.refused)} operators have"
            raise UnsupportedError(
                f"{self.name}: {count} no counterpart:\n" + "\n".join(f"  {line}" for line in self.refused)
            )
        return Network(self.name, self.name, tuple(inputs), outputs, tuple(self.calls))

    def _attribute(self, target: str) -> Any:
        found = self.module
        for part in target.split("."):
            found = getattr(found, part)
        return found.detach().cpu().numpy()

    def _typed(self, node: Any) -> Value:
        tensor = node.meta["val"]
        shape = tuple(tensor.shape)
        if not all(isinstance(extent, int) for extent in shape):
            raise UnsupportedError(
                f"{self.name}: '{node.name}' has a size that is not fixed, {list(shape)}; "
                "export without dynamic shapes."
            )
        return Value(node.name, shape, str(tensor.dtype).removeprefix("torch."))

    def _translate(self, node: Any) -> None:
        translation = TRANSLATIONS.get(str(node.target))
        if translation is None or isinstance(node.meta.get("val"), (list, tuple)):
            self.refused.append(f"operator {node.name}: {node.target} is not supported")
            return
        arguments = Arguments(self, node)
        try:
            translated = translation(arguments)
        except ValueError as error:
            self.refused.append(f"operator {node.name}: {node.target}: {error}")
            return
        if isinstance(translated, Value):
            self.values[node] = translated
            return
        kind, inputs, attrs = translated
        output = self._typed(node)
        self.values[node] = output
        self.calls.append(Call(len(self.calls), kind, tuple(inputs), (output,), attrs))

    def value(self, argument: Any, name: str) -> Value | None:
        """The value of an argument: of a node, a number, or None."""
        if argument is None:
            return None
        if isinstance(argument, torch.fx.Node):
            if argument not in self.values:
                raise ValueError(f"its operand {argument.name} could not be translated")
            return self.values[argument]
        return Value.constant(name, np.asarray(argument))


def _flattened(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
