"""Selection of candidates: the objective's price of code, shared micro-kernels, limits of scratch and of code."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_tinyml.schedules import Candidate, MicroKernel, code_bytes, rounds, select
from tvm_tinyml.schedules.code_size import source_bytes


def assembly(name: str, instructions: int) -> MicroKernel:
    """A micro-kernel of so many instructions."""
    return MicroKernel(name, "void f(void) {\n" + '    "nop\\n"\n' * instructions + "}\n")


def candidate(instructions: float, scratch: int = 0, kernels: Sequence[MicroKernel] = ()) -> Candidate:
    """A candidate that cannot be built."""

    def build() -> Any:
        raise AssertionError("a candidate that was only offered must not be built")

    return Candidate("rule", instructions, build, lambda: tuple(kernels), scratch)


def taken(choices: Sequence[Any]) -> list[int]:
    """Index of each layer's choice."""
    return [choice.taken for choice in choices]


LARGE, SMALL = assembly("large", 1000), assembly("small", 10)


def test_speed_takes_the_fewest_instructions_and_size_the_least_code() -> None:
    layer = [candidate(900, kernels=[LARGE]), candidate(1000, kernels=[SMALL])]
    assert taken(select([layer], "speed")) == [0]
    assert taken(select([layer], "size")) == [1]


def test_a_micro_kernel_that_others_need_anyway_costs_nothing() -> None:
    fixed = [candidate(500_000, kernels=[LARGE])]
    free = [candidate(900, kernels=[LARGE]), candidate(1000, kernels=[SMALL])]
    assert taken(select([fixed, free], "size")) == [0, 0]


def test_all_users_leave_a_micro_kernel_together() -> None:
    # None of the two gains by leaving alone: the other one keeps the large kernel in the code.
    layer = [candidate(1000, kernels=[LARGE]), candidate(1500, kernels=[SMALL])]
    assert taken(select([layer, layer], "speed")) == [0, 0]
    assert taken(select([layer, layer], "size")) == [1, 1]


def test_scratch_beyond_the_limit_is_not_taken_and_the_least_is_where_nothing_fits() -> None:
    layer = [candidate(1, scratch=300), candidate(2, scratch=200), candidate(3, scratch=100)]
    choices = select([layer, layer, layer], "speed", scratch=[300, 250, 50])
    assert taken(choices) == [0, 1, 2]
    assert choices[1].reasons[0] == "300 bytes of scratch where 250 are left"


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (None, [[0, 0, 0], [1, 1, 1], [2, 2, 1], [3, 3, 1], [4, 4, 1]]),
        (["same", "same", "other"], [[0, 1, 0], [2, 3, 1], [4, 4, 1]]),
    ],
)
def test_layers_of_equal_kind_share_their_candidates_out(
    kinds: list[str] | None, expected: list[list[int]]
) -> None:
    layers = [[candidate(10.0 + index) for index in range(count)] for count in (5, 5, 2)]
    assert [taken(choices) for choices in rounds(layers, None, kinds)] == expected


def test_layers_of_equal_kind_with_different_scratch_run_what_each_may_take() -> None:
    layers = [[candidate(1.0, scratch=100), candidate(2.0)] for _ in range(2)]
    ran = [taken(choices) for choices in rounds(layers, [100, 0], ["same", "same"])]
    assert ran == [[0, 1], [1, 1]]


def test_code_limit_gives_up_the_cheapest_instructions_per_byte() -> None:
    cheap = [candidate(1000, kernels=[assembly("a", 500)]), candidate(1100, kernels=[SMALL])]
    dear = [candidate(1000, kernels=[assembly("b", 500)]), candidate(9000, kernels=[SMALL])]
    everything = sum(code_bytes(layer[0]) for layer in (cheap, dear))
    assert taken(select([cheap, dear], "speed", code_limit=everything)) == [0, 0]
    assert taken(select([cheap, dear], "speed", code_limit=everything - 1)) == [1, 0]
    assert taken(select([cheap, dear], "speed", code_limit=1)) == [1, 1]


def test_the_plain_schedule_has_no_estimate_and_is_taken_when_it_is_alone() -> None:
    (choice,) = select([[candidate(float("inf"))]])
    assert (choice.taken, list(choice.reasons)) == (0, ["nothing else applies"])


@st.composite
def networks(draw: st.DrawFn) -> list[list[Candidate]]:
    kernels = [assembly(f"kernel_{number}", draw(st.integers(1, 40))) for number in range(3)]
    return [
        [
            candidate(
                draw(st.integers(1, 10_000)),
                draw(st.integers(0, 100)),
                draw(st.lists(st.sampled_from(kernels), unique=True)),
            )
            for _ in range(draw(st.integers(1, 3)))
        ]
        for _ in range(draw(st.integers(1, 4)))
    ]


def code_of(layers: Sequence[Sequence[Candidate]], indices: Sequence[int]) -> int:
    """Bytes of a selection, shared micro-kernels counted once."""
    mine = [layer[index] for layer, index in zip(layers, indices, strict=True)]
    shared = {kernel.name: source_bytes(kernel.source) for one in mine for kernel in one.micro_kernels()}
    return sum(one.loop_bytes for one in mine) + sum(shared.values())


@given(networks(), st.sampled_from(["speed", "balanced", "size"]), st.integers(0, 100))
def test_limits_hold_for_any_network(layers: list[list[Candidate]], objective: str, room: int) -> None:
    choices = select(layers, objective, scratch=[room] * len(layers))
    for layer, choice in zip(layers, choices, strict=True):
        least = min(one.scratch for one in layer)
        assert choice.candidate.scratch <= max(room, least)
        assert len(choice.reasons) == len(layer)


@given(networks())
def test_size_never_takes_more_code_and_speed_never_more_instructions(layers: list[list[Candidate]]) -> None:
    every = list(itertools.product(*(range(len(layer)) for layer in layers)))
    fastest = sum(min(one.instructions for one in layer) for layer in layers)
    speed, size = (taken(select(layers, objective)) for objective in ("speed", "size"))
    assert sum(layer[index].instructions for layer, index in zip(layers, speed, strict=True)) == fastest
    assert min(code_of(layers, one) for one in every) <= code_of(layers, size) <= code_of(layers, speed)


@pytest.mark.parametrize("prefix", ["", "#if defined(__riscv)\n"])
def test_of_alternative_bodies_the_longest_counts(prefix: str) -> None:
    line = '    "add a0, a0, a1\\n"\n'
    source = prefix + line * 30 + ("#else\n" + line * 10 + "#endif\n" if prefix else "")
    assert source_bytes(source) == 111
