"""The imported module computes what LiteRT's reference kernels compute, on every tensor they share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.oracle import random_inputs, require_oracle, run_reference
from tests.support.single_ops import Case, all_cases
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.frontend import from_tflite, tensor_names

from .models import REAL_MODELS, real_model


def _compare(model: bytes | Path, seed: int) -> None:
    """Run both on random inputs; element types, shapes and every element must agree."""
    require_oracle()
    inputs = random_inputs(model, seed)
    reference = run_reference(model, inputs)
    evaluation = evaluate(from_tflite(model)[0], inputs)
    for expected, found in zip(reference.outputs, evaluation.outputs, strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)
    compared = 0
    for index, name in tensor_names(model).items():
        if index in reference.tensors and name in evaluation.tensors:
            np.testing.assert_array_equal(
                evaluation.tensors[name], reference.tensors[index], err_msg=name, strict=True
            )
            compared += 1
    assert compared > 0


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.id)
def test_single_operator_is_exact(case: Case) -> None:
    for seed in range(2):
        _compare(case.model_bytes, seed)


@pytest.mark.parametrize("name", REAL_MODELS)
def test_real_model_is_exact_on_every_tensor(name: str) -> None:
    _compare(real_model(name), seed=0)
