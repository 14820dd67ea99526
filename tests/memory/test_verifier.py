"""The verifier accepts what runs correctly and names what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.memory.programs import chain, concatenation, plain_programs
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import InPlace, MemoryPlan, Program, Step, Tensor, plan, verify


def placed(program: Program, offsets: Mapping[str, int], **scratch: int) -> MemoryPlan:
    """A plan with the given offsets, in an arena that holds all of them; views follow their roots."""
    everything = dict(offsets)
    for view, (root, offset) in program.aliases.items():
        everything[view] = everything[root] + offset
    return MemoryPlan(everything, scratch, 1 << 12, 1, "greedy", False, 16)


def rejects(program: Program, made: MemoryPlan) -> bool:
    try:
        verify(program, made)
    except PlanError:
        return True
    return False


def overlaps(program: Program, made: MemoryPlan) -> bool:
    """Whether two tensors of a program without views are alive at once and share bytes, by comparing all pairs."""
    end = len(program.steps)
    spans: dict[str, tuple[int, int, int, int]] = {}
    for tensor in program.tensors:
        name = tensor.name
        uses = [time for time, step in enumerate(program.steps) if name in step.reads or name in step.writes]
        uses += [-1] if name in program.inputs else []
        uses += [end] if name in program.outputs else []
        start = made.offsets[name]
        spans[name] = (min(uses), max(uses), start, start + tensor.nbytes)
    for time, step in enumerate(program.steps):
        for buffer in step.scratch:
            start = made.scratch_offsets[buffer.name]
            spans[buffer.name] = (time, time, start, start + buffer.nbytes)
    return any(
        a[0] <= b[1] and b[0] <= a[1] and a[2] < b[3] and b[2] < a[3]
        for a, b in combinations(spans.values(), 2)
    )


@given(plain_programs(), st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_replaying_agrees_with_comparing_lifetimes(program: Program, data: st.DataObject) -> None:
    made = plan(program, method="greedy")
    offsets, scratch = dict(made.offsets), dict(made.scratch_offsets)
    for moved in data.draw(st.lists(st.sampled_from([*offsets, *scratch]), max_size=2)):
        table = offsets if moved in offsets else scratch
        table[moved] = data.draw(st.integers(0, made.arena_bytes))
    mutated = replace(
        made, offsets=offsets, scratch_offsets=scratch, arena_bytes=1 << 12, lower_bound=1, optimal=False
    )
    assert rejects(program, mutated) == overlaps(program, mutated)


@given(plain_programs(), st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_smaller_arena_is_refused(program: Program, data: st.DataObject) -> None:
    made = plan(program)
    smaller = data.draw(st.integers(0, made.arena_bytes - 1))
    with pytest.raises(PlanError, match="outside the arena"):
        verify(program, replace(made, arena_bytes=smaller, lower_bound=0, optimal=smaller == 0))


def test_an_overwritten_tensor_is_named_with_the_culprit() -> None:
    tensors = tuple(Tensor(name, 64, 16) for name in ("image", "kept", "middle", "sum"))
    steps = (
        Step("conv2d_0", ("image",), ("kept",)),
        Step("conv2d_1", ("image",), ("middle",)),
        Step("add_2", ("kept", "middle"), ("sum",)),
    )
    program = Program(tensors, steps, ("image",), ("sum",))
    message = r"step 'add_2' reads tensor 'kept', but arena bytes \[96, 128\) hold 'middle', written by step 'conv2d_1'"
    with pytest.raises(PlanError, match=message):
        verify(program, placed(program, {"image": 0, "kept": 64, "middle": 96, "sum": 192}))


def test_two_tensors_of_one_step_may_not_overlap() -> None:
    program = chain([64, 64])
    with pytest.raises(PlanError, match=r"step 'conv2d_0' uses 't0' and 't1' at once.* bytes \[48, 64\)"):
        verify(program, placed(program, {"t0": 0, "t1": 48}))


def test_scratch_may_not_lie_on_a_tensor_of_its_step() -> None:
    program = concatenation()
    with pytest.raises(
        PlanError, match=r"step 'conv2d_1' uses 'right' and 'im2col' at once.* bytes \[112, 160\)"
    ):
        verify(program, placed(program, {"image": 0, "joined": 64, "classes": 160, "mean": 176}, im2col=112))


@pytest.mark.parametrize(("start", "fits"), [(16, False), (32, True), (48, True)])
def test_an_output_may_lie_over_scratch_at_the_distance_that_is_permitted(start: int, fits: bool) -> None:
    tensors = (Tensor("in", 16, 16), Tensor("out", 64, 16))
    step = Step("region", ("in",), ("out",), (Tensor("im2col", 64, 16),), (InPlace("im2col", "out", 32),))
    program = Program(tensors, (step,), ("in",), ("out",))
    plan = placed(program, {"in": 240, "out": 0}, im2col=start)
    if fits:
        verify(program, plan)
    else:
        with pytest.raises(PlanError, match="uses 'out' and 'im2col' at once"):
            verify(program, plan)


def test_scratch_may_not_lie_on_a_tensor_that_waits() -> None:
    program = concatenation()
    message = (
        r"'dense_2' reads tensor 'flat', but arena bytes \[64, 96\) hold 'im2col', written by step 'conv2d_1'"
    )
    with pytest.raises(PlanError, match=message):
        verify(program, placed(program, {"image": 256, "joined": 64, "classes": 160, "mean": 176}, im2col=48))


def test_parts_of_a_tensor_survive_until_it_is_read_as_a_whole() -> None:
    program = concatenation()
    verify(program, placed(program, {"image": 0, "joined": 64, "classes": 160, "mean": 176}, im2col=192))


def test_an_output_must_survive_to_the_end() -> None:
    program = concatenation()
    with pytest.raises(PlanError, match="step 'mean_3' uses 'classes' and 'mean' at once"):
        verify(program, placed(program, {"image": 0, "joined": 64, "classes": 160, "mean": 160}, im2col=192))
    tensors = (Tensor("a", 16, 16), Tensor("b", 16, 16), Tensor("c", 16, 16))
    steps = (Step("s", ("a",), ("b",)), Step("t", ("a",), ("c",)))
    program = Program(tensors, steps, ("a",), ("b", "c"))
    with pytest.raises(
        PlanError, match=r"the caller reads output tensor 'b', but .* hold 'c', written by step 't'"
    ):
        verify(program, placed(program, {"a": 0, "b": 16, "c": 16}))


def test_two_inputs_may_not_overlap() -> None:
    program = Program((Tensor("a", 16, 16), Tensor("b", 16, 16)), (), ("a", "b"), ())
    with pytest.raises(
        PlanError, match=r"the caller fills tensor 'a', but .* hold 'b', written by the caller"
    ):
        verify(program, placed(program, {"a": 0, "b": 0}))


def test_two_outputs_of_one_step_may_not_overlap() -> None:
    tensors = (Tensor("a", 16, 16), Tensor("b", 16, 16))
    program = Program(tensors, (Step("split_0", (), ("a", "b")),), (), ("a", "b"))
    with pytest.raises(PlanError, match="step 'split_0' uses 'a' and 'b' at once"):
        verify(program, placed(program, {"a": 0, "b": 0}))


@pytest.mark.parametrize(
    ("distance", "output", "fits"), [(0, 32, True), (0, 48, False), (16, 16, True), (16, 32, False)]
)
def test_in_place_needs_permission_and_distance(distance: int, output: int, fits: bool) -> None:
    tensors = (Tensor("in", 64, 16), Tensor("out", 64, 16))
    allowed = Step("relu_0", ("in",), ("out",), inplace=(InPlace("in", "out", distance),))
    made = placed(Program(tensors, (allowed,), ("in",), ("out",)), {"in": 32, "out": output})
    assert rejects(Program(tensors, (allowed,), ("in",), ("out",)), made) is not fits
    forbidden = Step("relu_0", ("in",), ("out",))
    assert rejects(Program(tensors, (forbidden,), ("in",), ("out",)), made)


def test_an_input_overwritten_in_place_may_not_be_read_again() -> None:
    tensors = tuple(Tensor(name, 64, 16) for name in "abc")
    steps = (
        Step("relu_0", ("a",), ("b",), inplace=(InPlace("a", "b"),)),
        Step("add_1", ("a", "b"), ("c",)),
    )
    program = Program(tensors, steps, ("a",), ("c",))
    with pytest.raises(
        PlanError, match=r"step 'add_1' reads tensor 'a', but .* hold 'b', written by step 'relu_0'"
    ):
        verify(program, placed(program, {"a": 0, "b": 0, "c": 64}))


def test_with_keep_all_every_tensor_must_survive() -> None:
    program = chain([16, 16, 16])
    made = placed(program, {"t0": 0, "t1": 16, "t2": 0})
    verify(program, made)
    with pytest.raises(PlanError, match="with keep_all the caller reads tensor 't0'"):
        verify(program, replace(made, keep_all=True))


@pytest.mark.parametrize(
    ("offsets", "changes", "message"),
    [
        ({"t0": 0, "t1": 24}, {}, "'t1' lies at byte 24 .* needs an alignment of 16"),
        ({"t0": 0, "t1": 16}, {"alignment": 8}, "arena aligned to 8, but needs an alignment of 16"),
        ({"t0": -16, "t1": 16}, {}, r"'t0' takes bytes \[-16, 0\), outside the arena"),
        (
            {"t0": 0, "t1": 16},
            {"arena_bytes": 31},
            r"'t1' takes bytes \[16, 32\), outside the arena of 31 bytes",
        ),
        ({"t0": 0}, {}, "no offset to 't1'"),
        ({"t0": 0, "t1": 16, "t9": 32}, {}, "places 't9', which the program does not declare"),
        ({"t0": 0, "t1": 16}, {"optimal": True}, "cannot be optimal"),
        ({"t0": 0, "t1": 16}, {"lower_bound": 1 << 13}, "cannot be short of optimal"),
    ],
)
def test_malformed_plans_are_refused(offsets: dict[str, int], changes: dict[str, int], message: str) -> None:
    program = chain([16, 16])
    made = replace(placed(program, offsets), **changes)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=message):
        verify(program, made)


def test_a_view_must_lie_in_its_root() -> None:
    program = concatenation()
    made = plan(program)
    moved = replace(made, offsets={**made.offsets, "right": made.offsets["right"] + 16})
    with pytest.raises(PlanError, match=r"view 'right' lies at byte .* its root 'joined' lies at"):
        verify(program, moved)
