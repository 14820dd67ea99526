"""Relax calls to scheduled TensorIR functions: the step from the graph to loops.

Each dialect call becomes one layer: its TE compute is made into a TensorIR function, a schedule rule is asked,
and functions that come out equal are shared. Views (reshapes, and slices and concatenations in place) become
aliases and produce no code. Constants go to a pool in which equal contents are stored once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tvm import relax, te
from tvm_ffi.structural import StructuralKey

from .codegen.model import Layer, LoweredModel, TensorInfo
from .codegen.tensorir import LoweredFunction, Scratch, lower_function
from .dialect import Operator, operator_of
from .dialect.relax_api import Array, attributes, constant_value, spec_of
from .schedules import Kernel, Problem, candidates
from .target import TargetConfig

SIGNATURE_ATTR = "tinyml.signature"


def lower(module: Any, config: TargetConfig) -> LoweredModel:
    """Lower the Relax function "main" of a cleaned-up dialect module.

    Needs: one dataflow block of calls to dialect operators; outputs that are not views of inputs
    (transform.MaterializeOutputs). Guarantees: layers in the order of the bindings.
    """
    function = module["main"]
    signature = json.loads(function.attrs[SIGNATURE_ATTR])
    lowering = _Lowering(LoweredModel(signature["name"]), config)
    for parameter, described in zip(function.params, signature["inputs"], strict=True):
        info = TensorInfo(described["name"], spec_of(parameter), described["scale"], described["zero_point"])
        lowering.define(parameter, info)
        lowering.model.inputs.append(info)
    for block in function.body.blocks:
        for binding in block.bindings:
            lowering.bind(binding)
    result = function.body.body
    returned = list(result.fields) if isinstance(result, relax.Tuple) else [result]
    lowering.model.outputs = [lowering.model.tensors[lowering.names[value]] for value in returned]
    return lowering.model


class _Lowering:
    """State of one walk over the bindings."""

    def __init__(self, model: LoweredModel, config: TargetConfig) -> None:
        self.model = model
        self.config = config
        self.names: dict[Any, str] = {}
        self._target = config.tvm_target()
        self._shared: dict[Any, str] = {}
        self._pooled: dict[bytes, str] = {}

    def define(self, variable: Any, info: TensorInfo) -> None:
        """Record that a Relax variable is the activation `info`."""
        self.names[variable] = info.name
        self.model.tensors[info.name] = info

    def bind(self, binding: Any) -> None:
        """Lower one binding: a view, a layer, or another name for a variable."""
        value = binding.value
        if isinstance(value, relax.Var):
            self.names[binding.var] = self.names[value]
            return
        if isinstance(value, relax.Tuple):
            return
        operator = operator_of(value)
        if operator is None:
            raise ValueError(f"lower: {value} is not a call to a dialect operator")
        attrs = attributes(value)
        info = TensorInfo(attrs["tensor"], spec_of(binding.var), attrs["scale"], attrs["zero_point"])
        self.define(binding.var, info)
        if self._lies_in_another(operator, attrs, value.args, info.name):
            return
        roles = _roles(operator.inputs, len(value.args))
        arguments = dict(zip(roles, value.args, strict=True))
        problem = self._problem(operator, attrs, arguments, info.spec.shape)
        taken = candidates(problem)[0]
        kernel = taken.build()
        function = self._function(kernel, attrs["name"])
        *parameters, _output = [str(parameter.name) for parameter in kernel.function.params]
        self.model.layers.append(
            Layer(
                index=len(self.model.layers),
                name=attrs["name"],
                operator=operator.name,
                function=function.symbol,
                schedule=taken.rule,
                arguments=tuple(
                    self._constant(attrs["name"], role, kernel.constants[role])
                    if role in kernel.constants
                    else self.names[arguments[role]]
                    for role in parameters
                ),
                output=info.name,
                scratch=tuple(
                    Scratch(f"{attrs['name']}.{buffer.name}", buffer.nbytes) for buffer in function.scratch
                ),
                macs=operator.macs([spec_of(argument) for argument in value.args], attrs),
                attributes=attrs,
            )
        )

    def _lies_in_another(
        self, operator: Operator, attrs: Mapping[str, Any], arguments: Any, output: str
    ) -> bool:
        """Record who shares whose bytes; whether nothing is left to compute."""
        specs = [spec_of(argument) for argument in arguments]
        offset = operator.view_offset(specs, attrs)
        if offset is not None:
            self.model.views[output] = (self.names[arguments[0]], offset)
            return True
        parts = operator.part_offsets(specs, attrs)
        if parts is None:
            return False
        for argument, start in zip(arguments, parts, strict=True):
            self.model.views[self.model.root(self.names[argument])] = (output, start)
        return True

    def _problem(
        self,
        operator: Operator,
        attrs: Mapping[str, Any],
        arguments: Mapping[str, Any],
        shape: tuple[int, ...],
    ) -> Problem:
        specs = {role: spec_of(argument) for role, argument in arguments.items()}
        values = {role: constant_value(argument) for role, argument in arguments.items()}

        def compute() -> Any:
            tensors = [te.placeholder(spec.shape, spec.dtype, name=role) for role, spec in specs.items()]
            return te.create_prim_func([*tensors, operator.compute(tensors, attrs)])

        return Problem(
            operator=operator.name,
            shapes={role: spec.shape for role, spec in specs.items()},
            constants={role: value for role, value in values.items() if value is not None},
            attrs=attrs,
            output_shape=shape,
            features=self.config.core.features,
            compute=compute,
        )

    def _constant(self, layer: str, role: str, value: Array) -> str:
        key = hashlib.sha256(str((value.dtype, value.shape)).encode() + value.tobytes()).digest()
        name = self._pooled.setdefault(key, f"{self.model.name}_{layer}_{role}")
        self.model.constants[name] = value
        return name

    def _function(self, kernel: Kernel, layer: str) -> LoweredFunction:
        """The lowered function of a kernel, shared by all layers whose loops come out equal."""
        symbol = self._shared.setdefault(StructuralKey(kernel.function), f"{self.model.name}_{layer}")
        if symbol not in self.model.functions:
            lowered = lower_function(symbol, kernel.function, self._target)
            self.model.functions[symbol] = lowered
            self.model.micro_kernels |= {micro.name: micro.source for micro in kernel.micro_kernels}
        return self.model.functions[symbol]


def _roles(inputs: tuple[str, ...], count: int) -> list[str]:
    """Argument names; a trailing "..." repeats the name before it with a number."""
    if not inputs or inputs[-1] != "...":
        return list(inputs)
    fixed = inputs[:-2]
    return [*fixed, *(f"{inputs[-2]}_{number}" for number in range(count - len(fixed)))]
