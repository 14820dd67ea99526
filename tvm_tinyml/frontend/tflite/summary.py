"""A model as its file has it: operators with their tensors, work and constants, without building anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...dialect import operator as operator_named
from ...dialect.relax_api import TensorSpec
from .graph import Graph, Operator, Tensor
from .importer import ModelSource, read_model
from .node import Conversion, Layer, Temporary, attributes_of, spec_of
from .operators import CONVERSIONS
from .plan import plan_layers


@dataclass(frozen=True)
class OperatorSummary:
    """One operator of the file.

    operator: index, kind and tensors.
    macs: multiply-accumulate operations.
    is_view: it only gives a tensor another shape and moves no byte.
    """

    operator: Operator
    macs: int
    is_view: bool

    @property
    def activations(self) -> tuple[Tensor, ...]:
        """Inputs that are computed or given by the caller."""
        return tuple(t for t in self.operator.inputs if t is not None and not t.is_constant)

    @property
    def constants(self) -> tuple[Tensor, ...]:
        """Inputs whose contents are in the file: weights, biases, axes."""
        return tuple(t for t in self.operator.inputs if t is not None and t.is_constant)

    @property
    def constant_bytes(self) -> int:
        """Bytes of the constant inputs."""
        return sum(spec_of(tensor).nbytes for tensor in self.constants)


@dataclass(frozen=True)
class ModelSummary:
    """A model file: its name (a C identifier), its graph and its operators in order."""

    name: str
    graph: Graph
    operators: tuple[OperatorSummary, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of one inference."""
        return sum(operator.macs for operator in self.operators)

    @property
    def constant_bytes(self) -> int:
        """Bytes of all constants that operators read; one that several read counts once."""
        constants = {tensor for operator in self.operators for tensor in operator.constants}
        return sum(spec_of(tensor).nbytes for tensor in constants)


def summarize(model: ModelSource) -> ModelSummary:
    """Describe a model file.

    Raises ModelError and UnsupportedError as `from_tflite` does.
    """
    graph, name = read_model(model)
    return summary_of(graph, name, CONVERSIONS)


def summary_of(graph: Graph, name: str, conversions: Mapping[str, Conversion]) -> ModelSummary:
    """Describe a graph whose operators `conversions` know; errors as those of `plan_layers`."""
    operators = tuple(_summary(operator, layers) for operator, layers in plan_layers(graph, conversions))
    return ModelSummary(name, graph, operators)


def _summary(operator: Operator, layers: list[Layer]) -> OperatorSummary:
    made: dict[Temporary, TensorSpec] = {}
    macs = 0
    for layer in layers:
        described = operator_named(layer.operator)
        specs = [made[value] if isinstance(value, Temporary) else spec_of(value) for value in layer.inputs]
        macs += described.macs(specs, attributes_of(layer))
        if isinstance(layer.output, Temporary):
            made[layer.output] = described.infer(specs, attributes_of(layer))
    return OperatorSummary(operator, macs, all(operator_named(layer.operator).is_view for layer in layers))
