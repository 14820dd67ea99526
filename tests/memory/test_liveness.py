"""Lifetimes of tensors and the lower bound that follows from them."""

from __future__ import annotations

import pytest

from tests.memory.programs import ABOVE_THE_BOUND, chain, concatenation, from_intervals
from tvm_tinyml.memory import InPlace, Program, Step, Tensor, lifetimes
from tvm_tinyml.memory.problem import PlacementProblem


def bound(program: Program) -> int:
    return PlacementProblem.of_program(program).lower_bound()


def test_inputs_live_from_the_start_and_outputs_to_the_end() -> None:
    assert lifetimes(chain([16, 16, 16])) == {"t0": (-1, 0), "t1": (0, 1), "t2": (1, 2)}


def test_views_extend_the_life_of_their_root() -> None:
    assert lifetimes(concatenation()) == {
        "image": (-1, 1),
        "joined": (0, 3),
        "classes": (2, 4),
        "mean": (3, 4),
    }


def test_what_is_never_read_lives_where_it_is_written() -> None:
    tensors = (Tensor("unused input", 4, 4), Tensor("unread", 4, 4))
    program = Program(tensors, (Step("s", (), ()), Step("t", (), ("unread",))), ("unused input",), ())
    assert lifetimes(program) == {"unused input": (-1, -1), "unread": (1, 1)}


def test_keep_all_lets_every_tensor_live_throughout() -> None:
    assert set(lifetimes(concatenation(), keep_all=True).values()) == {(-1, 4)}


def test_the_bound_is_the_heaviest_step() -> None:
    assert bound(chain([16, 160, 32, 48])) == 192
    assert bound(from_intervals(ABOVE_THE_BOUND)) == 10


def test_the_bound_counts_scratch_in_its_step_only() -> None:
    assert bound(concatenation()) == 64 + 96 + 48


def test_the_bound_counts_padding_to_the_alignment() -> None:
    assert bound(chain([17, 33], alignment=16)) == 32 + 48


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        # Two at 16: one has 15 bytes behind it; the small tensors may lie there.
        ([(1, 16), (1, 16), (10, 1)], 17),
        ([(1, 16), (1, 16), (20, 1)], 22),
        ([(1, 16), (4, 4), (4, 4)], 9),
    ],
)
def test_the_bound_lets_small_tensors_fill_padding(sizes: list[tuple[int, int]], expected: int) -> None:
    tensors = tuple(Tensor(f"t{i}", nbytes, alignment) for i, (nbytes, alignment) in enumerate(sizes))
    program = Program(tensors, (Step("s", (), tuple(tensor.name for tensor in tensors)),), (), ())
    granule = min(alignment for _, alignment in sizes)
    assert bound(program) == -(-expected // granule) * granule


@pytest.mark.parametrize(
    ("distance", "expected"), [(0, 64 + 32), (16, 80 + 32), (64, 96 + 32), (1000, 96 + 32)]
)
def test_a_pair_that_shares_bytes_counts_with_its_common_extent(distance: int, expected: int) -> None:
    tensors = (Tensor("in", 64, 16), Tensor("out", 32, 16), Tensor("kept", 32, 16))
    step = Step("add", ("in", "kept"), ("out",), inplace=(InPlace("in", "out", distance),))
    assert bound(Program(tensors, (step,), ("in", "kept"), ("out", "kept"))) == expected


def test_an_output_over_an_input_and_scratch_counts_with_what_all_take() -> None:
    tensors = (Tensor("in", 64, 16), Tensor("out", 48, 16))
    inplace = (InPlace("in", "out", 16), InPlace("lines", "out", 32))
    step = Step("region", ("in",), ("out",), (Tensor("lines", 32, 16),), inplace)
    assert bound(Program(tensors, (step,), ("in",), ("out",))) == 64 + 32 + 16


def test_a_permission_counts_only_where_the_input_dies() -> None:
    tensors = (Tensor("in", 64, 16), Tensor("out", 64, 16))
    step = Step("relu", ("in",), ("out",), inplace=(InPlace("in", "out"),))
    assert bound(Program(tensors, (step,), ("in",), ("out",))) == 64
    assert bound(Program(tensors, (step,), ("in",), ("out", "in"))) == 128
