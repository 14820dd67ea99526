"""Every pass on random graphs: nothing that remains changes, a second run does nothing, and promises hold."""

from __future__ import annotations

from typing import Any

import pytest
import tvm
from hypothesis import given, settings

from tests.transform.building import assert_same_meaning, calls_of, operators_of, tensors_of
from tests.transform.random_graphs import modules
from tvm_tinyml.dialect.relax_api import constant_value
from tvm_tinyml.transform import (
    AccumulatePixels,
    ApplyRounding,
    DeadCode,
    DropIdentity,
    FoldConstantChannels,
    FoldConstants,
    FoldInputZeroPoint,
    FoldPad,
    GroupChannels,
    JoinUnary,
    MaterializeOutputs,
    MergeClamps,
    MergeEqualCalls,
    ScheduleForMemory,
    ShareBuffers,
)

PASSES = {
    "ApplyRounding": ApplyRounding("litert"),
    "FoldConstants": FoldConstants(),
    "FoldConstantChannels": FoldConstantChannels(),
    "DropIdentity": DropIdentity(),
    "FoldPad": FoldPad(),
    "FoldInputZeroPoint": FoldInputZeroPoint(),
    "JoinUnary": JoinUnary(),
    "MergeClamps": MergeClamps(),
    "MergeEqualCalls": MergeEqualCalls(),
    "DeadCode": DeadCode(),
    "MaterializeOutputs": MaterializeOutputs(),
    "ScheduleForMemory": ScheduleForMemory(),
    "AccumulatePixels": AccumulatePixels(),
    "GroupChannels": GroupChannels(),
    "ShareBuffers": ShareBuffers(4),
}
CLEAN_UP = tvm.transform.Sequential(list(PASSES.values()))


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=40, deadline=None)
@given(modules())
def test_a_pass_keeps_every_tensor_and_runs_once(name: str, module: Any) -> None:
    rewritten = PASSES[name](module)
    assert_same_meaning(module, rewritten)
    tvm.ir.assert_structural_equal(PASSES[name](rewritten), rewritten)
    assert len(set(tensors_of(rewritten))) == len(tensors_of(rewritten))
    names = [attrs["name"] for _, attrs, _ in calls_of(rewritten)]
    assert len(set(names)) == len(names)


@settings(max_examples=60, deadline=None)
@given(modules())
def test_the_sequence_keeps_every_tensor_and_its_promises(module: Any) -> None:
    before = len(operators_of(module))
    rewritten = CLEAN_UP(module)
    assert_same_meaning(module, rewritten, seed=1)
    calls = calls_of(rewritten)
    copies = [attrs["tensor"] for operator, attrs, _ in calls if operator.name == "copy"]
    assert len(calls) - len(copies) <= before
    for operator, attrs, args in calls:
        assert any(constant_value(arg) is None for arg in args) or operator.name == "copy", attrs
    returned = tensors_of_outputs(rewritten)
    assert len(set(returned)) == len(returned)


def tensors_of_outputs(module: Any) -> list[str]:
    """Names of the tensors behind the outputs, views resolved."""
    tensors: dict[Any, str] = {}
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            source = binding.value.args[0] if binding.value.args else None
            is_view = binding.value.op.name == "tinyml.reshape"
            tensors[binding.var] = tensors[source] if is_view and source in tensors else str(binding.var.name)
    result = module["main"].body.body
    fields = list(result.fields) if isinstance(result, tvm.relax.Tuple) else [result]
    return [tensors[field] for field in fields]
