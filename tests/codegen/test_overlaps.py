"""Outputs over inputs: what the order of loops allows, plans broken on purpose, and what the printed C says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transform.building import ModuleBuilder, random_inputs
from tvm_tinyml import relay
from tvm_tinyml.codegen.access_order import Touch
from tvm_tinyml.codegen.overlap import Overlap, overlap_of
from tvm_tinyml.codegen.overlap_verifier import verify_overlaps
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import MemoryPlan
from tvm_tinyml.module import AOTModule
from tvm_tinyml.transform import ApplyRounding

PLAIN = "tinyml -mcpu={} -without=PatchInference"


def touch(buffer: str, size: int, boxes: list[tuple[int, int]], times: list[int], *, writes: bool) -> Touch:
    """A block that touches one interval of a buffer of so many bytes at each of some moments."""
    begins, ends = (np.array([[box[side] for box in boxes]]) for side in (0, 1))
    return Touch(buffer, (size,), 1, writes, np.array(times), begins, ends)


def test_an_output_stays_behind_what_is_still_to_be_read() -> None:
    read = touch("in", 4, [(0, 1), (1, 2), (2, 3), (3, 4)], [0, 2, 4, 6], writes=False)
    write = touch("out", 4, [(0, 1), (1, 2), (2, 3), (3, 4)], [1, 3, 5, 7], writes=True)
    assert overlap_of([read, write], "in", "out") == Overlap(0, same_place=True)
    at_once = replace(write, times=read.times)
    assert overlap_of([read, at_once], "in", "out") == Overlap(1, same_place=False)
    twice = touch("in", 4, [(0, 4)], [5], writes=False)
    assert overlap_of([read, twice, write], "in", "out") == Overlap(3, same_place=False)
    assert overlap_of([write], "in", "out") is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_byte_is_lost_at_any_place_that_is_allowed(data: st.DataObject) -> None:
    size, out = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))

    def boxes(extent: int) -> list[tuple[int, int]]:
        return [
            (begin, data.draw(st.integers(begin + 1, extent)))
            for begin in data.draw(st.lists(st.integers(0, extent - 1), min_size=1, max_size=5))
        ]

    reads, writes = boxes(size), boxes(out)
    order = data.draw(st.permutations(range(len(reads) + len(writes))))
    when, then = sorted(order[: len(reads)]), sorted(order[len(reads) :])
    found = overlap_of(
        [touch("in", size, reads, when, writes=False), touch("out", out, writes, then, writes=True)],
        "in",
        "out",
    )
    if found is None:
        assert len({byte for read in reads for byte in range(*read)}) < size
        return

    def survives(shift: int) -> bool:
        """Whether every read finds its bytes when the output begins `shift` bytes below the input."""
        return not any(
            set(range(*read)) & {byte - shift for byte in range(*write)}
            for time, read in zip(when, reads, strict=True)
            for other, write in zip(then, writes, strict=True)
            if other <= time
        )

    assert all(survives(shift) for shift in range(found.distance, size + out + 1))
    assert found.distance == 0 or not survives(found.distance - 1)
    assert found.same_place == survives(0)


def network() -> Any:
    """A depthwise convolution and a pointwise one."""
    build = ModuleBuilder()
    value = build.conv2d(build.parameter(1, 12, 12, 32), depthwise=True, padding=(1, 1, 1, 1))
    return build.module(build.conv2d(value, kernel=1))


@pytest.fixture(scope="module")
def built() -> AOTModule:
    return relay.build(network(), target=PLAIN.format("cortex-m4"))


def moved(built: AOTModule, output: str, below: int) -> MemoryPlan:
    """The plan with one output so many bytes below the input of its layer, and nothing else near them."""
    plan = built.compiled.plan
    (layer,) = (one for one in built.compiled.model.layers if one.output == output)
    source = next(name for name in layer.arguments if name in plan.offsets)
    apart = {name: 100_000 * place for place, name in enumerate(plan.offsets, 2)}
    return replace(plan, offsets={**apart, source: 100_000, output: 100_000 - below})


def test_a_plan_broken_on_purpose_is_caught(built: AOTModule) -> None:
    model, plan = built.compiled.model, built.compiled.plan
    overlapping = list(model.overlapping(plan))
    assert len(overlapping) >= 2
    verify_overlaps(model, plan)
    for layer, function, name in overlapping:
        index = layer.arguments.index(name)
        allowed = function.overlaps[index]
        assert allowed is not None
        verify_overlaps(model, moved(built, layer.output, allowed.distance))
        # The first byte of the output takes the place of the last one of the input.
        with pytest.raises(PlanError, match=f"{layer.name!r} needs bytes of"):
            verify_overlaps(model, moved(built, layer.output, 1 - model.tensors[name].spec.nbytes))


def test_what_a_schedule_keeps_silent_about_is_asked_of_the_bounds_map(built: AOTModule) -> None:
    model, plan = built.compiled.model, built.compiled.plan
    layer, function, _ = next(iter(model.overlapping(plan)))
    shown = function.touches
    assert shown is not None
    silent = [
        replace(one, times=one.times[:1], begins=one.begins[:, :1], ends=one.ends[:, :1]) for one in shown
    ]
    liar = replace(function)
    liar.__dict__["touches"] = [
        few if not one.writes else one for one, few in zip(shown, silent, strict=True)
    ]
    mutated = replace(model, functions={**model.functions, layer.function: liar})
    with pytest.raises(PlanError, match=f"{layer.name!r} needs bytes of"):
        verify_overlaps(mutated, moved(built, layer.output, 0))


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_overlapping_layers_keep_every_output(core: str) -> None:
    module = network()
    built = relay.build(module, target=PLAIN.format(core))
    model, plan = built.compiled.model, built.compiled.plan
    assert list(model.overlapping(plan))
    assert plan.arena_bytes < sum(model.tensors[name].spec.nbytes for name in ("x0", "t0"))
    inputs = random_inputs(module, 5)
    found, _ = built.run(inputs)
    for value, expected in zip(
        found, evaluate(ApplyRounding(built.config.rounding)(module), inputs).outputs, strict=True
    ):
        np.testing.assert_array_equal(value, expected)


def test_only_pointers_that_overlap_lose_their_promise(built: AOTModule) -> None:
    model, plan = built.compiled.model, built.compiled.plan
    source = built.files[f"{model.name}.c"]
    overlapping = {layer.function for layer, _, _ in model.overlapping(plan)}
    for symbol in model.functions:
        start = source.index(f"TINYML_LAYER void {symbol}(")
        signature = " ".join(source[start : source.index(";", start)].split())
        assert ("int8_t *restrict output" not in signature) == (symbol in overlapping)
