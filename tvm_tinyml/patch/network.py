"""The planner's view of a whole graph: calls in execution order, what lives between them, and which can stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..dialect.relax_api import TensorSpec
from ..errors import PlanError
from .geometry import COLUMNS, RANK
from .plan import Region
from .region import Node, accumulated, shape_region


@dataclass(frozen=True)
class Network:
    """Calls in execution order; `inputs` are there before the first one, `outputs` are read after the last.

    keeps_inputs: whether inputs are read after the last call as well, so that nothing may take their place.
    """

    inputs: Mapping[str, TensorSpec]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    keeps_inputs: bool = False

    @cached_property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Type of every tensor, by name."""
        return {**self.inputs, **{node.tensor: node.output for node in self.nodes}}

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Place of every call in the order, by the name of the call."""
        return {node.name: index for index, node in enumerate(self.nodes)}

    @cached_property
    def maker(self) -> Mapping[str, int]:
        """Position of the call that makes a tensor; inputs have none."""
        return {node.tensor: index for index, node in enumerate(self.nodes)}

    @cached_property
    def roots(self) -> Mapping[str, str]:
        """The tensor whose bytes a tensor shows: itself unless it is a view."""
        found = {tensor: tensor for tensor in self.inputs}
        for node in self.nodes:
            shown = node.inputs[0] if node.operator.is_view else None
            found[node.tensor] = node.tensor if shown is None else found[shown]
        return found

    @cached_property
    def spans(self) -> Mapping[str, tuple[int, int]]:
        """First and last position at which the bytes of a root are needed: -1 before, and one past the last call."""
        after = len(self.nodes)
        found = {tensor: (-1, -1) for tensor in self.inputs}
        for index, node in enumerate(self.nodes):
            found.setdefault(self.roots[node.tensor], (index, index))
            for tensor in node.inputs:
                if tensor is not None:
                    first, _ = found[self.roots[tensor]]
                    found[self.roots[tensor]] = (first, index)
        for tensor in (*self.outputs, *(self.inputs if self.keeps_inputs else ())):
            found[self.roots[tensor]] = (found[self.roots[tensor]][0], after)
        return found

    @cached_property
    def macs(self) -> tuple[int, ...]:
        """Multiply-accumulate operations of every call."""
        return tuple(node.operator.macs(node.specs, node.attrs) for node in self.nodes)

    @cached_property
    def streams(self) -> tuple[tuple[bool, bool], ...]:
        """Of every call, whether it can make its rows one by one, and whether it can make them in strips as well."""
        return tuple((_streams(node, whole=True), _streams(node, whole=False)) for node in self.nodes)

    def chosen(self, region: Region) -> Sequence[Node]:
        """The calls of a region, in order."""
        return [self.nodes[self.position[name]] for name in region.operators]


def _streams(node: Node, *, whole: bool) -> bool:
    image = accumulated(node)
    shape = node.output.shape if image is None else image[1]
    if len(shape) != RANK or (not whole and shape[COLUMNS] == 1):
        return False
    strip = shape[COLUMNS] if whole else 1
    try:
        shape_region([node], Region((node.name,), strip, {node.name: 1}))
    except PlanError:
        return False
    return True
