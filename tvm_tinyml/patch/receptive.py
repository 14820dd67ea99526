"""Receptive fields and halos, from the operators' bounds maps.

A value of a map depends on a window of the input: windows are joined through the operators back to front (the recursion
of Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, over a graph
instead of a chain). The halo of a region is what the windows of two neighbouring patches of its output have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..errors import PlanError
from .footprint import region_macs, region_workspace
from .geometry import PIXEL, Sliding, is_image, sliding
from .network import Network
from .plan import PatchPlan, Region
from .region import Node


class Field(NamedTuple):
    """The window of a tensor's values over the rows and the columns of the source; padding around it included."""

    rows: Sliding
    columns: Sliding

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns of the source that one value depends on."""
        return self.rows.extent, self.columns.extent

    @property
    def halo(self) -> tuple[int, int]:
        """Rows and columns that the windows of neighbouring values have in common; 0 where they have none."""
        return tuple(max(0, one.extent - one.stride) for one in self)  # type: ignore[return-value]

    def joined(self, other: Field) -> Field:
        """The least window that covers both; ValueError when they move at different speeds."""
        return Field(self.rows.joined(other.rows), self.columns.joined(other.columns))


def fields(nodes: Iterable[Node], sources: Iterable[str]) -> dict[str, Field]:
    """Windows over `sources` of every tensor that `nodes`, in execution order, make of them.

    Tensors are left out that depend on all of a source (or on none), or on it at two speeds.
    """
    found = dict.fromkeys(sources, Field(PIXEL, PIXEL))
    for node in nodes:
        field = _field(node, found)
        if field is not None:
            found[node.tensor] = field
    return found


def _field(node: Node, found: Mapping[str, Field]) -> Field | None:
    joined: Field | None = None
    for index, tensor in enumerate(node.inputs):
        if tensor is None:
            continue
        if tensor not in found or not is_image(node.operator, node.specs, node.attrs, index):
            return None
        try:
            own = sliding(node.operator, node.specs, node.attrs, index)
            below = found[tensor]
            through = Field(own[0].through(below.rows), own[1].through(below.columns))
            joined = through if joined is None else joined.joined(through)
        except (PlanError, ValueError):
            return None
    return joined


def receptive_field(network: Network) -> tuple[int, int]:
    """Rows and columns of the input that a value of the last map depends on, as far as that is a window.

    Behind the last map the whole image is read, by an average or a dense layer.
    """
    found = fields(network.nodes, network.inputs)
    return list(found.values())[-1].extent if found else (1, 1)


def halo(network: Network, plan: PatchPlan) -> tuple[int, int]:
    """Largest halo, in rows and columns of the region's input, of the regions of a plan that repeat work."""
    rows = columns = 0
    for region in repeating(network, plan):
        nodes = network.chosen(region)
        made = {node.tensor for node in nodes}
        outside = dict.fromkeys(one for node in nodes for one in node.inputs if one and one not in made)
        inside = [field for tensor, field in fields(nodes, outside).items() if tensor in made]
        if inside:
            rows, columns = max(rows, inside[-1].halo[0]), max(columns, inside[-1].halo[1])
    return rows, columns


def repeating(network: Network, plan: PatchPlan) -> Sequence[Region]:
    """Regions of a plan that do more work than their operators do alone."""
    found = []
    for region in plan.regions:
        plain = sum(network.macs[network.position[name]] for name in region.operators)
        if region_macs(network, region, region_workspace(network, region)) > plain:
            found.append(region)
    return found
