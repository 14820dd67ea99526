"""Room for scratch: what the tensors of a step leave free."""

from __future__ import annotations

from tvm_tinyml.memory import Program, Step, Tensor, scratch_room


def chain(*sizes: int) -> Program:
    """Tensors of these sizes, each made from the one before."""
    tensors = tuple(Tensor(f"t{index}", size, 4) for index, size in enumerate(sizes))
    steps = tuple(Step(f"s{index}", (f"t{index}",), (f"t{index + 1}",)) for index in range(len(sizes) - 1))
    return Program(tensors, steps, ("t0",), (f"t{len(sizes) - 1}",))


def test_small_steps_have_room_up_to_the_largest_one_and_what_is_granted_beyond_it() -> None:
    assert scratch_room(chain(100, 300, 60, 20), 50, None) == [50, 90, 370]


def test_a_budget_limits_all_steps_even_where_tensors_alone_exceed_it() -> None:
    assert scratch_room(chain(100, 300, 60, 20), 50, 380) == [-20, 20, 300]
