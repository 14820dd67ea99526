"""The graph that passes rewrite: dialect calls in order, read from Relax and written back to it.

A value is a parameter, a constant or a call; calls refer to their inputs directly, so a rewrite is a change of
references. What is written back is canonical: one dataflow block, and a tuple of variables when there are several
outputs. This is the one module of this room that touches TVM's Relax API.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count
from typing import Any, TypeAlias

from tvm import ir, relax

from ..dialect import Operator, call, operator, operator_of
from ..dialect.relax_api import Array, TensorSpec, attributes, constant, constant_value, is_constant, spec_of

SIGNATURE_ATTR = "tinyml.signature"
Quantization: TypeAlias = tuple[float, int]

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class Parameter:
    """An input of the function: name of its tensor and quantisation, None where they are not known."""

    variable: Any
    tensor: str | None = None
    quantization: Quantization | None = None

    @cached_property
    def spec(self) -> TensorSpec:
        """Static type."""
        return spec_of(self.variable)


@dataclass(eq=False)
class Constant:
    """A constant; it carries no quantisation."""

    expr: Any

    @classmethod
    def of(cls, array: Array) -> Constant:
        """Constant holding `array`."""
        return cls(constant(array))

    @cached_property
    def array(self) -> Array:
        """Contents; not to be written to."""
        contents = constant_value(self.expr)
        assert contents is not None
        contents.flags.writeable = False
        return contents

    @cached_property
    def spec(self) -> TensorSpec:
        """Static type."""
        return spec_of(self.expr)


@dataclass(eq=False)
class Call:
    """A call of a dialect operator; passes change it in place, all but `spec`, the static type of its result."""

    operator: Operator
    inputs: list[Value]
    attrs: dict[str, Any]
    spec: TensorSpec = field(init=False)

    def __post_init__(self) -> None:
        """Infer the type; ValueError when inputs and attributes do not fit together."""
        self.spec = self.operator.infer([value.spec for value in self.inputs], self.attrs)

    @property
    def quantization(self) -> Quantization:
        """Scale and zero point of the tensor it makes."""
        return self.attrs["scale"], self.attrs["zero_point"]

    def fits(self, inputs: Sequence[Value], attrs: Mapping[str, Any]) -> bool:
        """Whether its operator would take these inputs and attributes and give the same type."""
        try:
            return self.operator.infer([value.spec for value in inputs], attrs) == self.spec
        except ValueError:
            return False

    def become(self, tensor: Call) -> None:
        """Make the tensor that `tensor` made: take over its name in the model and its quantisation."""
        self.attrs |= {key: tensor.attrs[key] for key in ("tensor", "scale", "zero_point")}


Value: TypeAlias = Parameter | Constant | Call


@dataclass
class Graph:
    """One function of dialect calls; `calls` are ordered so that inputs come first.

    canonical: whether the function it was read from has the form that `write` gives it.
    """

    parameters: list[Parameter]
    calls: list[Call] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    canonical: bool = False

    @classmethod
    def read(cls, function: Any) -> Graph:
        """Read a Relax function; ValueError when it holds anything but dialect calls, tuples and names."""
        graph = cls(_parameters(function))
        values: dict[Any, Value] = {parameter.variable: parameter for parameter in graph.parameters}
        tuples: dict[Any, list[Any]] = {}

        def value_of(expr: Any) -> Value:
            return Constant(expr) if is_constant(expr) else values[expr]

        for block in function.body.blocks:
            for binding in block.bindings:
                expr, operator = binding.value, operator_of(binding.value)
                if operator is not None:
                    node = Call(operator, [value_of(arg) for arg in expr.args], attributes(expr))
                    graph.calls.append(node)
                    values[binding.var] = node
                elif isinstance(expr, relax.Tuple):
                    tuples[binding.var] = list(expr.fields)
                elif isinstance(expr, relax.Var) or is_constant(expr):
                    values[binding.var] = value_of(expr)
                else:
                    raise ValueError(f"{expr} is not a call to a dialect operator")
        result = function.body.body
        fields = result.fields if isinstance(result, relax.Tuple) else tuples.get(result, [result])
        graph.outputs = [value_of(expr) for expr in fields]
        blocks = list(function.body.blocks)
        bound = sum(len(block.bindings) for block in blocks)
        one_block = len(blocks) == 1 and isinstance(blocks[0], relax.DataflowBlock)
        graph.canonical = one_block and bound == len(graph.calls) and result not in tuples
        return graph

    def write(self, function: Any) -> Any:
        """The Relax function of this graph, with the attributes and parameters of `function`."""
        builder = relax.BlockBuilder()
        exprs: dict[Value, Any] = {parameter: parameter.variable for parameter in self.parameters}
        returned = set(self.outputs)

        def expr_of(value: Value) -> Any:
            return value.expr if isinstance(value, Constant) else exprs[value]

        attrs = dict(function.attrs.items()) if function.attrs else {}
        with builder.function("main", list(function.params), attrs=attrs):
            with builder.dataflow():
                for node in self.calls:
                    expr = call(node.operator.name, [expr_of(value) for value in node.inputs], node.attrs)
                    emit = builder.emit_output if node in returned else builder.emit
                    exprs[node] = emit(expr, name_hint=node.attrs["name"])
            results = [expr_of(value) for value in self.outputs]
            builder.emit_func_output(results[0] if len(results) == 1 else relax.Tuple(results))
        return builder.finalize()["main"]

    @property
    def state(self) -> tuple[Any, ...]:
        """Equal as long as nothing is changed."""
        calls = [(node, node.operator, tuple(node.inputs), dict(node.attrs)) for node in self.calls]
        return calls, tuple(self.outputs)

    def users(self, value: Value) -> list[Call]:
        """Calls that read `value`, in order, each once."""
        return [node for node in self.calls if value in node.inputs]

    def is_output(self, value: Value) -> bool:
        """Whether the function returns `value`."""
        return value in self.outputs

    def only_user(self, value: Value) -> Call | None:
        """The one call that reads `value` when nothing else does, the function's caller included."""
        users = self.users(value)
        return users[0] if len(users) == 1 and not self.is_output(value) else None

    def replace(self, old: Call, new: Value) -> None:
        """Let everything that reads `old` read `new`; a call that is new to the graph takes the place of `old`."""
        place = self.calls.index(old)
        self.calls[place : place + 1] = [new] if isinstance(new, Call) and new not in self.calls else []
        self.redirect(old, new)
        self.outputs = [new if value is old else value for value in self.outputs]

    def redirect(self, old: Value, new: Value) -> None:
        """Let every call that reads `old` read `new`."""
        for node in self.calls:
            node.inputs = [new if value is old else value for value in node.inputs]

    def remove_unused(self, value: Value) -> None:
        """Remove `value` if it is a call that nothing reads any more, then its inputs likewise."""
        if (
            isinstance(value, Call)
            and value in self.calls
            and not self.users(value)
            and not self.is_output(value)
        ):
            self.calls.remove(value)
            for source in value.inputs:
                self.remove_unused(source)

    def copy_of(self, value: Value, wanted: str) -> Call:
        """A call that copies `value`, under a fresh name like `wanted`; where it goes is up to the caller."""
        scale, zero_point = (value.quantization if not isinstance(value, Constant) else None) or (0.0, 0)
        name = self.fresh("name", wanted)
        tensor = self.fresh("tensor", name)
        attrs = {"name": name, "tensor": tensor, "scale": scale, "zero_point": zero_point}
        return Call(operator("copy"), [value], attrs)

    def fresh(self, key: str, wanted: str) -> str:
        """A value of attribute `key` ("name" or "tensor") that no call has: `wanted`, with a number if need be."""
        taken = {node.attrs[key] for node in self.calls} | {parameter.tensor for parameter in self.parameters}
        candidates = chain([wanted], (f"{wanted}_{number}" for number in count(1)))
        return next(candidate for candidate in candidates if candidate not in taken)


def graph_pass(name: str, rewrite: Callable[[Graph], int]) -> Any:
    """A TVM pass that lets `rewrite` go over every Relax function and logs how many changes it returns."""
    return ir.transform.module_pass(
        lambda module, _context: _rewrite_functions(module, name, rewrite), opt_level=0, name=name
    )


def _rewrite_functions(module: Any, name: str, rewrite: Callable[[Graph], int]) -> Any:
    result, changes = module.clone(), 0
    for variable, function in module.functions_items():
        if isinstance(function, relax.Function):
            graph = Graph.read(function)
            before = graph.state
            changes += rewrite(graph)
            # Most passes find nothing to do in most modules, and writing takes the most time.
            if not graph.canonical or graph.state != before:
                result.update_func(variable, graph.write(function))
    _LOG.info("%s: %d changes", name, changes)
    return result


def _parameters(function: Any) -> list[Parameter]:
    if not function.attrs or SIGNATURE_ATTR not in function.attrs:
        return [Parameter(variable) for variable in function.params]
    inputs = json.loads(function.attrs[SIGNATURE_ATTR])["inputs"]
    return [
        Parameter(variable, described["name"], (described["scale"], described["zero_point"]))
        for variable, described in zip(function.params, inputs, strict=True)
    ]
