"""Relax calls to scheduled TensorIR functions: the step from the graph to loops.

Each dialect call becomes one layer: its TE compute is made into a TensorIR function, a schedule rule is asked,
and functions that come out equal are shared. Views (reshape) become aliases and produce no code. Constants go
to a pool in which equal contents are stored once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tvm import relax, te
from tvm_ffi.structural import StructuralKey

from .codegen.model import Layer, LoweredModel, TensorInfo
from .dialect import operator_of, operators
from .dialect.relax_api import TensorSpec, attributes, constant_value, spec_of
from .schedules import schedule
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
        self._shared: dict[tuple[Any, str], str] = {}
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
        if operator.is_view:
            self.model.views[info.name] = self.names[value.args[0]]
            return
        arguments = tuple(
            self._argument(attrs["name"], role, argument)
            for role, argument in zip(_roles(operator.inputs, len(value.args)), value.args, strict=True)
        )
        specs = [spec_of(argument) for argument in value.args]
        symbol, rule = self._function(operator.name, attrs, specs)
        self.model.layers.append(
            Layer(
                index=len(self.model.layers),
                name=attrs["name"],
                operator=operator.name,
                function=symbol,
                schedule=rule,
                arguments=arguments,
                output=info.name,
                macs=operator.macs(specs, attrs),
                attributes=attrs,
            )
        )

    def _argument(self, layer: str, role: str, argument: Any) -> str:
        value = constant_value(argument)
        if value is None:
            return self.names[argument]
        key = hashlib.sha256(str((value.dtype, value.shape)).encode() + value.tobytes()).digest()
        name = self._pooled.setdefault(key, f"{self.model.name}_{layer}_{role}")
        self.model.constants[name] = value
        return name

    def _function(self, name: str, attrs: Mapping[str, Any], specs: Sequence[TensorSpec]) -> tuple[str, str]:
        operator = operators()[name]
        roles = _roles(operator.inputs, len(specs))
        tensors = [
            te.placeholder(spec.shape, spec.dtype, name=role) for role, spec in zip(roles, specs, strict=True)
        ]
        output = operator.compute(tensors, attrs)
        scheduled, rule = schedule(te.create_prim_func([*tensors, output]), name, self.config.core.features)
        key = StructuralKey(scheduled)
        symbol = self._shared.setdefault((key, name), f"{self.model.name}_{attrs['name']}")
        self.model.functions.setdefault(symbol, scheduled)
        return symbol, rule


def _roles(inputs: tuple[str, ...], count: int) -> list[str]:
    """Argument names; a trailing "..." repeats the name before it with a number."""
    if not inputs or inputs[-1] != "...":
        return list(inputs)
    fixed = inputs[:-2]
    return [*fixed, *(f"{inputs[-2]}_{number}" for number in range(count - len(fixed)))]
