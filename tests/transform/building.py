"""Small modules in the dialect for the pass tests, and what the tests ask of them."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import numpy as np
import tvm
from tvm import relax

from tvm_tinyml.dialect import call, operator_of
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.dialect.fixed_point import quantize_multiplier
from tvm_tinyml.dialect.relax_api import Array, TensorSpec, attributes, constant, spec_of, tensor_type
from tvm_tinyml.transform.dataflow import graph_pass

Expr: TypeAlias = Any

SCALE, ZERO_POINT = 0.25, -3
CLAMP = {"clamp_min": -128, "clamp_max": 127}


class ModuleBuilder:
    """Collects parameters and calls; `module` makes the Relax module.

    Every call gets the quantisation (SCALE, ZERO_POINT) unless it says otherwise, the tensor name t<number>
    and the layer name <operator>_<number>.
    """

    def __init__(self) -> None:
        self.builder = relax.BlockBuilder()
        self.parameters: list[Expr] = []
        self.signature: list[dict[str, Any]] = []
        self.calls: list[tuple[Expr, Expr]] = []

    def parameter(
        self, *shape: int, dtype: str = "int8", scale: float = SCALE, zero_point: int = ZERO_POINT
    ) -> Expr:
        """An input of the function."""
        variable = relax.Var(f"x{len(self.parameters)}", tensor_type(TensorSpec(shape, dtype)))
        self.parameters.append(variable)
        self.signature.append({"name": variable.name, "scale": scale, "zero_point": zero_point})
        return variable

    def call(self, name: str, /, *args: Expr | Array, **attrs: Any) -> Expr:
        """A call of dialect operator `name`; arrays become constants."""
        number = len(self.calls)
        common = {
            "name": f"{name}_{number}",
            "tensor": f"t{number}",
            "scale": SCALE,
            "zero_point": ZERO_POINT,
        }
        operands = [constant(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        expr = self.builder.normalize(call(name, operands, common | attrs))
        variable = relax.DataflowVar(common["name"], expr.ty)
        self.calls.append((variable, expr))
        return variable

    def module(self, *outputs: Expr) -> Any:
        """The module that returns `outputs`: dataflow variables, parameters or constants."""
        bindings = [relax.VarBinding(variable, expr) for variable, expr in self.calls]
        result = outputs[0] if len(outputs) == 1 else relax.Tuple(list(outputs))
        returned = relax.Var("result", self.builder.normalize(result).ty)
        block = relax.DataflowBlock([*bindings, relax.VarBinding(returned, result)])
        body = relax.SeqExpr([block], returned)
        attrs = tvm.ir.make_node("ir.DictAttrs", **self._attrs())
        function = relax.Function(self.parameters, body, returned.ty, attrs=attrs)
        return tvm.IRModule({"main": function})

    def _attrs(self) -> dict[str, Any]:
        return {
            "global_symbol": "main",
            "tinyml.signature": json.dumps({"name": "graph", "inputs": self.signature, "outputs": []}),
        }

    def conv2d(self, data: Expr, *, depthwise: bool = False, kernel: int = 3, **attrs: Any) -> Expr:
        """A convolution of `data` with random weights that scale its output into range."""
        depth = spec_of(data).shape[-1]
        shape = (1, kernel, kernel, depth) if depthwise else (4, kernel, kernel, depth)
        weight = np.random.default_rng(depth * 10 + kernel).integers(-20, 20, shape).astype("int8")
        channels = depth if depthwise else 4
        multiplier, shift = quantize_multiplier(0.03)
        per_channel = [
            np.arange(channels, dtype="int32") * 7,
            np.full(channels, multiplier, "int32"),
            np.full(channels, shift, "int32"),
        ]
        defaults = {
            "strides": (1, 1),
            "dilation": (1, 1),
            "padding": (0, 0, 0, 0),
            "input_zero_point": ZERO_POINT,
            "rounding": "double",
            **CLAMP,
        }
        extra = {"depth_multiplier": 1} if depthwise else {}
        name = "depthwise_conv2d" if depthwise else "conv2d"
        return self.call(name, data, weight, *per_channel, **(defaults | extra | attrs))

    def max_pool2d(self, data: Expr, **attrs: Any) -> Expr:
        """A 2x2 maximum."""
        defaults = {"pool": (2, 2), "strides": (1, 1), "padding": (0, 0, 0, 0), **CLAMP}
        return self.call("max_pool2d", data, **(defaults | attrs))

    def pad(self, data: Expr, *spatial: int, value: int = ZERO_POINT, **attrs: Any) -> Expr:
        """A spatial pad: top, bottom, left, right."""
        return self.call("pad", data, pad_width=(0, 0, *spatial, 0, 0), pad_value=value, **attrs)

    def requantize(self, data: Expr, ratio: float = 1.0, **attrs: Any) -> Expr:
        """A requantisation by `ratio` from the standard quantisation."""
        multiplier, shift = quantize_multiplier(ratio)
        defaults = {
            "input_zero_point": ZERO_POINT,
            "multiplier": multiplier,
            "shift": shift,
            "rounding": "double",
            "dtype": "int8",
            **CLAMP,
        }
        return self.call("requantize", data, **(defaults | attrs))

    def add(self, a: Expr, b: Expr, **attrs: Any) -> Expr:
        """A sum of two tensors of the standard quantisation, halved so that it stays in range."""
        multiplier, shift = quantize_multiplier(0.5)
        defaults: dict[str, Any] = {"left_shift": 20, "multiplier": 2**30, "shift": -19, **CLAMP}
        for operand in ("a", "b"):
            defaults |= {f"{operand}_zero_point": ZERO_POINT}
            defaults |= {f"{operand}_multiplier": multiplier, f"{operand}_shift": shift}
        return self.call("add", a, b, **(defaults | attrs))

    def lookup(self, data: Expr, table: Array, **attrs: Any) -> Expr:
        """A table of 256 entries."""
        return self.call("lookup", data, table.astype("int8"), **({"function": "table"} | attrs))


def identity_table() -> Array:
    """The table that changes nothing."""
    return np.arange(-128, 128).astype("int8")


def operators_of(module: Any) -> list[str]:
    """Names of the operators the module calls, in order."""
    return [operator.name for operator, _, _ in calls_of(module)]


def calls_of(module: Any) -> list[tuple[Any, dict[str, Any], list[Expr]]]:
    """Operator, attributes and arguments of every call, in order."""
    found = []
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            operator = operator_of(binding.value)
            if operator is not None:
                found.append((operator, attributes(binding.value), list(binding.value.args)))
    return found


def tensors_of(module: Any) -> list[str]:
    """Names of the tensors the module's calls make, in order."""
    return [attrs["tensor"] for _, attrs, _ in calls_of(module)]


