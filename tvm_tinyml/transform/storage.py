"""Where the values of a graph lie before anything is scheduled: which share bytes, and what that takes of memory.

A view lies in its input, the parts of a concatenation in place lie in its result. Both are the same relation: a
value lies at an offset in another one, and the end of the chain is the root that owns the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from tvm_tinyml.memory import Program, Step, Tensor

from .dataflow import Call, Constant, Graph, Value


class Storage:
    """Root and byte offset of every value of a graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._values: list[Value] = [*graph.parameters, *graph.calls]
        self._inside: dict[Value, tuple[Value, int]] = {}
        for node in graph.calls:
            specs = [value.spec for value in node.inputs]
            offset = node.operator.view_offset(specs, node.attrs)
            if offset is not None:
                self._inside[node] = (node.inputs[0], offset)
            parts = node.operator.part_offsets(specs, node.attrs)
            if parts is not None:
                for value, start in zip(node.inputs, parts, strict=True):
                    self._inside[self.place(value)[0]] = (node, start)

    def place(self, value: Value) -> tuple[Value, int]:
        """The value that owns the bytes of `value`, and the byte in it at which `value` begins."""
        offset = 0
        while value in self._inside:
            value, start = self._inside[value]
            offset += start
        return value, offset

    def root(self, value: Value) -> Value:
        """The value that owns the bytes of `value`."""
        return self.place(value)[0]

    def is_made(self, node: Call) -> bool:
        """Whether code makes `node`; a view and a concatenation in place are there without."""
        specs = [value.spec for value in node.inputs]
        return (
            node.operator.view_offset(specs, node.attrs) is None
            and node.operator.part_offsets(specs, node.attrs) is None
        )

    def roots(self) -> list[Value]:
        """Values that own memory which a plan has to place: no constants, each once."""
        found = dict.fromkeys(self.root(value) for value in self._values)
        return [root for root in found if not isinstance(root, Constant)]

    def program(self, alignment: int, *, io_in_arena: bool = True) -> Program:
        """The planner's view of the graph: its steps without scratch, tensors aligned to `alignment` bytes.

        io_in_arena: whether inputs and outputs take memory of the arena.
        """
        edges = (*self._graph.parameters, *self._graph.outputs)
        external = set() if io_in_arena else {self.root(value) for value in edges}
        names = {
            value: f"{index}"
            for index, value in enumerate(self._values)
            if not isinstance(self.root(value), Constant) and self.root(value) not in external
        }

        def named(values: Iterable[Value]) -> tuple[str, ...]:
            return tuple(names[value] for value in values if value in names)

        return Program(
            tensors=tuple(Tensor(name, value.spec.nbytes, alignment) for value, name in names.items()),
            steps=tuple(
                Step(f"{index}", named(node.inputs), named([node]))
                for index, node in enumerate(self._graph.calls)
                if self.is_made(node)
            ),
            inputs=named(self._graph.parameters),
            outputs=named(self._graph.outputs),
            aliases={
                name: (names[root], offset)
                for value, name in names.items()
                for root, offset in [self.place(value)]
                if root is not value
            },
        )
