"""An exported program as a QDQ network: its nodes in ONNX's terms, parameters and scales as constants."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...errors import UnsupportedError
from ..qdq.network import Call, Network, Value
from .operators import TRANSLATIONS, Arguments

_IGNORED_MODULES = ("_guards_fn",)


def read_network(program: Any, name: str, source: str | None = None) -> Network:
    """The network of a torch.export.ExportedProgram; operators that have no counterpart are calls with a refusal.

    name: a C identifier. source: what errors call the program, its name when not given.
    UnsupportedError for sizes that are not fixed.
    """
    return _Reader(program.module(), name, source or name).network()


class _Reader:
    """Translates the graph of a module node by node."""

    def __init__(self, module: Any, name: str, source: str) -> None:
        self.module = module
        self.name = name
        self.source = source
        self.values: dict[Any, Value] = {}
        self.calls: list[Call] = []

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
                self._refuse(node, f"{node.op} is not supported")
        return Network(self.source, self.name, tuple(inputs), outputs, tuple(self.calls))

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
                f"{self.source}: '{node.name}' has a size that is not fixed, {list(shape)}; "
                "export without dynamic shapes."
            )
        return Value(node.name, shape, str(tensor.dtype).removeprefix("torch."))

    def _translate(self, node: Any) -> None:
        if node.target is operator.getitem:
            # Of an operator with several results, which are all refused.
            self.values[node] = self.values[node.args[0]]
            return
        translation = TRANSLATIONS.get(str(node.target))
        if translation is None or isinstance(node.meta.get("val"), (list, tuple)):
            self._refuse(node, "the operator is not supported")
            return
        try:
            translated = translation(Arguments(self, node))
        except ValueError as error:
            self._refuse(node, str(error))
            return
        if isinstance(translated, Value):
            self.values[node] = translated
        else:
            kind, inputs, attrs = translated
            self._call(node, kind, inputs, attrs, self._typed(node))

    def _refuse(self, node: Any, reason: str) -> None:
        """A call that stands for an operator without a counterpart."""
        operands = [self.values[one] for one in node.all_input_nodes if one in self.values]
        self._call(node, str(node.target), operands, {}, Value(node.name, (), "float32"), reason)

    def _call(
        self,
        node: Any,
        kind: str,
        inputs: Sequence[Value | None],
        attrs: Mapping[str, Any],
        output: Value,
        refusal: str = "",
    ) -> None:
        self.values[node] = output
        self.calls.append(Call(len(self.calls), kind, tuple(inputs), (output,), attrs, refusal))

    def value(self, argument: Any, name: str) -> Value | None:
        """The value of an argument: of a node, a number, or None."""
        if argument is None:
            return None
        if isinstance(argument, torch.fx.Node):
            return self.values[argument]
        return Value.constant(name, np.asarray(argument))


def _flattened(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
