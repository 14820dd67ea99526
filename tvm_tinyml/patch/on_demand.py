"""Which inputs of a network can be fetched on demand, and whether a plan fetches all that is read of them."""

from __future__ import annotations

from ..errors import PlanError
from .geometry import RANK, is_image
from .network import Network
from .plan import PatchPlan


def pullable(network: Network) -> frozenset[str]:
    """Inputs whose every reader can be part of a region and follows their rows.

    Raises PlanError, saying who is in the way, when there is no such input.
    """
    readers = {tensor: _hindrance(network, tensor) for tensor in network.inputs}
    found = frozenset(tensor for tensor, reason in readers.items() if reason is None)
    if not found:
        reasons = "; ".join(f"{tensor!r} {reason}" for tensor, reason in readers.items())
        raise PlanError(
            f"no input of this model can be fetched by rows: {reasons}; leave out -input and write the whole input"
        )
    return found


def _hindrance(network: Network, tensor: str) -> str | None:
    """Why the rows of an input cannot be fetched one after the other; None when they can."""
    shape = network.inputs[tensor].shape
    if len(shape) != RANK or shape[0] != 1:
        return f"has the shape {list(shape)}, not that of one image"
    read = False
    for node, (by_rows, _) in zip(network.nodes, network.streams, strict=True):
        for index, source in enumerate(node.inputs):
            if source == tensor:
                read = True
                if not by_rows or not is_image(node.operator, node.specs, node.attrs, index):
                    return f"is needed as a whole by {node.operator.name} {node.name!r}"
    if tensor in network.outputs:
        return "is an output as well"
    return None if read else "is read by nothing"


def check_fetched(network: Network, plan: PatchPlan, pulled: frozenset[str]) -> None:
    """Raise PlanError when something outside of the regions of a plan reads an input that is fetched."""
    for node in network.nodes:
        for tensor in node.inputs:
            if tensor in pulled and plan.region_of(node.name) is None:
                raise PlanError(
                    f"patch plan: {node.operator.name} {node.name!r} reads input {tensor!r}, which is fetched by rows, "
                    "and is in no region; make it part of one or leave out -input"
                )
