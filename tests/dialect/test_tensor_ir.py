"""TensorIR of all operators: printed as C and run under sanitizers, it equals the NumPy semantics."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.dialect.c_execution import run_c
from tests.dialect.operator_calls import STRATEGIES, Call, calls
from tvm_tinyml.dialect import operator

CALLS_PER_PROGRAM = 8


@pytest.mark.parametrize("name", sorted(STRATEGIES))
# Each example is one compilation of several calls; shrinking would take minutes.
@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_c_equals_the_reference(name: str, data: st.DataObject) -> None:
    drawn: list[Call] = data.draw(
        st.lists(calls(name), min_size=CALLS_PER_PROGRAM, max_size=CALLS_PER_PROGRAM), label="calls"
    )
    with TemporaryDirectory() as folder:
        outputs = run_c(drawn, Path(folder))
    for call, output in zip(drawn, outputs, strict=True):
        expected = operator(name).reference(call.arrays, call.attrs)
        np.testing.assert_array_equal(output, expected, err_msg=f"{call.attrs}")
