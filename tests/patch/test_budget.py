"""A budget of RAM that the plain model exceeds: it is kept by streaming, and the outputs stay what they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.cli.invocation import DIGITS
from tvm_tinyml import frontend
from tvm_tinyml.choose import scratch_limit
from tvm_tinyml.errors import BuildError, PlanError
from tvm_tinyml.module import AOTModule, check_ram
from tvm_tinyml.runner import RunReport
from tvm_tinyml.target import parse_target
from tvm_tinyml.target.config import STACK_BYTES


def test_a_budget_below_the_plain_arena_is_kept_with_the_same_outputs() -> None:
    module, _ = frontend.from_tflite(DIGITS)
    plain = AOTModule(module, parse_target("tinyml -mcpu=host"))
    assert plain.compiled.plan.arena_bytes > 5120 - STACK_BYTES
    streamed = AOTModule(module, parse_target("tinyml -mcpu=host -ram=5K"))
    assert streamed.compiled.plan.arena_bytes <= 5120 - STACK_BYTES
    memory = streamed.metadata["memory"]
    assert memory["ram_bytes"] == memory["without_scratch_bytes"] + memory["scratch_bytes"] + STACK_BYTES
    assert memory["ram_bytes"] <= memory["ram_budget_bytes"] == 5120
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
    with pytest.raises(
        PlanError, match=r"exceeds the RAM of 2,048 bytes, of which 1,024 .* no plan found needs"
    ):
        AOTModule(module, parse_target("tinyml -mcpu=host -ram=2K"))


@pytest.mark.parametrize(("core", "nbytes"), [("cortex-m4", 5000), ("cortex-m55", 2500), ("rv32imc", 2500)])
def test_scratch_beside_line_buffers_is_bounded(core: str, nbytes: int) -> None:
    assert scratch_limit(parse_target(f"tinyml -mcpu={core}"), streams=True) == nbytes


def test_arena_scratch_and_measured_stack_keep_the_budget_together() -> None:
    module, _ = frontend.from_tflite(DIGITS)
    built = AOTModule(module, parse_target("tinyml -mcpu=cortex-m55 -ram=7K -input=rows"))
    with np.load(DIGITS.parent / "digits_golden.npz") as archive:
        image, expected = archive["images"][3:4], archive["outputs"][3:4]
    outputs, report = built.run(image)
    np.testing.assert_array_equal(outputs[0], expected)
    assert report.stack_bytes is not None
    assert report.stack_bytes <= STACK_BYTES
    assert report.arena_bytes + report.stack_bytes <= 7 * 1024
    assert built.metadata["memory"]["scratch_bytes"] <= 2500


def test_a_stack_deeper_than_what_was_reserved_is_refused_where_the_budget_does_not_hold_it() -> None:
    config = parse_target("tinyml -mcpu=cortex-m4 -ram=4K")
    fits = RunReport([], "board", arena_bytes=3000, stack_bytes=1096)
    check_ram(fits, config)
    with pytest.raises(BuildError, match=r"takes 4,097 bytes of RAM .* 73 bytes larger"):
        check_ram(replace(fits, stack_bytes=1097), config)
