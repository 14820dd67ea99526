"""ScheduleForMemory: calls in the order that keeps the fewest bytes alive."""

from __future__ import annotations

import logging
from typing import Any

from ..memory.order import Buffer, Task, best_order
from .dataflow import Call, Constant, Graph, Value, graph_pass

_LOG = logging.getLogger(__name__)


def ScheduleForMemory(*, io_in_arena: bool = True) -> Any:  # noqa: N802
    """Needs nothing; guarantees that no order of the calls has a smaller peak of live tensors, or logs the gap.

    io_in_arena: whether inputs and outputs count; they do not where the caller keeps them.

    The order stays where no other has a smaller peak. Scratch of kernels is not known to a graph and not counted.
    """
    return graph_pass("ScheduleForMemory", lambda graph: _schedule(graph, io_in_arena))


def _schedule(graph: Graph, io_in_arena: bool) -> int:
    values: list[Value] = [*graph.parameters, *graph.calls]
    roots = {value: root_of(value) for value in values}
    returned = {root_of(value) for value in graph.outputs}
    index = {root: number for number, root in enumerate(dict.fromkeys(roots.values()))}
    buffers = [_buffer(root, root in returned, io_in_arena) for root in index]
    position = {node: number for number, node in enumerate(graph.calls)}
    tasks = [
        Task(
            reads=tuple(
                {index[roots[value]] for value in node.inputs if not isinstance(root_of(value), Constant)}
            ),
            writes=() if node.operator.is_view else (index[node],),
            after=tuple(position[value] for value in node.inputs if isinstance(value, Call)),
        )
        for node in graph.calls
    ]
    found = best_order(buffers, tasks)
    if found.peak > found.lower_bound:
        _LOG.warning(
            "ScheduleForMemory: %d bytes alive at once; no order needs less than %d",
            found.peak,
            found.lower_bound,
        )
    before, graph.calls = graph.calls, [graph.calls[number] for number in found.order]
    return sum(one is not other for one, other in zip(before, graph.calls, strict=True))


def root_of(value: Value) -> Value:
    """The value whose bytes `value` shows: itself unless it is a view."""
    while isinstance(value, Call) and value.operator.is_view:
        value = value.inputs[0]
    return value


def _buffer(root: Value, returned: bool, io_in_arena: bool) -> Buffer:
    external = isinstance(root, Constant) or (not io_in_arena and (returned or not isinstance(root, Call)))
    return Buffer(0 if external else root.spec.nbytes, returned)
