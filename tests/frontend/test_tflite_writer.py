"""Graphs come back from files that are written of them, and mean the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from tests.support.oracle import random_inputs
from tests.support.single_ops import all_cases, one_case_per_operator
from tvm_tinyml import relay
from tvm_tinyml.frontend.tflite import Graph, RejectionError, in_schema_form, write_model
from tvm_tinyml.frontend.tflite.importer import read_model
from tvm_tinyml.reference import reference_outputs


def test_written_files_compute_what_the_originals_do() -> None:
    for case in one_case_per_operator():
        graph, _ = read_model(case.model_bytes)
        inputs = random_inputs(case.model_bytes, 0)
        results = []
        for model in (case.model_bytes, write_model(graph)):
            module, _ = relay.frontend.from_tflite(model)
            results.append(reference_outputs(module, None, inputs, "litert")[1])
        for one, other in zip(*results, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=case.id)


def convolution(**options: Any) -> Graph:
    """A graph of one convolution with other options."""
    (case,) = [one for one in all_cases() if one.operator == "CONV_2D"][:1]
    graph, _ = read_model(case.model_bytes)
    (operator,) = graph.operators
    return replace(graph, operators=(replace(operator, options={**operator.options, **options}),))


def test_paddings_as_numbers_become_those_of_the_schema() -> None:
    graph = convolution()
    (operator,) = graph.operators
    kernel = operator.inputs[1]
    assert kernel is not None
    around = tuple(extent // 2 for extent in kernel.shape[1:3])
    exact = replace(operator, options={**operator.options, "padding": (0, 0, 0, 0)})
    assert [one.kind for one in in_schema_form(exact, count())] == ["CONV_2D"]
    odd = replace(operator, options={**operator.options, "padding": (around[0], 5, around[0], 2)})
    first, second = in_schema_form(odd, count(100))
    assert (first.kind, second.kind) == ("PAD", "CONV_2D")
    amounts = first.inputs[1]
    assert amounts is not None
    assert amounts.data is not None
    assert amounts.data.tolist() == [[0, 0], [around[0], around[0]], [5, 2], [0, 0]]
    assert second.inputs[0] is first.outputs[0]


def test_limits_as_numbers_become_activations_or_are_refused() -> None:
    for limits, activation in (((None, None), 0), ((0.0, None), 1), ((-1.0, 1.0), 2), ((0.0, 6.0), 3)):
        (operator,) = in_schema_form(convolution(fused_activation_function=limits).operators[0], count())
        assert operator.options["fused_activation_function"] == activation
    with pytest.raises(RejectionError, match="no activation"):
        in_schema_form(convolution(fused_activation_function=(0.0, 3.0)).operators[0], count())
