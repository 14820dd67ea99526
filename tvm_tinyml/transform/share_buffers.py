"""ShareBuffers: concatenations whose parts are written where they belong, and slices read where they lie.

A concatenation along the outermost axis with more than one element is its inputs one after the other; a slice along
that axis is a run of its input. Neither needs a copy when the planner places the tensors inside each other. The
tensor around lives as long as any part of it, which can cost more memory than a copy: where a plan comes out larger,
the call stays what it was.
"""

from __future__ import annotations

from typing import Any

from tvm_tinyml.memory import plan

from ..dialect.registry import IN_PLACE
from .dataflow import Call, Graph, Value, graph_pass
from .storage import Storage


def ShareBuffers(alignment: int, *, io_in_arena: bool = True) -> Any:  # noqa: N802
    """Needs outputs in buffers of their own; guarantees the same, and an arena (without scratch) no larger.

    A part that cannot be written in place (an input or constant, a tensor that is read elsewhere under another
    place, an output) is copied there, as long as another one needs no copy.

    alignment: bytes; parts begin at multiples of it.
    io_in_arena: whether inputs and outputs take memory of the arena.
    """
    return graph_pass("ShareBuffers", lambda graph: _share(graph, alignment, io_in_arena))


def _share(graph: Graph, alignment: int, io_in_arena: bool) -> int:
    def arena_bytes() -> int:
        program = Storage(graph).program(alignment, io_in_arena=io_in_arena)
        return plan(program, method="greedy").arena_bytes

    changes, last = 0, -1
    # What one call frees may make room for another.
    while changes != last:
        last = changes
        for node in list(graph.calls):
            if node.operator.name not in ("concat", "slice") or node.attrs.get(IN_PLACE):
                continue
            before, inputs, calls = arena_bytes(), node.inputs, list(graph.calls)
            node.attrs[IN_PLACE] = 1
            if _place(graph, node, alignment) and arena_bytes() <= before:
                changes += 1
            else:
                del node.attrs[IN_PLACE]
                node.inputs, graph.calls = inputs, calls
    return changes


def _place(graph: Graph, node: Call, alignment: int) -> bool:
    """Copy the parts of a marked call that have to be; whether everything may lie where the mark puts it."""
    specs = [value.spec for value in node.inputs]
    offset = node.operator.view_offset(specs, node.attrs)
    if offset is not None:
        return offset % alignment == 0 and _outputs_own_their_bytes(graph)
    parts = node.operator.part_offsets(specs, node.attrs)
    if parts is None or any(start % alignment for start in parts):
        return False
    in_place = _writable(graph, node)
    if not any(in_place):
        return False
    node.inputs = [
        value if writable else _copy(graph, node, value)
        for value, writable in zip(node.inputs, in_place, strict=True)
    ]
    return _outputs_own_their_bytes(graph)


def _writable(graph: Graph, concat: Call) -> list[bool]:
    """For every input, whether whoever makes it can write it into the result."""
    del concat.attrs[IN_PLACE]
    storage = Storage(graph)
    concat.attrs[IN_PLACE] = 1
    taken = {storage.root(value) for value in graph.outputs}
    found = []
    for value in concat.inputs:
        root, offset = storage.place(value)
        whole = offset == 0 and root.spec.nbytes == value.spec.nbytes
        found.append(isinstance(root, Call) and whole and root not in taken)
        taken.add(root)
    return found


def _copy(graph: Graph, concat: Call, value: Value) -> Call:
    copy = graph.copy_of(value, f"{concat.attrs['name']}_part")
    graph.calls.insert(graph.calls.index(concat), copy)
    return copy


def _outputs_own_their_bytes(graph: Graph) -> bool:
    """Whether every output has a root of its own, of its own size, that a call makes."""
    storage = Storage(graph)
    roots = [storage.root(value) for value in graph.outputs]
    return len(set(roots)) == len(roots) and all(
        isinstance(root, Call) and root.spec.nbytes == value.spec.nbytes
        for root, value in zip(roots, graph.outputs, strict=True)
    )