def canonical(module: Any) -> Any:
    """The module as every pass writes it, without a change."""
    return graph_pass("canonical", lambda _graph: 0)(module)


def random_inputs(module: Any, seed: int) -> list[Array]:
    """One array per parameter, over the whole range of an integer type."""
    generator = np.random.default_rng(seed)
    arrays: list[Array] = []
    for parameter in module["main"].params:
        spec = spec_of(parameter)
        if np.dtype(spec.dtype).kind == "f":
            arrays.append(generator.normal(0, 40, spec.shape).astype(spec.dtype))
        else:
            limits = np.iinfo(spec.dtype)
            arrays.append(generator.integers(limits.min, limits.max, spec.shape, spec.dtype, endpoint=True))
    return arrays


def assert_same_meaning(before: Any, after: Any, seed: int = 0) -> None:
    """Outputs and every tensor both modules have are equal on random inputs."""
    inputs = random_inputs(before, seed)
    expected, found = evaluate(canonical(before), inputs), evaluate(after, inputs)
    assert len(expected.outputs) == len(found.outputs)
    for one, other in zip(expected.outputs, found.outputs, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for name in expected.tensors.keys() & found.tensors.keys():
        np.testing.assert_array_equal(expected.tensors[name], found.tensors[name], err_msg=name)


def assert_becomes(before: Any, applied: Any, after: Any) -> None:
    """`applied` turns `before` into `after`, changes nothing the second time, and keeps the meaning."""
    rewritten = applied(before)
    tvm.ir.assert_structural_equal(rewritten, canonical(after))
    tvm.ir.assert_structural_equal(applied(rewritten), rewritten)
    assert_same_meaning(before, rewritten)


def assert_unchanged(module: Any, applied: Any) -> None:
    """`applied` leaves `module` alone."""
    tvm.ir.assert_structural_equal(applied(module), canonical(module))
