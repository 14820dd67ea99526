"""Chooses an offset in one arena for every tensor, view and scratch buffer of a program."""

from __future__ import annotations

from dataclasses import replace

from tvm_tinyml.errors import PlanError
from tvm_tinyml.memory.exact import EFFORT, place_exactly
from tvm_tinyml.memory.greedy import place_greedily
from tvm_tinyml.memory.memory_plan import MemoryPlan
from tvm_tinyml.memory.problem import PlacementProblem
from tvm_tinyml.memory.program import Program

METHODS = ("auto", "greedy", "exact")


def plan(
    program: Program,
    *,
    method: str = "auto",
    keep_all: bool = False,
    time_limit: float = 10.0,
    effort: int = EFFORT,
    enough: int | None = None,
    most: int | None = None,
) -> MemoryPlan:
    """Plan the arena of `program`.

    method: "greedy"; "exact", which proves its result or reports the gap that is left; or "auto", which is
        greedy, and exact where greedy does not reach the lower bound.
    keep_all: no two tensors share bytes, so that all can be read after the last step (for debugging).
    time_limit: seconds for the exact search. Its effort is bounded by a count as well, which a slow machine
        may not reach in time: only then the result depends on the machine, and `optimal` is False.
    effort: that count, in blocks looked at.
    enough: bytes of an arena that the caller does not want to beat: the exact search is left out where greedy needs no
        more than that, and where no placement can.
    most: bytes of an arena beyond which a plan is of no use to the caller: the exact search ends where it finds none
        within them.

    Raises PlanError for an unknown method or a negative time limit.
    """
    if method not in METHODS:
        raise PlanError(f"memory plan: method {method!r} is unknown; use one of {', '.join(METHODS)}")
    if time_limit < 0:
        raise PlanError(f"memory plan: time limit {time_limit} s is negative; use at least 0")
    lower_bound = PlacementProblem.of_program(program, keep_all=keep_all, relaxed=True).lower_bound()
    found: list[tuple[PlacementProblem, list[int], str]] = []
    problems = _problems(program, keep_all)
    for problem in problems:
        offsets, used = place_greedily(problem), "greedy"
        arena = min([problem.arena_bytes(offsets), *(one.arena_bytes(placed) for one, placed, _ in found)])
        settled = enough is not None and (arena <= enough or lower_bound > enough)
        least = max(lower_bound, problem.lower_bound())
        if method == "exact" or (method == "auto" and arena > least and not settled):
            result = place_exactly(
                problem, offsets, time_limit=time_limit, effort=effort, enough=enough or 0, most=most
            )
            offsets, used = result.offsets, "exact"
            # Of two ways to join blocks none proves anything about the other.
            lower_bound = result.lower_bound if len(problems) == 1 else lower_bound
        found.append((problem, offsets, used))
    problem, offsets, used = min(found, key=lambda one: one[0].arena_bytes(one[1]))
    starts = {name: offsets[block] for name, block in problem.block_of.items()}
    tensor_offsets = {}
    for tensor in program.tensors:
        root, offset = program.place(tensor.name)
        tensor_offsets[tensor.name] = starts[root] + offset
    arena_bytes = problem.arena_bytes(offsets)
    return MemoryPlan(
        offsets=tensor_offsets,
        scratch_offsets={
            buffer.name: starts[buffer.name] for step in program.steps for buffer in step.scratch
        },
        arena_bytes=arena_bytes,
        lower_bound=lower_bound,
        method=used,
        optimal=arena_bytes == lower_bound,
        alignment=max((block.alignment for block in problem.blocks), default=1),
        keep_all=keep_all,
    )


def plan_in_pieces(
    program: Program,
    *,
    method: str = "auto",
    keep_all: bool = False,
    effort: int = EFFORT,
    enough: int | None = None,
    most: int | None = None,
) -> tuple[Program, MemoryPlan]:
    """Plan the arena of `program` or, where its scratch leaves gaps in one piece, of the same with scratch in pieces.

    Arguments as for `plan`. Returns the program that was planned and its plan.
    """
    whole = plan(program, method=method, keep_all=keep_all, effort=effort, enough=enough, most=most)
    # What is proven of the whole says nothing of pieces.
    needed = PlacementProblem.of_program(program, keep_all=keep_all, relaxed=True).lower_bound()
    settled = whole.arena_bytes <= max(needed, enough or 0)
    if settled or all(not buffer.cuts for step in program.steps for buffer in step.scratch):
        return program, whole
    divided = program.divided
    pieces = plan(divided, method=method, keep_all=keep_all, effort=effort, enough=enough, most=most)
    return (divided, pieces) if pieces.arena_bytes < whole.arena_bytes else (program, whole)


def _problems(program: Program, keep_all: bool) -> list[PlacementProblem]:
    """The problem; where outputs may begin where inputs did, also with those that do, and with none that does.

    In an order of their own: a search and a build that name the same tensors in another order get the same arena.
    """
    apart = PlacementProblem.of_program(program, keep_all=keep_all).ordered
    joined = PlacementProblem.of_program(program, keep_all=keep_all, joined=True).ordered
    if len(joined.blocks) == len(apart.blocks):
        return [apart]
    # A search that ends before it is done may go astray on a freedom that only its part of a network needs.
    fixed = [
        replace(step, inplace=tuple(one for one in step.inplace if not one.same_place))
        for step in program.steps
    ]
    strict = PlacementProblem.of_program(replace(program, steps=tuple(fixed)), keep_all=keep_all).ordered
    return [joined, apart, strict]
