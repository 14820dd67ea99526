"""Relax calls to scheduled TensorIR functions: the step from the graph to loops.

Each dialect call becomes one layer. First all schedule rules are asked about all layers; when candidates have been
selected for the whole network they are built, and functions that come out equal are shared. Views (reshapes, and slices
and concatenations in place) become
aliases and produce no code. Constants go to a pool in which equal contents are stored once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, replace
from math import inf, isfinite
from typing import Any, TypeAlias

from tvm import relax, te
from tvm_ffi.structural import StructuralKey

from .codegen.device_source import DEVICE_CALL_BYTES, device_function, device_inplace
from .codegen.layer import Alternative, Layer
from .codegen.model import LoweredModel, TensorInfo
from .codegen.streaming import StreamedRegion, pull_type
from .codegen.tensorir import LoweredFunction, Scratch, lower_function
from .dialect import Operator, operator_of
from .dialect.relax_api import Array, Attrs, TensorSpec, attributes, constant_value, spec_of
from .patch import Node, PatchPlan, Region, RegionShape, Stage, shape_region
from .schedules import Candidate, Choice, Kernel, Parts, Problem, candidates, code_bytes, stored_constant
from .target import TargetConfig

SIGNATURE_ATTR = "tinyml.signature"


Known: TypeAlias = dict[Any, Sequence[Candidate]]
"""What the rules offer, by problem."""


class Lowering:
    """The Relax function "main" of a cleaned-up dialect module on its way to loops.

    Needs: one dataflow block of calls to dialect operators; outputs that are not views of inputs
    (transform.MaterializeOutputs); with a patch plan, its order (transform.PatchInference). Guarantees: layers in the
    order of the bindings.

    outline: the model with layers that have no functions and no scratch yet: what memory the tensors need.
    known: what rules offered for problems met before, in other lowerings for the same target; new ones are added.
    candidates: what the rules offer for each layer.
    kinds: of the layers; equal ones have candidates that take the same instructions.
    constant_bytes: of all layers, before schedules pack them.
    pulled: inputs that regions of the plan fetch; no other operator reads them.
    """

    def __init__(
        self,
        module: Any,
        config: TargetConfig,
        patch: PatchPlan | None = None,
        pulled: frozenset[str] = frozenset(),
        known: Known | None = None,
    ) -> None:
        function = module["main"]
        signature = json.loads(function.attrs[SIGNATURE_ATTR])
        self.config = config
        self.outline = LoweredModel(signature["name"], keeps_inputs=config.keeps_inputs)
        self._names: dict[Any, str] = {}
        self._arguments: list[Mapping[str, str]] = []
        self._patch = patch
        self._pulled = pulled
        self._known = known
        self._pending: list[tuple[Node, Sequence[Array | None]]] = []
        self._device_constants: dict[int, Mapping[str, Array]] = {}
        self.constant_bytes = 0
        self.candidates: list[Sequence[Candidate]] = []
        self.kinds: list[Hashable] = []
        for parameter, described in zip(function.params, signature["inputs"], strict=True):
            info = TensorInfo(
                described["name"], spec_of(parameter), described["scale"], described["zero_point"]
            )
            self._define(parameter, info)
            self.outline.inputs.append(info)
        for block in function.body.blocks:
            for binding in block.bindings:
                self._bind(binding)
        result = function.body.body
        returned = list(result.fields) if isinstance(result, relax.Tuple) else [result]
        self.outline.outputs = [self.outline.tensors[self._names[value]] for value in returned]

    def _define(self, variable: Any, info: TensorInfo) -> None:
        """Record that a Relax variable is the activation `info`."""
        self._names[variable] = info.name
        self.outline.tensors[info.name] = info

    def _bind(self, binding: Any) -> None:
        """Record one binding: a view, a layer, or another name for a variable."""
        value = binding.value
        if isinstance(value, relax.Var):
            self._names[binding.var] = self._names[value]
            return
        if isinstance(value, relax.Tuple):
            return
        operator = operator_of(value)
        if operator is None:
            raise ValueError(f"lower: {value} is not a call to a dialect operator")
        attrs = attributes(value)
        info = TensorInfo(attrs["tensor"], spec_of(binding.var), attrs["scale"], attrs["zero_point"])
        self._define(binding.var, info)
        if self._lies_in_another(operator, attrs, value.args, info.name):
            return
        node = Node(
            operator,
            attrs,
            tuple(self._names.get(argument) for argument in value.args),
            tuple(spec_of(argument) for argument in value.args),
            info.spec,
        )
        values = [constant_value(argument) for argument in value.args]
        region = self._patch.region_of(node.name) if self._patch else None
        if region is None:
            self._record(node, values, node.specs, attrs, info.spec)
            return
        self._pending.append((node, values))
        if node.name == region.operators[-1]:
            self._stream(region)

    def _stream(self, region: Region) -> None:
        """Record the operators of a region, which have been collected: each computes a part of its output per call."""
        nodes = [node for node, _ in self._pending]
        shape = shape_region(nodes, region, self._pulled, whole_rows=self.config.input == "rows")
        first = len(self.outline.layers)
        pending = iter(self._pending)
        problems: dict[int, tuple[int, Problem]] = {}
        for index, stage in enumerate(shape.stages):
            calls = shape.strips * stage.operation.calls
            if isinstance(stage, Stage):
                node, values = next(pending)
                number = len(self.outline.layers)
                problem = self._record(node, values, stage.specs, stage.attrs, stage.output, calls)
                if problem is not None:
                    problems[index] = number, problem
                continue
            for member, (node, values) in zip(stage.band.stages, pending, strict=False):
                assert isinstance(member, Stage)
                swapped = [
                    value.swapaxes(1, 2) if value is not None and value.ndim == 4 else value
                    for value in values
                ]
                every = calls * member.operation.calls
                self._record(node, swapped, member.specs, member.attrs, member.output, every)
        self._pending = []
        symbol = f"{self.outline.name}_region_{len(self.outline.regions)}"
        layers = tuple(self.outline.layers[first:])
        numbers = {info.name: number for number, info in enumerate(self.outline.inputs)}
        callbacks = tuple(pull_type(self.outline.name, numbers[one.output]) for one in shape.pulls)
        nothing: tuple[tuple[Scratch, ...], ...] = ((),) * len(layers)
        planes = self._planes(shape, problems)
        region_alone = StreamedRegion(
            symbol, shape, layers, nothing, self.config.alignment, callbacks, planes
        )
        self.outline.regions.append(region_alone)

    def _planes(self, shape: RegionShape, problems: Mapping[int, tuple[int, Problem]]) -> frozenset[str]:
        """Tensors that a region keeps in planes, because maker and reader take less instructions then.

        problems: of the stages, with the numbers of their layers, which get the candidates for planes.
        """
        found = set[str]()
        for tensor, (maker, reader) in shape.handed_on.items():
            if not {maker, reader} <= problems.keys():
                continue
            plane = shape.plane(tensor)
            usual, other = 0.0, 0.0
            offers: dict[int, Sequence[Candidate]] = {}
            # The reader first: few operators read planes.
            for index in (reader, maker):
                layer, problem = problems[index]
                stage = shape.stages[index]
                assert isinstance(stage, Stage)
                asked = replace(
                    problem,
                    data_plane=plane if index == reader else 0,
                    output_plane=plane if index == maker else 0,
                )
                offered = self._offered(asked, stage.specs)
                if not offered:
                    break
                offers[layer] = offered
                usual += min(one.instructions for one in self.candidates[layer])
                other += min(one.instructions for one in offers[layer])
            if len(offers) == 2 and other < usual:
                found.add(tensor)
                for layer, candidates_for_planes in offers.items():
                    self.candidates[layer] = candidates_for_planes
                    self.kinds[layer] = tensor, layer
        return frozenset(found)

    def _record(
        self,
        node: Node,
        values: Sequence[Array | None],
        specs: Sequence[TensorSpec],
        attrs: Attrs,
        output: TensorSpec,
        calls: int = 1,
    ) -> Problem | None:
        """Record a layer: `calls` calls of a function of inputs `specs` with the given attributes and output.

        Returns what the rules are asked, if they are.
        """
        if node.operator.on_device:
            self._record_on_device(node, values)
            return None
        roles = _roles(node.operator.inputs, len(specs))
        problem = problem_of(self.config, node.operator, specs, values, attrs, output.shape, calls)
        names = {role: name for role, name in zip(roles, node.inputs, strict=True) if name is not None}
        offered = self._offered(problem, specs)
        self._arguments.append(names)
        self.candidates.append(offered)
        self.kinds.append(_kind(node.operator, calls, [*specs, output], attrs, offered))
        self.constant_bytes += sum(value.nbytes for value in problem.constants.values())
        self.outline.layers.append(
            Layer(
                index=len(self.outline.layers),
                name=node.name,
                operator=node.operator.name,
                function="",
                schedule="",
                arguments=tuple(names[role] for role in problem.activations),
                output=node.tensor,
                scratch=(),
                macs=node.operator.macs(node.specs, node.attrs),
                attributes=node.attrs,
                share_inside=node.operator.share_inside(node.specs, node.attrs),
                bounds=tuple(
                    (name, bounds)
                    for name, bounds in zip(
                        node.inputs, node.operator.bounds(node.specs, node.attrs), strict=True
                    )
                    if name is not None
                ),
            )
        )
        return problem

    def _offered(self, problem: Problem, specs: Sequence[TensorSpec]) -> Sequence[Candidate]:
        """What the rules offer for a problem, with the estimates of all its calls."""
        key = None if self._known is None else _identity(problem, specs)
        if self._known is not None and key in self._known:
            return self._known[key]
        offered = [one.called(problem.calls) for one in candidates(problem)]
        if self._known is not None:
            self._known[key] = offered
        return offered

    def _record_on_device(self, node: Node, values: Sequence[Array | None]) -> None:
        """Record a layer that a device computes: one candidate, which the printer of calls to it knows."""
        roles = _roles(node.operator.inputs, len(values))
        names = {role: name for role, name in zip(roles, node.inputs, strict=True) if name is not None}
        constants = {role: value for role, value in zip(roles, values, strict=True) if value is not None}
        offered = [Candidate(str(node.attrs["accelerator"]), inf, _no_kernel, loop_bytes=DEVICE_CALL_BYTES)]
        self._arguments.append(names)
        self._device_constants[len(self.outline.layers)] = constants
        self.candidates.append(offered)
        self.kinds.append(node.name)
        self.constant_bytes += sum(value.nbytes for value in constants.values())
        self.outline.layers.append(
            Layer(
                index=len(self.outline.layers),
                name=node.name,
                operator=node.operator.name,
                function="",
                schedule="",
                arguments=tuple(names.values()),
                output=node.tensor,
                scratch=(),
                macs=node.operator.macs(node.specs, node.attrs),
                attributes=node.attrs,
                inplace=device_inplace(node.attrs, tuple(names.values()), node.tensor, self.outline.tensors),
                can_fail=True,
            )
        )

    def _lies_in_another(
        self, operator: Operator, attrs: Mapping[str, Any], arguments: Any, output: str
    ) -> bool:
        """Record who shares whose bytes; whether nothing is left to compute."""
        specs = [spec_of(argument) for argument in arguments]
        offset = operator.view_offset(specs, attrs)
        if offset is not None:
            self.outline.views[output] = (self._names[arguments[0]], offset)
            return True
        parts = operator.part_offsets(specs, attrs)
        if parts is None:
            return False
        for argument, start in zip(arguments, parts, strict=True):
            self.outline.views[self.outline.root(self._names[argument])] = (output, start)
        return True

    def give_up_spare_rows(self) -> bool:
        """Leave line buffers half of the rows that they do not need; whether any had such rows."""
        regions = self.outline.regions
        had = any(region.spare_bytes(tensor) for region in regions for tensor in region.planes)
        self.outline.regions = [replace(region, spare=region.spare // 2) for region in regions]
        return had

    def build(self, choices: Sequence[Choice]) -> LoweredModel:
        """The model with the candidate chosen for each layer."""
        outline = self.outline
        model = replace(outline, layers=[], constants={}, functions={}, micro_kernels={}, regions=[])
        builder = _Builder(model, self.config.tvm_target())
        for layer, names, choice in zip(outline.layers, self._arguments, choices, strict=True):
            constants = self._device_constants.get(layer.index)
            model.layers.append(
                builder.layer(layer, choice, names)
                if constants is None
                else builder.device_layer(layer, choice, constants)
            )
        for region in outline.regions:
            # What calls of a region need besides lies in the region's block.
            first, count = region.layers[0].index, len(region.layers)
            built = model.layers[first : first + count]
            model.layers[first : first + count] = [replace(layer, scratch=()) for layer in built]
            layers, scratch = tuple(model.layers[first : first + count]), tuple(one.scratch for one in built)
            model.regions.append(replace(region, layers=layers, scratch=scratch))
        return model


def problem_of(
    config: TargetConfig,
    operator: Operator,
    specs: Sequence[TensorSpec],
    values: Sequence[Array | None],
    attrs: Attrs,
    shape: tuple[int, ...],
    calls: int,
) -> Problem:
    """What schedule rules are asked: `calls` calls of an operator.

    specs, values: types of its inputs, and the contents of those that are constant. shape: of its output.
    """
    roles = _roles(operator.inputs, len(specs))
    types = dict(zip(roles, specs, strict=True))
    constants = {role: value for role, value in zip(roles, values, strict=True) if value is not None}

    def compute() -> Any:
        stored = {role: str(stored_constant(role, value).dtype) for role, value in constants.items()}
        tensors = [
            te.placeholder(spec.shape, stored.get(role, spec.dtype), name=role)
            for role, spec in types.items()
        ]
        return te.create_prim_func([*tensors, operator.compute(tensors, attrs)])

    return Problem(
        operator=operator.name,
        shapes={role: spec.shape for role, spec in types.items()},
        constants=constants,
        attrs=attrs,
        output_shape=shape,
        features=config.core.features,
        compute=compute,
        objective=config.opt,
        calls=calls,
    )


class _Builder:
    """Makes the functions and the constants of a model's layers."""

    def __init__(self, model: LoweredModel, target: Any) -> None:
        self._model = model
        self._target = target
        self._shared: dict[Any, str] = {}
        self._pooled: dict[bytes, str] = {}
        self._lowered: dict[str, LoweredFunction] = {}

    def layer(self, outline: Layer, choice: Choice, names: Mapping[str, str]) -> Layer:
        """The layer with its function; names: of its activations, by role."""
        kernel = choice.candidate.kernel
        function = self._function(kernel, outline.name)
        *parameters, _output = [str(parameter.name) for parameter in kernel.function.params]
        return replace(
            outline,
            function=function.symbol,
            schedule=choice.candidate.rule,
            arguments=tuple(
                self._constant(outline.name, role, kernel.constants[role])
                if role in kernel.constants
                else names[role]
                for role in parameters
            ),
            scratch=tuple(
                Scratch(f"{outline.name}.{buffer.name}", buffer.nbytes) for buffer in function.scratch
            ),
            alternatives=tuple(
                Alternative(
                    schedule=candidate.rule,
                    instructions=round(candidate.instructions) if isfinite(candidate.instructions) else None,
                    counted_instructions=candidate.counted,
                    code_bytes=code_bytes(candidate),
                    scratch_bytes=candidate.scratch,
                    taken=index == choice.taken,
                    reason=reason,
                    parts=_rounded(candidate.parts),
                )
                for index, (candidate, reason) in enumerate(
                    zip(choice.candidates, choice.reasons, strict=True)
                )
            ),
        )

    def device_layer(self, outline: Layer, choice: Choice, constants: Mapping[str, Array]) -> Layer:
        """The layer with the C function that asks the device; its constants come first."""
        symbol = f"{self._model.name}_{outline.name}"
        inputs = [self._model.tensors[name].spec for name in outline.arguments]
        self._model.functions[symbol] = device_function(symbol, outline.attributes, inputs, constants)
        names = [self._constant(outline.name, role, value) for role, value in constants.items()]
        return replace(
            outline,
            function=symbol,
            schedule=choice.candidate.rule,
            arguments=(*names, *outline.arguments),
        )

    def _constant(self, layer: str, role: str, value: Array) -> str:
        key = hashlib.sha256(str((value.dtype, value.shape)).encode() + value.tobytes()).digest()
        name = self._pooled.setdefault(key, f"{self._model.name}_{layer}_{role}")
        self._model.constants[name] = value
        return name

    def _function(self, kernel: Kernel, layer: str) -> LoweredFunction:
        """The lowered function of a kernel, shared by all layers whose loops come out equal."""
        symbol = self._shared.setdefault(StructuralKey(kernel.function), f"{self._model.name}_{layer}")
        if symbol not in self._model.functions:
            self._lowered[symbol] = lower_function(symbol, kernel.function, self._target)
            self._model.functions[symbol] = self._lowered[symbol]
            self._model.micro_kernels |= {micro.name: micro.source for micro in kernel.micro_kernels}
        return self._lowered[symbol]


