"""The order of tasks that needs the least memory: which topological order has the smallest peak of live buffers.

What is alive depends on the set of finished tasks alone, not on how it was reached (Ahn et al., "Ordering Chaos",
MLSys 2020). So orders are paths through those sets, and the best one is found by Dijkstra's algorithm with the
largest peak of a path in place of its length: the first complete set that comes off the queue is optimal, and
whatever comes off it is a lower bound until then. Where a ready task fits under the peak that is paid already and
leaves no more behind than it found, no other task is tried in its place: moved to the front of any completion it
lowers every set after it or leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

EFFORT = 100_000
"""Sets of finished tasks looked at before the search is bounded; a few seconds of work."""

BEAM = 64
"""Sets kept per number of finished tasks when the search is bounded."""


class Buffer(NamedTuple):
    """Something in memory: written by tasks, or there from the start when none writes it.

    nbytes: size; 0 where it costs nothing, as memory of the caller.
    kept: alive to the end.
    """

    nbytes: int
    kept: bool = False


class Task(NamedTuple):
    """Reads, writes and predecessors by index; everything it touches is in memory while it runs.

    after: tasks that come first for another reason than a buffer that this one reads.
    scratch: bytes needed during this task only.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    after: tuple[int, ...] = ()
    scratch: int = 0


@dataclass(frozen=True)
class TaskOrder:
    """Tasks in execution order with their peak; no order has a peak below `lower_bound`, in bytes."""

    order: tuple[int, ...]
    peak: int
    lower_bound: int


class _State(NamedTuple):
    """A reachable set of finished tasks; `trace` is the last task with the trace before it."""

    peak: int
    live: int
    done: int
    ready: int
    trace: tuple[int, object] | None


def best_order(buffers: Sequence[Buffer], tasks: Sequence[Task], *, effort: int = EFFORT) -> TaskOrder:
    """Order of `tasks` with the smallest peak; the given order, which must be valid, where none is better.

    effort: sets of finished tasks to look at before a bounded search takes over, whose result may not be optimal:
        its peak is then above its lower bound.
    """
    graph = _TaskGraph(buffers, tasks)
    given = tuple(range(len(tasks)))
    limit = graph.peak(given)
    queue = [(graph.start.peak, 0, 0, graph.start)]
    reached = {graph.start.done: graph.start.peak}
    pushed = 0
    bound = graph.start.peak
    while queue:
        _, _, _, state = heappop(queue)
        if state.peak > reached[state.done]:
            continue
        bound = state.peak
        if state.done == graph.everything:
            return TaskOrder(_order_of(state), state.peak, state.peak)
        if pushed > effort:
            return _bounded(graph, given, limit, bound)
        for after in graph.successors(state):
            if after.peak < min(limit, reached.get(after.done, limit)):
                reached[after.done] = after.peak
                pushed += 1
                heappush(queue, (after.peak, -after.done.bit_count(), pushed, after))
    return TaskOrder(given, limit, limit)


def _bounded(graph: _TaskGraph, given: tuple[int, ...], limit: int, bound: int) -> TaskOrder:
    """Best of the given order and a beam search."""
    beam = [graph.start]
    for _ in given:
        found: dict[int, _State] = {}
        for state in beam:
            for after in graph.successors(state):
                if after.done not in found or after.peak < found[after.done].peak:
                    found[after.done] = after
        beam = sorted(found.values(), key=lambda state: (state.peak, state.live, state.done))[:BEAM]
    best = beam[0]
    if best.peak >= limit:
        return TaskOrder(given, limit, bound)
    return TaskOrder(_order_of(best), best.peak, bound)


class _TaskGraph:
    """Tasks with their neighbours as bit sets; bit i stands for task i."""

    def __init__(self, buffers: Sequence[Buffer], tasks: Sequence[Task]) -> None:
        self.buffers = buffers
        self.tasks = tasks
        self.everything = (1 << len(tasks)) - 1
        self.writers = [
            _bits(i for i, task in enumerate(tasks) if b in task.writes) for b in range(len(buffers))
        ]
        self.readers = [
            _bits(i for i, task in enumerate(tasks) if b in task.reads) for b in range(len(buffers))
        ]
        self.before = [_bits(task.after) | _union(self.writers[b] for b in task.reads) for task in tasks]
        self.behind = [
            [other for other, before in enumerate(self.before) if before >> index & 1]
            for index in range(len(tasks))
        ]
        there = sum(
            buffer.nbytes
            for index, buffer in enumerate(buffers)
            if not self.writers[index] and (buffer.kept or self.readers[index])
        )
        ready = _bits(index for index, before in enumerate(self.before) if not before)
        self.start = _State(there, there, 0, ready, None)

    def successors(self, state: _State) -> list[_State]:
        """States one task further: all of them, or one that loses nothing."""
        found = []
        ready = state.ready
        while ready:
            lowest = ready & -ready
            ready ^= lowest
            after = self.step(state, lowest.bit_length() - 1)
            if after.peak == state.peak and after.live <= state.live:
                return [after]
            found.append(after)
        return found

    def step(self, state: _State, index: int) -> _State:
        """State after task `index`, which must be ready."""
        task, done = self.tasks[index], state.done | 1 << index
        fresh = sum(self.buffers[b].nbytes for b in task.writes if not self.writers[b] & state.done)
        busy = state.live + fresh
        dead = sum(
            self.buffers[b].nbytes
            for b in {*task.reads, *task.writes}
            if not self.buffers[b].kept and not (self.readers[b] | self.writers[b]) & ~done
        )
        ready = state.ready & ~(1 << index)
        for other in self.behind[index]:
            if not self.before[other] & ~done:
                ready |= 1 << other
        peak = max(state.peak, busy + task.scratch)
        return _State(peak, busy - dead, done, ready, (index, state.trace))

    def peak(self, order: Iterable[int]) -> int:
        """Peak of a valid order, in bytes."""
        state = self.start
        for index in order:
            state = self.step(state, index)
        return state.peak


def _bits(indices: Iterable[int]) -> int:
    return _union(1 << index for index in indices)


def _union(sets: Iterable[int]) -> int:
    result = 0
    for one in sets:
        result |= one
    return result


def _order_of(state: _State) -> tuple[int, ...]:
    order: list[int] = []
    trace = state.trace
    while trace is not None:
        index, trace = trace  # type: ignore[assignment]
        order.append(index)
    return tuple(reversed(order))
