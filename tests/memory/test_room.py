"""Room for scratch: what the tensors of a step leave free."""

from __future__ import annotations

from tvm_tinyml.memory import InPlace, Program, Step, Tensor, scratch_room


def chain(*sizes: int) -> Program:
    """Tensors of these sizes, each made from the one before."""
    tensors = tuple(Tensor(f"t{index}", size, 4) for index, size in enumerate(sizes))
    steps = tuple(Step(f"s{index}", (f"t{index}",), (f"t{index + 1}",)) for index in range(len(sizes) - 1))
    return Program(tensors, steps, ("t0",), (f"t{len(sizes) - 1}",))


def test_small_steps_have_room_up_to_the_largest_one_and_what_is_granted_beyond_it() -> None:
    assert scratch_room(chain(100, 300, 60, 20), 50, None) == [50, 90, 370]


def test_a_budget_limits_all_steps_even_where_tensors_alone_exceed_it() -> None:
    assert scratch_room(chain(100, 300, 60, 20), 50, 380) == [-20, 20, 300]


def test_an_output_over_its_input_and_buffers_of_a_step_count_as_what_they_take() -> None:
    tensors = (Tensor("x", 100, 4), Tensor("y", 60, 4))
    buffers = (Tensor("lines", 20, 4),)
    step = Step("region", ("x",), ("y",), buffers, (InPlace("x", "y", 8),))
    program = Program(tensors, (step,), ("x",), ("y",))
    assert scratch_room(program, 0, 200) == [0]
    assert scratch_room(program, 50, 200) == [50]
    assert scratch_room(program, 500, 200) == [72]


def test_scratch_under_an_output_counts_once() -> None:
    tensors = (Tensor("x", 100, 4), Tensor("y", 60, 4))
    step = Step("region", ("x",), ("y",), (Tensor("lines", 80, 4),), (InPlace("lines", "y", 40),))
    program = Program(tensors, (step,), ("x",), ("y",))
    assert scratch_room(program, 0, 300) == [0]
    assert scratch_room(program, 500, 300) == [300 - (100 + 60 + 80 - 20)]
