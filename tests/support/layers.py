"""Single layers through the whole compiler: many calls of dialect operators in one module, run on one target."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm import relax

from tvm_tinyml.dialect import call as make_call
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import Array, TensorSpec, constant, tensor_type
from tvm_tinyml.lower import SIGNATURE_ATTR
from tvm_tinyml.module import AOTModule
from tvm_tinyml.target import parse_target


@dataclass(frozen=True)
class LayerCase:
    """One call: operator, its inputs in order and attributes; the first `activations` inputs are not constant."""

    name: str
    arrays: tuple[Array, ...]
    attrs: Mapping[str, Any]
    activations: int = 1


def module_of(cases: Sequence[LayerCase]) -> Any:
    """Relax module with one independent call per case: its inputs are theirs in order, as are its outputs."""
    builder = relax.BlockBuilder()
    arrays = [array for case in cases for array in case.arrays[: case.activations]]
    names = [f"input_{index}" for index in range(len(arrays))]
    variables = [
        relax.Var(name, tensor_type(TensorSpec(array.shape, str(array.dtype))))
        for name, array in zip(names, arrays, strict=True)
    ]
    edges = [{"name": name, "scale": 1.0, "zero_point": 0} for name in names]
    signature = json.dumps({"name": "layers", "inputs": edges, "outputs": []})
    left = list(variables)
    with builder.function("main", variables, attrs={SIGNATURE_ATTR: signature}):
        with builder.dataflow():
            outputs = []
            for index, case in enumerate(cases):
                inputs = [left.pop(0) for _ in range(case.activations)]
                constants = [constant(array) for array in case.arrays[case.activations :]]
                identity = {"name": f"{case.name}_{index}", "tensor": f"tensor_{index}"}
                attrs = {"zero_point": 0, "scale": 1.0} | dict(case.attrs) | identity
                outputs.append(builder.emit_output(make_call(case.name, [*inputs, *constants], attrs)))
        builder.emit_func_output(outputs[0] if len(outputs) == 1 else relax.Tuple(outputs))
    return builder.get()


def build_layers(cases: Sequence[LayerCase], target: str) -> AOTModule:
    """The cases compiled for a target, each as a whole: what kernels do is asked here, not where they do it.

    Inputs of independent layers are alive together: proofs that they take the least memory would take the most time.
    """
    config = parse_target(target)
    without = tuple(sorted({*config.without, "PatchInference"}))
    return AOTModule(module_of(cases), replace(config, without=without, planner="greedy"))


def assert_layers_exact(cases: Sequence[LayerCase], target: str) -> AOTModule:
    """Run the cases on the target's board: every output equals the dialect's NumPy semantics."""
    module = build_layers(cases, target)
    inputs = [array for case in cases for array in case.arrays[: case.activations]]
    outputs, _ = module.run(inputs, profile=False)
    for case, output in zip(cases, outputs, strict=True):
        attrs = {"zero_point": 0} | dict(case.attrs)
        expected = operator(case.name).reference(case.arrays, attrs)
        np.testing.assert_array_equal(output, expected, err_msg=f"{case.name} {case.attrs}")
    return module
