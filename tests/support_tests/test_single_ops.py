"""Every generated model runs on the reference kernels and tests something."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import tflite

from tests.support.oracle import Array, random_inputs, require_oracle, run_reference
from tests.support.single_ops import Case, Network, all_cases, one_case_per_operator, small_networks

SUPPORTED = """
CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV FULLY_CONNECTED AVERAGE_POOL_2D MAX_POOL_2D MEAN ADD SUB MUL
MAXIMUM MINIMUM PAD PADV2 RESHAPE SQUEEZE EXPAND_DIMS TRANSPOSE CONCATENATION SPLIT SPLIT_V PACK UNPACK SLICE
STRIDED_SLICE SOFTMAX LOGISTIC TANH RELU RELU6 LEAKY_RELU HARD_SWISH RESIZE_NEAREST_NEIGHBOR RESIZE_BILINEAR
QUANTIZE DEQUANTIZE ARG_MAX
"""
OPERATORS = tuple(SUPPORTED.split())

SEEDS = (0, 1)
# A case whose outputs sit almost all on the ends of their range could hide a wrong result.
LARGEST_SATURATED_SHARE = 0.985


def _cases_by_operator() -> dict[str, list[Case]]:
    cases: dict[str, list[Case]] = defaultdict(list)
    for case in all_cases():
        cases[case.operator].append(case)
    return cases


def _written_output_shapes(model_bytes: bytes) -> list[tuple[int, ...]]:
    graph = tflite.Model.GetRootAs(model_bytes, 0).Subgraphs(0)
    tensors = (graph.Tensors(index) for index in graph.OutputsAsNumpy().tolist())
    return [tuple(tensor.ShapeAsNumpy().tolist()) if tensor.ShapeLength() else () for tensor in tensors]


def _saturated_share(outputs: list[Array]) -> float:
    """Share of elements at the ends of an integer type; 0 for other types."""
    if outputs[0].dtype.itemsize > 2 or outputs[0].dtype.kind == "f":
        return 0.0
    limits = np.iinfo(outputs[0].dtype)
    values = np.concatenate([output.ravel() for output in outputs])
    return float(np.mean((values == limits.min) | (values == limits.max)))


def test_every_operator_has_cases_and_ids_are_unique() -> None:
    assert set(_cases_by_operator()) == set(OPERATORS)
    ids = [case.id for case in all_cases()]
    assert len(set(ids)) == len(ids)


def test_one_case_per_operator_names_each_operator_once() -> None:
    assert sorted(case.operator for case in one_case_per_operator()) == sorted(OPERATORS)


@pytest.mark.parametrize("operator", OPERATORS)
def test_cases_run_and_do_not_saturate(operator: str) -> None:
    require_oracle()
    for case in _cases_by_operator()[operator]:
        runs = [run_reference(case.model_bytes, random_inputs(case.model_bytes, seed)) for seed in SEEDS]
        outputs = [output for run in runs for output in run.outputs]
        shapes = [output.shape for output in runs[0].outputs]
        assert shapes == _written_output_shapes(case.model_bytes), case.id
        values = np.unique(np.concatenate([output.ravel() for output in outputs]))
        elements = sum(output.size for output in outputs)
        assert len(values) >= min(3, elements), case.id
        assert elements < 16 or _saturated_share(outputs) < LARGEST_SATURATED_SHARE, case.id


@pytest.mark.parametrize("network", small_networks(), ids=lambda network: network.id)
def test_networks_run_and_every_activation_varies(network: Network) -> None:
    require_oracle()
    run = run_reference(network.model_bytes, random_inputs(network.model_bytes, 0))
    assert [output.shape for output in run.outputs] == _written_output_shapes(network.model_bytes)
    for index, tensor in run.tensors.items():
        if tensor.size > 8:
            assert len(np.unique(tensor)) > 2, run.names[index]


def test_cases_stay_small() -> None:
    """Thousands of compilations must fit a test run: no case may carry real weights."""
    assert max(len(case.model_bytes) for case in all_cases()) < 8_000
