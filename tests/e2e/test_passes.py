"""Every optional pass on and off: compiled code gives equal outputs on random graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.transform.building import canonical, random_inputs
from tests.transform.random_graphs import modules
from tvm_tinyml import relay
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.pipeline import OPTIONAL_PASSES

COMBINATIONS = ["", *OPTIONAL_PASSES, ",".join(OPTIONAL_PASSES)]


@pytest.mark.parametrize("without", COMBINATIONS, ids=lambda names: names if len(names) < 40 else "all")
# Each example is a compilation; shrinking would take minutes.
@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(modules())
def test_compiled_code_equals_the_graph_without_any_pass(without: str, module: Any) -> None:
    option = f" -without={without}" if without else ""
    built = relay.build(module, target=f"tinyml -mcpu=host{option}")
    for seed in range(2):
        inputs = random_inputs(module, seed)
        expected = evaluate(canonical(module), inputs).outputs
        found = built.run(inputs).outputs
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
