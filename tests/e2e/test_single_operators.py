"""Every operator over its attribute combinations, compiled and run: equal to LiteRT's reference kernels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.oracle import random_inputs, require_oracle, run_reference
from tests.support.single_ops import Case, all_cases, one_case_per_operator
from tvm_tinyml import relay

SEEDS = range(3)


def assert_equals_litert(case: Case, target: str) -> None:
    require_oracle()
    module, _ = relay.frontend.from_tflite(case.model_bytes)
    built = relay.build(module, target=target)
    batches = [random_inputs(case.model_bytes, seed) for seed in SEEDS]
    report = built.run_many(batches)
    for outputs, inputs in zip(report.outputs, batches, strict=True):
        expected = run_reference(case.model_bytes, inputs).outputs
        for output, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_array_equal(output, wanted)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.id)
def test_operator_equals_litert_on_the_host(case: Case) -> None:
    assert_equals_litert(case, "tinyml -mcpu=host")


@pytest.mark.parametrize("core", ["cortex-m55", "rv32imc"])
@pytest.mark.parametrize("case", one_case_per_operator(), ids=lambda case: case.operator)
def test_operator_equals_litert_on_emulated_cores(case: Case, core: str) -> None:
    assert_equals_litert(case, f"tinyml -mcpu={core}")
