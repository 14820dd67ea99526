"""A model as loops: what the memory planner and the C printer need, and nothing of Relax.

`lower.py` fills this in; everything below it in the pipeline reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm_tinyml.dialect.relax_api import Array, TensorSpec
from tvm_tinyml.memory.program import Program, Step, Tensor

from .tensorir import LoweredFunction, Scratch


@dataclass(frozen=True)
class TensorInfo:
    """An activation: `name` is unique in the model and is the source model's name where it has one."""

    name: str
    spec: TensorSpec
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Alternative:
    """One of the schedules that a layer could have: estimates, whether it was taken, and why or why not.

    instructions: of one call; None when the schedule has no estimate.
    code_bytes: with all its micro-kernels, which other layers may share.
    """

    schedule: str
    instructions: int | None
    code_bytes: int
    scratch_bytes: int
    taken: bool
    reason: str


@dataclass(frozen=True)
class Layer:
    """One call in execution order.

    arguments: names of activations and of constants, in the order of the C function's parameters; the output and
        `scratch` follow them.
    alternatives: the schedules that could be taken, the fastest first.
    scratch: buffers of the arena that only this layer uses, in the order of the function's parameters.
    """

    index: int
    name: str
    operator: str
    function: str
    schedule: str
    arguments: tuple[str, ...]
    output: str
    scratch: tuple[Scratch, ...]
    macs: int
    attributes: Mapping[str, Any]
    alternatives: tuple[Alternative, ...] = ()


@dataclass
class LoweredModel:
    """A model as loops: what the memory planner and the C printer need, and nothing of Relax.

    views: tensors that lie in another one, and the byte of that at which they begin.
    """

    name: str
    inputs: list[TensorInfo] = field(default_factory=list)
    outputs: list[TensorInfo] = field(default_factory=list)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    views: dict[str, tuple[str, int]] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    functions: dict[str, LoweredFunction] = field(default_factory=dict)
    micro_kernels: dict[str, str] = field(default_factory=dict)

    def place(self, tensor: str) -> tuple[str, int]:
        """Tensor that owns the bytes of `tensor`, itself unless it is a view, and the byte at which it begins."""
        offset = 0
        while tensor in self.views:
            tensor, start = self.views[tensor]
            offset += start
        return tensor, offset

    def root(self, tensor: str) -> str:
        """Tensor that owns the bytes of `tensor`: itself unless it is a view."""
        return self.place(tensor)[0]

    def program(self, alignment: int, io_in_arena: bool) -> Program:
        """The memory planner's view of the model; tensors in caller buffers are left out of it."""
        external = set() if io_in_arena else {self.root(t.name) for t in (*self.inputs, *self.outputs)}

        def inside(names: Sequence[str]) -> tuple[str, ...]:
            return tuple(n for n in names if n in self.tensors and self.root(n) not in external)

        names = inside(list(self.tensors))
        return Program(
            tensors=tuple(Tensor(name, self.tensors[name].spec.nbytes, alignment) for name in names),
            steps=tuple(
                Step(
                    layer.name,
                    inside(layer.arguments),
                    inside([layer.output]),
                    tuple(Tensor(buffer.name, buffer.nbytes, alignment) for buffer in layer.scratch),
                )
                for layer in self.layers
            ),
            inputs=inside([t.name for t in self.inputs]),
            outputs=inside([t.name for t in self.outputs]),
            aliases={name: self.place(name) for name in names if name in self.views},
        )
