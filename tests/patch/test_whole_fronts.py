"""Every plan of the front of a random graph, compiled and run on the host: outputs and what is left of the tensors.

`TINYML_GRAPHS=300` tries that many graphs of each kind instead of a few.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.patch import networks
from tests.patch.streamed import cleaned
from tests.transform import random_graphs
from tests.transform.building import random_inputs
from tvm_tinyml import relay
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.errors import PlanError
from tvm_tinyml.pipeline import patch_front
from tvm_tinyml.target import parse_target

GRAPHS = int(os.environ.get("TINYML_GRAPHS", "5"))
TARGETS = st.builds(
    "tinyml -mcpu=host -io={} -input={}".format,
    st.sampled_from(["arena", "caller"]),
    st.sampled_from(["held", "held", "rows", "tiles"]),
)
every_plan = settings(max_examples=GRAPHS, deadline=None, suppress_health_check=list(HealthCheck))


def assert_every_plan_equals_the_plain_model(module: Any, target: str) -> None:
    """Plans of the front, each also with as many rows per call as the memory of the next one allows."""
    try:
        front = patch_front(module, parse_target(target))
    except PlanError:
        # Something reads the whole of an input that was to be fetched.
        return
    inputs = random_inputs(module, 11)
    outputs = evaluate(module, inputs).outputs
    tensors = evaluate(cleaned(module, target), inputs).tensors
    plans = [found.plan for found in front.plans]
    plans += [front.within(found.arena_bytes * 5 // 4).plan for found in front.plans]
    for plan in {plan.to_json(): plan for plan in plans}.values():
        note(plan.to_json())
        built = relay.build(module, target=target, patch=plan)
        for value, expected in zip(built.run(inputs).outputs, outputs, strict=True):
            np.testing.assert_array_equal(value, expected)
        for name, value in built.tensors(inputs).items():
            if name in tensors:
                np.testing.assert_array_equal(value, tensors[name], err_msg=name)


@every_plan
@given(networks.modules(), TARGETS)
def test_chains_with_residuals(module: Any, target: str) -> None:
    assert_every_plan_equals_the_plain_model(module, target)


@every_plan
@given(random_graphs.modules(), TARGETS)
def test_graphs_with_branches(module: Any, target: str) -> None:
    assert_every_plan_equals_the_plain_model(module, target)
