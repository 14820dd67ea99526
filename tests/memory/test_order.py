"""The order of tasks with the smallest peak: against all orders of small graphs, and where the search is bounded."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_tinyml.memory.order import Buffer, Task, TaskOrder, best_order


def alive(buffers: list[Buffer], tasks: list[Task], order: tuple[int, ...]) -> int:
    """Peak of an order, told from first and last uses as the planner does."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    written = {b for task in tasks for b in task.writes}
    for b, buffer in enumerate(buffers):
        used = [time for time, index in enumerate(order) if b in (*tasks[index].reads, *tasks[index].writes)]
        if used or buffer.kept:
            first[b] = used[0] if b in written else -1
            last[b] = len(order) if buffer.kept else used[-1]
    return max(
        sum(buffers[b].nbytes for b in first if first[b] <= time <= last[b])
        + (tasks[order[time]].scratch if time >= 0 else 0)
        for time in range(-1, len(order))
    )


def is_valid(tasks: list[Task], order: tuple[int, ...]) -> bool:
    """Whether every task comes after those it needs."""
    writers = {
        b: [i for i, task in enumerate(tasks) if b in task.writes] for task in tasks for b in task.writes
    }
    for time, index in enumerate(order):
        needed = {*tasks[index].after} | {i for b in tasks[index].reads for i in writers.get(b, ())}
        if not needed <= set(order[:time]):
            return False
    return len(set(order)) == len(tasks)


@st.composite
def graphs(draw: st.DrawFn, most: int = 6) -> tuple[list[Buffer], list[Task]]:
    """Two inputs and up to `most` tasks in a valid order; some buffers are written by two tasks."""
    size = st.integers(0, 9)
    buffers = [Buffer(draw(size), draw(st.booleans())), Buffer(draw(size))]
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, most))):
        reads = draw(st.sets(st.integers(0, len(buffers) - 1), min_size=1, max_size=3))
        last = len(buffers) - 1
        if tasks and last not in reads and draw(st.integers(0, 5)) == 0 and tasks[-1].writes:
            writes: tuple[int, ...] = (last,)
        else:
            buffers.append(Buffer(draw(size), draw(st.integers(0, 4)) == 0))
            writes = (len(buffers) - 1,) if draw(st.integers(0, 8)) else ()
        after = draw(st.sets(st.integers(0, number - 1), max_size=1)) if number else set()
        tasks.append(Task(tuple(reads), writes, tuple(after), draw(st.integers(0, 3))))
    return buffers, tasks


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_no_order_needs_less(graph: tuple[list[Buffer], list[Task]]) -> None:
    buffers, tasks = graph
    found = best_order(buffers, tasks)
    orders = [order for order in permutations(range(len(tasks))) if is_valid(tasks, order)]
    best = min(alive(buffers, tasks, order) for order in orders)
    assert found.order in orders
    assert found.peak == found.lower_bound == best == alive(buffers, tasks, found.order)


@settings(max_examples=60, deadline=None)
@given(graphs(most=9), st.integers(0, 8))
def test_a_bounded_search_is_never_worse_than_the_given_order_and_brackets_the_best(
    graph: tuple[list[Buffer], list[Task]], effort: int
) -> None:
    buffers, tasks = graph
    found, best = best_order(buffers, tasks, effort=effort), best_order(buffers, tasks)
    assert is_valid(tasks, found.order)
    assert found.lower_bound <= best.peak <= found.peak <= alive(buffers, tasks, tuple(range(len(tasks))))
    assert found.peak == alive(buffers, tasks, found.order)


def test_a_branch_is_finished_before_the_next_one_begins() -> None:
    # Two branches from one input: a wide tensor in the middle of each, a narrow one at the end.
    buffers = [Buffer(4), Buffer(50), Buffer(50), Buffer(2), Buffer(2), Buffer(1, kept=True)]
    tasks = [
        Task((0,), (1,)),
        Task((0,), (2,)),
        Task((1,), (3,)),
        Task((2,), (4,)),
        Task((3, 4), (5,)),
    ]
    assert best_order(buffers, tasks) == TaskOrder((0, 2, 1, 3, 4), 56, 56)


def test_the_given_order_stays_where_none_is_better() -> None:
    buffers = [Buffer(4), Buffer(3), Buffer(3), Buffer(1, kept=True)]
    tasks = [Task((0,), (2,)), Task((0,), (1,)), Task((1, 2), (3,))]
    assert best_order(buffers, tasks).order == (0, 1, 2)


@pytest.mark.parametrize("branches", [8, 30])
def test_wide_graphs_are_bounded(branches: int) -> None:
    """Branches that all hold on to what they make: no order is safe to prefer, all sets are reachable."""
    buffers = [Buffer(8)]
    tasks = []
    for index in range(branches):
        buffers += [Buffer(10 + index), Buffer(6 + 7 * index % 11)]
        wide = 1 + 2 * index
        tasks += [Task((0,), (wide,)), Task((wide,), (wide + 1,))]
    buffers.append(Buffer(1, kept=True))
    tasks.append(Task(tuple(range(2, 2 * branches + 1, 2)), (len(buffers) - 1,)))
    found = best_order(buffers, tasks, effort=2000)
    assert is_valid(tasks, found.order)
    assert found.lower_bound <= found.peak == alive(buffers, tasks, found.order)
