"""A program that a planner could misunderstand is refused with the step and tensor named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.memory.programs import chain, concatenation
from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory import InPlace, Program, Step, Tensor

A, B, C = Tensor("a", 16, 4), Tensor("b", 16, 4), Tensor("c", 8, 4)


def program(**changes: Any) -> Program:
    parts: dict[str, Any] = {
        "tensors": (A, B, C),
        "steps": (Step("first", ("a",), ("b",)), Step("second", ("b",), ("c",))),
        "inputs": ("a",),
        "outputs": ("c",),
    }
    return Program(**(parts | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensors": (A, A, B, C)}, "2 tensors are named 'a'"),
        ({"steps": (Step("s", ("a",), ("b",)), Step("s", ("b",), ("c",)))}, "2 steps are named 's'"),
        (
            {"steps": (Step("s", ("a",), ("b", "c"), scratch=(Tensor("b", 4, 4),)),)},
            "2 tensors are named 'b'",
        ),
        ({"steps": (Step("s", ("ghost",), ("b", "c")),)}, "step 's' use tensor 'ghost'"),
        ({"inputs": ("ghost",)}, "the inputs use tensor 'ghost'"),
        ({"steps": (Step("s", ("b",), ("c",)), Step("t", (), ("b",)))}, "step 's' reads tensor 'b' before"),
        ({"steps": (Step("s", ("b",), ("b", "c")),)}, "step 's' reads tensor 'b' before"),
        ({"steps": (Step("s", ("a",), ("b", "c")), Step("t", (), ("b",)))}, "already written by step 's'"),
        ({"steps": (Step("s", (), ("a", "b", "c")),)}, "already written by the caller"),
        ({"steps": (Step("s", ("a",), ("b",)),)}, "the caller reads output tensor 'c' before"),
        ({"steps": (Step("s", ("a",), ("c",)),)}, "tensor 'b' is never written"),
        ({"inputs": ("a", "a")}, "already written by the caller"),
        ({"aliases": {"c": ("ghost", 0)}}, "'ghost' is not declared"),
        ({"aliases": {"c": ("b", 12)}}, r"view 'c' covers bytes \[12, 20\) of 'b', which has 16 bytes"),
        ({"aliases": {"c": ("b", -4)}}, r"covers bytes \[-4, 4\)"),
        ({"aliases": {"c": ("b", 2)}}, "not a multiple of its alignment 4"),
        ({"aliases": {"c": ("b", 0), "b": ("a", 0)}}, "itself a view of 'a'"),
        ({"aliases": {"c": ("b", 4)}}, r"bytes \[4, 12\) of 'b' already written by step 'first'"),
    ],
)
def test_inconsistent_programs_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        program(**changes)


@pytest.mark.parametrize(
    ("permission", "message"),
    [
        (InPlace("b", "a"), "does not read the one and write the other"),
        (InPlace("a", "c"), "does not read the one and write the other"),
        (InPlace("a", "b", -1), "at distance -1"),
    ],
)
def test_impossible_in_place_permissions_are_refused(permission: InPlace, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        program(steps=(Step("s", ("a",), ("b",), inplace=(permission,)), Step("t", ("b",), ("c",))))


@pytest.mark.parametrize(
    ("name", "nbytes", "alignment", "message"),
    [
        ("", 4, 4, "empty name"),
        ("a", 0, 4, "'a' has 0 bytes"),
        ("a", -4, 4, "'a' has -4 bytes"),
        ("a", 4, 0, "'a' has alignment 0"),
        ("a", 4, 12, "'a' has alignment 12"),
    ],
)
def test_impossible_tensors_are_refused(name: str, nbytes: int, alignment: int, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Tensor(name, nbytes, alignment)


@pytest.mark.parametrize("cuts", [(0,), (16,), (8, 4), (2,), (4, 4)])
def test_cuts_outside_of_a_buffer_or_its_alignment_are_refused(cuts: tuple[int, ...]) -> None:
    with pytest.raises(PlanError, match="'a' of 16 bytes has cuts"):
        Tensor("a", 16, 4, cuts)


def test_sizes_may_be_numpy_integers() -> None:
    assert type(Tensor("a", np.prod((2, 3)), np.int32(4)).nbytes) is int  # type: ignore[arg-type]


def test_reading_a_partly_written_tensor_names_the_first_missing_byte() -> None:
    whole, left, right = Tensor("whole", 16, 4), Tensor("left", 8, 4), Tensor("right", 8, 4)
    steps = (Step("fill", (), ("left",)), Step("use", ("whole",), ()), Step("late", (), ("right",)))
    with pytest.raises(
        PlanError, match="step 'use' reads tensor 'whole' before byte 8 of 'whole' is written"
    ):
        Program((whole, left, right), steps, (), (), {"left": ("whole", 0), "right": ("whole", 8)})


def test_parts_of_a_tensor_may_be_written_by_different_steps() -> None:
    assert [root.name for root in concatenation().roots] == ["image", "joined", "classes", "mean"]


def test_a_root_is_aligned_for_its_views() -> None:
    steps = (Step("fill", (), ("view",)),)
    roots = Program((Tensor("root", 8, 2), Tensor("view", 8, 16)), steps, (), (), {"view": ("root", 0)}).roots
    assert roots == (Tensor("root", 8, 16),)


def test_an_input_may_be_an_output() -> None:
    assert Program((A,), (), ("a",), ("a", "a")).outputs == ("a", "a")


def test_an_empty_program_is_a_program() -> None:
    assert Program((), (), (), ()).roots == ()
    assert len(chain([16, 16]).steps) == 1
