"""What a graph costs before it is scheduled: the figures that show what a pass brings."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from tvm_tinyml.memory import plan

from .dataflow import Call, Constant, Graph
from .storage import Storage

_SCALE_BYTES = 4


@dataclass(frozen=True)
class Footprint:
    """Work and memory of a graph; sizes in bytes.

    calls: layers that code is generated for.
    macs: multiply-accumulate operations of one inference.
    weights: what a model file holds for the layers that multiply: int8 weights, int32 biases, and a float32 scale per
        output channel, or one where all channels have the same. Equal constants count once.
    activations: all tensors together; those that share bytes count once.
    arena: of a plan in this order of calls, without scratch.
    """

    calls: int
    macs: int
    weights: int
    activations: int
    arena: int

    @classmethod
    def of(cls, module: Any, alignment: int, *, io_in_arena: bool = True) -> Footprint:
        """Footprint of the function "main"; alignment of tensors in bytes, `io_in_arena` as in Storage.program."""
        graph = Graph.read(module["main"])
        storage = Storage(graph)
        program = storage.program(alignment, io_in_arena=io_in_arena)
        return cls(
            calls=sum(storage.is_made(node) for node in graph.calls),
            macs=sum(
                node.operator.macs([value.spec for value in node.inputs], node.attrs) for node in graph.calls
            ),
            weights=_weights(graph),
            activations=sum(root.spec.nbytes for root in storage.roots()),
            arena=plan(program, method="greedy").arena_bytes,
        )


def _weights(graph: Graph) -> int:
    sizes: dict[bytes, int] = {}
    for node in graph.calls:
        constants = _constants(node)
        if "weight" in constants:
            for role in ("weight", "bias"):
                array = constants[role].array
                sizes[sha256(f"{role} {array.shape}".encode() + array.tobytes()).digest()] = array.nbytes
            sizes[sha256(f"scales of {node.attrs['name']}".encode()).digest()] = _SCALE_BYTES * _scales(
                constants
            )
    return sum(sizes.values())


def _constants(node: Call) -> dict[str, Constant]:
    roles = zip(node.operator.inputs, node.inputs, strict=False)
    return {role: value for role, value in roles if isinstance(value, Constant)}


def _scales(constants: dict[str, Constant]) -> int:
    factors = np.stack([constants["multiplier"].array, constants["shift"].array])
    return 1 if (factors == factors[:, :1]).all() else factors.shape[1]