def _no_kernel() -> Kernel:
    """Stands where a candidate says how it is built: `_Builder.device_layer` prints a call instead."""
    raise RuntimeError("a layer that a device computes has no kernel to build")


def _kind(
    operator: Operator, calls: int, specs: Sequence[TensorSpec], attrs: Attrs, offered: Sequence[Candidate]
) -> Hashable:
    """What layers have in common whose candidates take the same instructions."""
    own = ("name", "tensor", "scale")
    return (
        operator.name,
        calls,
        tuple((spec.dtype, tuple(spec.shape)) for spec in specs),
        repr(sorted((key, value) for key, value in attrs.items() if key not in own)),
        tuple((one.rule, one.instructions, one.waits, one.scratch, one.loop_bytes) for one in offered),
    )


def _rounded(parts: Parts | None) -> dict[str, int] | None:
    return None if parts is None else {name: round(count) for name, count in asdict(parts).items()}


def _identity(problem: Problem, specs: Sequence[TensorSpec]) -> Any:
    """Equal for problems that the rules cannot tell apart."""
    constants = tuple(
        (role, str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).digest())
        for role, value in problem.constants.items()
    )
    attrs = tuple(
        sorted((key, value) for key, value in problem.attrs.items() if key not in ("name", "tensor"))
    )
    shapes = tuple(problem.shapes), tuple(specs), problem.output_shape
    planes = problem.data_plane, problem.output_plane
    return problem.operator, problem.calls, shapes, constants, attrs, planes


def _roles(inputs: tuple[str, ...], count: int) -> list[str]:
    """Argument names; a trailing "..." repeats the name before it with a number."""
    if not inputs or inputs[-1] != "...":
        return list(inputs)
    fixed = inputs[:-2]
    return [*fixed, *(f"{inputs[-2]}_{number}" for number in range(count - len(fixed)))]
