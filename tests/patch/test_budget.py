"""A budget of RAM that the plain model exceeds: it is kept by streaming, and the outputs stay what they were."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cli.invocation import DIGITS
from tvm_tinyml import frontend
from tvm_tinyml.errors import PlanError
from tvm_tinyml.module import AOTModule
from tvm_tinyml.target import parse_target


def test_a_budget_below_the_plain_arena_is_kept_with_the_same_outputs() -> None:
    module, _ = frontend.from_tflite(DIGITS)
    plain = AOTModule(module, parse_target("tinyml -mcpu=host"))
    assert plain.compiled.plan.arena_bytes > 4096
    streamed = AOTModule(module, parse_target("tinyml -mcpu=host -ram=4K"))
    assert streamed.compiled.plan.arena_bytes <= 4096
    assert streamed.compiled.model.regions
    (spec,) = [one.spec for one in plain.compiled.model.inputs]
    image = np.random.default_rng(5).integers(-128, 128, spec.shape).astype(spec.dtype)
    expected, _ = plain.run([image], profile=False)
    found, _ = streamed.run([image], profile=False)
    np.testing.assert_array_equal(found[0], expected[0])


def test_a_budget_that_the_plain_model_keeps_changes_nothing() -> None:
    module, _ = frontend.from_tflite(DIGITS)
    assert not AOTModule(module, parse_target("tinyml -mcpu=host -ram=8K")).compiled.model.regions


def test_a_budget_that_nothing_keeps_is_refused_with_what_was_found() -> None:
    module, _ = frontend.from_tflite(DIGITS)
    with pytest.raises(PlanError, match="exceeds the RAM of 1,024 bytes, and no plan found needs at most"):
        AOTModule(module, parse_target("tinyml -mcpu=host -ram=1K"))
