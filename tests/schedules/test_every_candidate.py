"""Random calls of every operator, through every candidate of a core's rules: equal to the dialect's NumPy semantics.

What the selection would not take is run as well, of rules with many candidates some. An example is one program of a few
calls of each operator.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tests.dialect.operator_calls import STRATEGIES, Call, calls
from tests.support.candidates import assert_every_candidate_exact, sample_of_rules
from tests.support.layers import LayerCase
from tests.support.rules import ask_only
from tvm_tinyml.dialect import operator
from tvm_tinyml.errors import BuildError

# Operators that many rules compute, and how many calls of them are drawn.
COUNTS = {
    "conv2d": 4,
    "depthwise_conv2d": 4,
    "dense": 3,
    "add": 2,
    "avg_pool2d": 2,
    "max_pool2d": 2,
    "mean": 2,
}


def layer_of(call: Call) -> LayerCase:
    inputs = operator(call.name).inputs
    constants = {"weight", "bias", "multiplier", "shift", "table"}
    return LayerCase(call.name, call.arrays, call.attrs, len(call.arrays) - len(constants & set(inputs)))


# candidates: of each rule that run.
@pytest.mark.parametrize(
    ("core", "rules", "candidates"),
    [
        # All of them lie in 16 KB at once.
        ("cortex-m0", "", 3),
        ("cortex-m3", "", 8),
        ("rv32imc", "", 8),
        # Elsewhere the rules for every core are asked as well, and do the same.
        ("cortex-m4", "dsp", 3),
        ("cortex-m55", "mve", 4),
        ("rv32imcv", "rvv", 6),
    ],
)
# Each example is a compilation of many layers, and the first one is as simple as can be; shrinking would take minutes.
@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_all_candidates_of_random_calls_are_exact(
    core: str, rules: str, candidates: int, data: st.DataObject
) -> None:
    drawn = [
        layer_of(data.draw(calls(name))) for name in sorted(STRATEGIES) for _ in range(COUNTS.get(name, 1))
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        ask_only(monkeypatch, rules)
        try:
            assert_every_candidate_exact(
                drawn, f"tinyml -mcpu={core}", lambda offers: sample_of_rules(offers, candidates)
            )
        except BuildError as error:
            # Some draws are too large for the smallest board; others take their place.
            assume("does not fit on board" not in str(error))
            raise
