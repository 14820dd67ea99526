"""Plans are valid, small, repeatable, and optimal where they say so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.memory.milp_oracle import least_arena
from tests.memory.programs import (
    ABOVE_THE_BOUND,
    TIGHT_ONLY_FOR_EXACT,
    chain,
    concatenation,
    from_intervals,
    inverted_bottlenecks,
    programs,
)
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import InPlace, Program, Step, Tensor, plan, plan_in_pieces, verify
from tvm_tinyml.memory.exact import place_exactly
from tvm_tinyml.memory.greedy import place_greedily
from tvm_tinyml.memory.problem import PlacementProblem

INTERVALS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 5), st.integers(1, 6)).map(
        lambda t: (t[0], t[0] + t[1], t[2])
    ),
    min_size=1,
    max_size=8,
)


@given(programs(), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_greedy_plan_verifies(program: Program, keep_all: bool) -> None:
    made = plan(program, method="greedy", keep_all=keep_all)
    verify(program, made)
    assert made.lower_bound <= made.arena_bytes
    assert made.optimal == (made.gap == 0.0)


@given(programs(alignments=(16,)), st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_automatic_plan_verifies(program: Program, keep_all: bool) -> None:
    made = plan(program, keep_all=keep_all)
    verify(program, made)
    assert made.optimal


@given(programs(max_steps=20, alignments=(4,)))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_exact_is_never_above_greedy(program: Program) -> None:
    greedy, exact = plan(program, method="greedy"), plan(program, method="exact")
    assert greedy.lower_bound <= exact.lower_bound <= exact.arena_bytes <= greedy.arena_bytes


@given(programs(max_steps=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_exact_plans_equal_an_independent_optimum(program: Program) -> None:
    made = plan(program, method="exact")
    assert made.optimal
    assert made.arena_bytes == least_arena(PlacementProblem.of_program(program))


@given(INTERVALS)
@settings(max_examples=40, deadline=None)
def test_exact_plans_of_fragmented_lifetimes_equal_an_independent_optimum(
    intervals: list[tuple[int, int, int]],
) -> None:
    # Few sizes and many overlapping lifetimes: here first fit leaves holes.
    problem = PlacementProblem.of_program(from_intervals(intervals))
    result = place_exactly(problem, place_greedily(problem), time_limit=10)
    assert problem.arena_bytes(result.offsets) == result.lower_bound == least_arena(problem)


def test_exact_finds_what_greedy_misses() -> None:
    program = from_intervals(TIGHT_ONLY_FOR_EXACT)
    greedy, exact, auto = (plan(program, method=method) for method in ("greedy", "exact", "auto"))
    assert (greedy.arena_bytes, greedy.method, greedy.optimal) == (12, "greedy", False)
    assert greedy.gap == pytest.approx(1 / 3)
    assert (exact.arena_bytes, exact.method, exact.optimal) == (9, "exact", True)
    assert auto == exact


def test_exact_proves_that_the_bound_is_out_of_reach() -> None:
    made = plan(from_intervals(ABOVE_THE_BOUND))
    assert (made.arena_bytes, made.lower_bound, made.optimal) == (11, 11, True)
    assert least_arena(PlacementProblem.of_program(from_intervals(ABOVE_THE_BOUND))) == 11


def test_without_time_the_gap_is_reported() -> None:
    made = plan(from_intervals(ABOVE_THE_BOUND), method="exact", time_limit=0)
    verify(from_intervals(ABOVE_THE_BOUND), made)
    assert (made.arena_bytes, made.lower_bound, made.optimal) == (11, 10, False)
    assert made.gap == pytest.approx(0.1)


def test_auto_is_greedy_where_greedy_reaches_the_bound() -> None:
    made = plan(chain([16, 160, 32, 48]))
    assert (made.arena_bytes, made.method, made.optimal) == (192, "greedy", True)


def test_views_follow_their_root() -> None:
    offsets = plan(concatenation()).offsets
    assert offsets["right"] - offsets["joined"] == 32
    assert offsets["left"] == offsets["flat"] == offsets["joined"]


def in_place_steps(cuts: tuple[int, ...]) -> Program:
    """Two steps move 8 bytes by 3 bytes each, beside 5 bytes of scratch."""
    return Program(
        tuple(Tensor(name, 8, 1) for name in "abc"),
        tuple(
            Step(name, (name,), (made,), (Tensor(f"{name}.scratch", 5, 1, cuts),), (InPlace(name, made, 3),))
            for name, made in ("ab", "bc")
        ),
        ("a",),
        ("c",),
    )


def test_scratch_is_taken_apart_where_one_piece_leaves_gaps() -> None:
    whole, cut = in_place_steps(()), in_place_steps((2, 3))
    # Both moves go downwards: scratch of the first step has to lie below them, that of the second one above.
    assert plan_in_pieces(whole) == (whole, plan(whole))
    assert plan(whole).arena_bytes == plan(cut).arena_bytes == 18
    divided, made = plan_in_pieces(cut)
    verify(divided, made)
    assert made.arena_bytes == made.lower_bound == 16
    assert divided == cut.divided
    assert [buffer.nbytes for buffer in divided.steps[0].scratch] == [2, 1, 2]


@given(programs(), st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_scratch_in_pieces_needs_no_more_and_verifies(program: Program, data: st.DataObject) -> None:
    def with_cuts(buffer: Tensor) -> Tensor:
        places = range(buffer.alignment, buffer.nbytes, buffer.alignment)
        cuts = data.draw(st.sets(st.sampled_from(places), max_size=3)) if places else set()
        return replace(buffer, cuts=tuple(sorted(cuts)))

    steps = tuple(replace(step, scratch=tuple(map(with_cuts, step.scratch))) for step in program.steps)
    program = replace(program, steps=steps)
    used, made = plan_in_pieces(program)
    verify(used, made)
    assert used in (program, program.divided)
    assert made.arena_bytes <= plan(program).arena_bytes


def test_keep_all_gives_every_tensor_its_own_bytes() -> None:
    made = plan(chain([16, 160, 32, 48]), keep_all=True)
    assert (made.arena_bytes, made.optimal, made.keep_all) == (256, True, True)


def test_an_output_takes_the_place_of_a_dying_input() -> None:
    tensors = tuple(Tensor(name, 64, 16) for name in "abc")
    steps = (
        Step("relu_0", ("a",), ("b",), inplace=(InPlace("a", "b"),)),
        Step("relu_1", ("b",), ("c",), inplace=(InPlace("b", "c"),)),
    )
    program = Program(tensors, steps, ("a",), ("c",))
    made = plan(program)
    verify(program, made)
    assert made.arena_bytes == 64
    assert plan(program, keep_all=True).arena_bytes == 192


def test_an_output_keeps_its_distance_from_the_input_it_overwrites() -> None:
    tensors = (Tensor("in", 64, 4), Tensor("out", 64, 4))
    step = Step("conv2d_0", ("in",), ("out",), inplace=(InPlace("in", "out", 12),))
    program = Program(tensors, (step,), ("in",), ("out",))
    made = plan(program)
    verify(program, made)
    assert (made.arena_bytes, made.offsets["out"], made.offsets["in"]) == (76, 0, 12)


def test_an_output_lies_over_scratch_that_is_done_with_at_its_distance() -> None:
    tensors = (Tensor("in", 32, 4), Tensor("out", 64, 4))
    inplace = (InPlace("lines", "out", 48), InPlace("lines.0", "out", 40), InPlace("lines.1", "out", 64))
    lines = Tensor("lines", 96, 4, (32,))
    step = Step("region_0", ("in",), ("out",), (lines,), inplace)
    program = Program(tensors, (step,), ("in",), ("out",))
    made = plan(program)
    verify(program, made)
    assert made.arena_bytes == 32 + 48 + 96
    pieces = plan(program.divided)
    verify(program.divided, pieces)
    assert pieces.arena_bytes == 32 + 40 + 96
    apart = replace(program, steps=(replace(step, inplace=()),))
    assert plan(apart).arena_bytes == 32 + 64 + 96


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(0, 16)), min_size=2, max_size=6))
@settings(max_examples=100, deadline=None)
def test_in_place_steps_compute_correctly_on_real_bytes(stages: list[tuple[int, int]]) -> None:
    # Each step shifts its input by `distance` bytes, reading and writing in ascending order: the byte it needs
    # for output k is input k - distance, the least that the permission promises to be intact.
    sizes = [size for size, _ in stages]
    distances = [distance for _, distance in stages[1:]]
    base = chain(sizes, alignment=1)
    steps = tuple(
        Step(step.name, step.reads, step.writes, inplace=(InPlace(step.reads[0], step.writes[0], distance),))
        for step, distance in zip(base.steps, distances, strict=True)
    )
    program = Program(base.tensors, steps, base.inputs, base.outputs)
    made = plan(program)
    verify(program, made)
    arena = bytearray(made.arena_bytes)
    expected = [value % 251 + 1 for value in range(sizes[0])]
    start = made.offsets["t0"]
    arena[start : start + sizes[0]] = bytes(expected)
    for index, distance in enumerate(distances):
        source, target = made.offsets[f"t{index}"], made.offsets[f"t{index + 1}"]
        for k in range(sizes[index + 1]):
            inside = 0 <= k - distance < sizes[index]
            arena[target + k] = arena[source + k - distance] if inside else 0
        expected = [
            expected[k - distance] if 0 <= k - distance < sizes[index] else 0 for k in range(sizes[index + 1])
        ]
    start = made.offsets[f"t{len(distances)}"]
    assert list(arena[start : start + sizes[-1]]) == expected


def test_an_empty_program_needs_no_arena() -> None:
    program = Program((), (), (), ())
    made = plan(program, method="exact")
    verify(program, made)
    assert (made.arena_bytes, made.lower_bound, made.optimal, made.gap) == (0, 0, True, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "magic"}, "use one of auto, greedy, exact"), ({"time_limit": -1.0}, "negative")],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan(chain([1, 1]), **options)  # type: ignore[arg-type]


def test_the_plan_does_not_depend_on_the_hash_seed() -> None:
    script = (
        "from tests.memory.programs import *\n"
        "from tvm_tinyml.memory import plan\n"
        "for p in (inverted_bottlenecks(9), concatenation(), from_intervals(ABOVE_THE_BOUND * 3)):\n"
        "    print(plan(p), plan(p, method='exact'), plan(p, keep_all=True))\n"
    )
    root = Path(__file__).resolve().parents[2]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(outputs) == 1
    assert "arena_bytes" in outputs.pop()


def test_a_network_of_seventy_tensors_takes_no_time() -> None:
    program = inverted_bottlenecks(17)
    assert len(program.tensors) == 70
    start = time.perf_counter()
    greedy = plan(program, method="greedy")
    # Measured 2 ms; the requirement is one second.
    assert time.perf_counter() - start < 1.0
    exact = plan(program)
    assert exact.method == "exact"
    assert exact.optimal
    assert exact.arena_bytes == PlacementProblem.of_program(program).lower_bound() < greedy.arena_bytes


def test_five_hundred_tensors_are_planned_and_verified_quickly() -> None:
    program = inverted_bottlenecks(125)
    start = time.perf_counter()
    verify(program, plan(program, method="greedy"))
    # Measured 0.2 s; this is a guard against quadratic growth, not a benchmark.
    assert time.perf_counter() - start < 5.0


CROWDED = st.lists(
    st.tuples(st.integers(0, 10), st.integers(0, 6), st.integers(1, 8)).map(
        lambda t: (t[0], t[0] + t[1], t[2])
    ),
    min_size=20,
    max_size=30,
).map(from_intervals)
"""Many tensors, of which some are equal in size and begin together, so that their order may decide."""


@given(st.one_of(CROWDED, programs(alignments=(4,))), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_arena_does_not_depend_on_the_order_of_the_tensors(program: Program, random: Random) -> None:
    tensors = list(program.tensors)
    random.shuffle(tensors)
    other = replace(program, tensors=tuple(tensors))
    # With little effort the exact search ends anywhere: what it tries must be the same as well.
    for method, effort in (("greedy", 0), ("exact", 40)):
        made, again = (plan(one, method=method, effort=effort) for one in (program, other))
        verify(other, again)
        assert made.arena_bytes == again.arena_bytes
