"""A model as loops: what the memory planner and the C printer need, and nothing of Relax.

`lower.py` fills this in; everything below it in the pipeline reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tvm_tinyml.dialect.relax_api import Array, TensorSpec
from tvm_tinyml.memory.memory_plan import MemoryPlan
from tvm_tinyml.memory.program import InPlace, Program, Step, Tensor

from .layer import Layer
from .streaming import StreamedRegion
from .tensorir import CFunction, LoweredFunction


@dataclass(frozen=True)
class TensorInfo:
    """An activation: `name` is unique in the model and is the source model's name where it has one."""

    name: str
    spec: TensorSpec
    scale: float
    zero_point: int


@dataclass
class LoweredModel:
    """A model as loops: what the memory planner and the C printer need, and nothing of Relax.

    views: tensors that lie in another one, and the byte of that at which they begin.
    placement: what runs on an NPU and what does not, as plain data for reports; None without one.
    keeps_inputs: whether inputs are there after the last call as they were before the first.
    """

    name: str
    inputs: list[TensorInfo] = field(default_factory=list)
    outputs: list[TensorInfo] = field(default_factory=list)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    views: dict[str, tuple[str, int]] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    functions: dict[str, LoweredFunction | CFunction] = field(default_factory=dict)
    micro_kernels: dict[str, str] = field(default_factory=dict)
    regions: list[StreamedRegion] = field(default_factory=list)
    placement: Mapping[str, Any] | None = None
    keeps_inputs: bool = False

    @property
    def calls(self) -> list[Layer | StreamedRegion]:
        """What the entry function calls: layers, and regions in the place of theirs."""
        region_of = {layer.index: region for region in self.regions for layer in region.layers}
        calls: list[Layer | StreamedRegion] = []
        for layer in self.layers:
            call = region_of.get(layer.index, layer)
            if not calls or calls[-1] is not call:
                calls.append(call)
        return calls

    @property
    def call_of_layer(self) -> list[int]:
        """For every layer, the number of the call of the entry function that runs it."""
        return [
            number
            for number, call in enumerate(self.calls)
            for _ in (call.layers if isinstance(call, StreamedRegion) else (call,))
        ]

    @property
    def pulled(self) -> set[str]:
        """Inputs that are fetched on demand and never in memory as a whole."""
        return {tensor for region in self.regions for tensor in region.pulled}

    @property
    def streamed(self) -> set[str]:
        """Tensors that exist in line buffers only."""
        return {tensor for region in self.regions for tensor in region.streamed}

    def without_scratch(self) -> LoweredModel:
        """This model as if no layer needed more than tensors, line buffers without spare rows, and windows."""
        layers = [replace(layer, scratch=()) for layer in self.layers]
        regions = [
            replace(region, scratch=((),) * len(region.layers), spare=0, pieces=()) for region in self.regions
        ]
        return replace(self, layers=layers, regions=regions)

    def as_planned(self, plan: MemoryPlan) -> LoweredModel:
        """This model with the blocks of its regions in the pieces that a memory plan has."""
        return replace(self, regions=[region.as_planned(plan) for region in self.regions])

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
        external |= self.streamed

        def inside(names: Sequence[str]) -> tuple[str, ...]:
            return tuple(n for n in names if n in self.tensors and self.root(n) not in external)

        names = inside(list(self.tensors))
        kept = self.inputs if self.keeps_inputs else []
        return Program(
            tensors=tuple(Tensor(name, self.tensors[name].spec.nbytes, alignment) for name in names),
            steps=tuple(self._step(call, inside, alignment) for call in self.calls),
            inputs=inside([t.name for t in self.inputs]),
            outputs=inside(list(dict.fromkeys(t.name for t in (*self.outputs, *kept)))),
            aliases={name: self.place(name) for name in names if name in self.views},
        )

    def _step(
        self, call: Layer | StreamedRegion, inside: Callable[[Sequence[str]], tuple[str, ...]], alignment: int
    ) -> Step:
        """A call of the entry function as the planner sees it; `inside` keeps the tensors of the arena."""
        if isinstance(call, StreamedRegion):
            reads, writes = inside(call.shape.inputs), inside([call.shape.output])
            scratch, permissions = call.buffers, call.permissions
        else:
            reads, writes = inside(call.arguments), inside([call.output])
            scratch = tuple(Tensor(buffer.name, buffer.nbytes, alignment) for buffer in call.scratch)
            permissions = (*call.inplace, *self._permissions(call))
        sources = {*reads, *(piece.name for buffer in scratch for piece in (buffer, *buffer.pieces))}
        inplace = (one for one in permissions if one.input in sources and one.output in writes)
        return Step(
            call.symbol if isinstance(call, StreamedRegion) else call.name,
            reads,
            writes,
            scratch,
            tuple(inplace),
        )

    def _permissions(self, layer: Layer) -> Iterator[InPlace]:
        """Activations that the output of a layer may lie over."""
        function = self.functions.get(layer.function)
        if not isinstance(function, LoweredFunction):
            return
        every = list(zip(layer.arguments, function.overlaps, strict=True))
        for name in dict.fromkeys(layer.arguments):
            found = [overlap for argument, overlap in every if argument == name]
            known = [overlap for overlap in found if overlap is not None]
            if name in self.tensors and len(known) == len(found):
                distance = max(overlap.distance for overlap in known)
                yield InPlace(name, layer.output, distance, all(overlap.same_place for overlap in known))

    def overlapping(self, plan: MemoryPlan) -> Iterator[tuple[Layer, LoweredFunction, str]]:
        """Scheduled layers outside of regions whose output lies over an activation that they read, and that one."""
        for call in self.calls:
            if isinstance(call, StreamedRegion) or call.output not in plan.offsets:
                continue
            function = self.functions[call.function]
            if not isinstance(function, LoweredFunction):
                continue
            start = plan.offsets[call.output]
            end = start + self.tensors[call.output].spec.nbytes
            for name in dict.fromkeys(call.arguments):
                begin = plan.offsets.get(name)
                if begin is not None and begin < end and start < begin + self.tensors[name].spec.nbytes:
                    yield call, function, name
