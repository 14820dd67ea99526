"""In which order a scheduled function reads and writes its buffers: what decides whether two of them may overlap.

Taken from the loops and from the regions that its blocks declare to read and write, which TVM infers from their bodies
or a tensor intrinsic states. A block is one moment, in which writes may come before reads, because a micro-kernel
orders its loads and stores as it likes. Loops around it are told apart from the outside inwards, as long as there are
not too many moments; what is left inside counts as one. Regions are boxes found by interval arithmetic (Moore 1966),
never smaller than what is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tvm import s_tir, tirx
from tvm_ffi import structural

MOMENTS = 2048
"""Times that one block is told apart."""

Ints = npt.NDArray[np.int64]
Env = Mapping[Any, "Span"]


class Span(NamedTuple):
    """Values of an expression at each moment: from `low` to `high`, both included."""

    low: Ints
    high: Ints


@dataclass(frozen=True)
class Touch:
    """A buffer that a block reads or writes.

    times: moments in ascending order. begins, ends: half-open box at each of them, of shape (axes, moments).
    """

    buffer: str
    shape: tuple[int, ...]
    itemsize: int
    writes: bool
    times: Ints
    begins: Ints
    ends: Ints

    def boxes(self, *, every: bool = False) -> Iterator[tuple[int, tuple[slice, ...]]]:
        """Moments and boxes in ascending order; of equal boxes the last one when read, the first one when written.

        every: equal ones as well.
        """
        order = np.arange(len(self.times))
        if not every:
            seen = np.concatenate([self.begins, self.ends]).T
            last = order if self.writes else order[::-1]
            order = np.sort(last[np.unique(seen[last], axis=0, return_index=True)[1]])
        for index in order.tolist():
            begins, ends = self.begins[:, index].tolist(), self.ends[:, index].tolist()
            yield int(self.times[index]), tuple(map(slice, begins, ends))


class _UnknownError(Exception):
    """A construct whose order or region is not derived."""


def touches(function: Any) -> list[Touch] | None:
    """What the blocks of a scheduled function do with its buffer parameters; None where that cannot be derived."""
    buffers = {parameter: str(parameter.name) for parameter in function.params}
    found: list[Touch] = []
    try:
        _visit(function.body, _Moment({}, np.zeros(1, np.int64), buffers, found), coarse=False)
    except _UnknownError:
        return None
    return found


class _Moment(NamedTuple):
    """Where a walk is: values of variables at all moments so far, those moments, and what it collects."""

    env: Env
    times: Ints
    buffers: Mapping[Any, str]
    found: list[Touch]


def _visit(statement: Any, at: _Moment, *, coarse: bool) -> None:
    if isinstance(statement, tirx.SeqStmt):
        times = at.times
        for one in statement.seq:
            _visit(one, at._replace(times=times), coarse=coarse)
            times = times if coarse else times + _width(one, len(times))
    elif isinstance(statement, tirx.For):
        _visit_loop(statement, at, coarse=coarse)
    elif isinstance(statement, tirx.IfThenElse):
        _visit(statement.then_case, at, coarse=coarse)
        if statement.else_case is not None:
            _visit(statement.else_case, at, coarse=coarse)
    elif isinstance(statement, s_tir.SBlockRealize):
        block = statement.block
        values = {
            one.var: Span(*(np.broadcast_to(end, at.times.shape) for end in _span(value, at.env)))
            for one, value in zip(block.iter_vars, statement.iter_values, strict=True)
        }
        inside = at._replace(env={**at.env, **values})
        if _is_leaf(block):
            _record(block, inside)
        else:
            _visit(block.body, inside, coarse=coarse)
    else:
        raise _UnknownError


def _visit_loop(loop: Any, at: _Moment, *, coarse: bool) -> None:
    count, first = _constant(loop.extent), _constant(loop.min)
    if coarse or len(at.times) * count > MOMENTS:
        low = np.full(len(at.times), first, np.int64)
        env = {**at.env, loop.loop_var: Span(low, low + count - 1)}
        _visit(loop.body, at._replace(env=env), coarse=True)
        return
    index = np.tile(np.arange(first, first + count, dtype=np.int64), len(at.times))
    env = {
        name: Span(np.repeat(span.low, count), np.repeat(span.high, count)) for name, span in at.env.items()
    }
    env[loop.loop_var] = Span(index, index)
    steps = (index - first) * _width(loop.body, len(index))
    _visit(loop.body, at._replace(env=env, times=np.repeat(at.times, count) + steps), coarse=False)


def _width(statement: Any, moments: int) -> int:
    """Moments that one execution of a statement takes, when it is executed at so many."""
    if isinstance(statement, tirx.SeqStmt):
        return sum(_width(one, moments) for one in statement.seq)
    if isinstance(statement, tirx.For):
        count = _constant(statement.extent)
        return 1 if moments * count > MOMENTS else count * _width(statement.body, moments * count)
    if isinstance(statement, tirx.IfThenElse):
        cases = [one for one in (statement.then_case, statement.else_case) if one is not None]
        return max(_width(one, moments) for one in cases)
    if isinstance(statement, s_tir.SBlockRealize) and not _is_leaf(statement.block):
        return _width(statement.block.body, moments)
    return 1


def _is_leaf(block: Any) -> bool:
    """Whether a block's regions stand for all that is inside; blocks of matched buffers name those."""
    if block.match_buffers:
        return True
    inner: list[Any] = []
    structural.structural_walk(
        block.body, lambda node: inner.append(node) if isinstance(node, s_tir.SBlockRealize) else None
    )
    return not inner


def _record(block: Any, at: _Moment) -> None:
    for writes, regions in ((False, block.reads), (True, block.writes)):
        for region in regions:
            if region.source not in at.buffers:
                continue
            shape = tuple(_constant(extent) for extent in region.source.shape)
            begins, ends = [], []
            for axis, extent in zip(region.region, shape, strict=True):
                begin, size = _span(axis.min, at.env), _span(axis.extent, at.env)
                begins.append(np.clip(begin.low, 0, extent))
                ends.append(np.clip(begin.high + size.high, 0, extent))
            if not shape:
                # A buffer without axes is one element.
                shape, begins, ends = (1,), [np.zeros(1, np.int64)], [np.ones(1, np.int64)]
            every = [np.broadcast_to(one, at.times.shape) for one in (*begins, *ends)]
            order = np.argsort(at.times, kind="stable")
            both = np.stack(every)[:, order]
            itemsize = np.dtype(str(region.source.dtype)).itemsize
            touch = Touch(
                at.buffers[region.source],
                shape,
                itemsize,
                writes,
                at.times[order],
                both[: len(shape)],
                both[len(shape) :],
            )
            at.found.append(touch)


def _constant(value: Any) -> int:
    if not isinstance(value, tirx.IntImm):
        raise _UnknownError
    return int(value)


def _corners(combine: Callable[[Ints, Ints], Ints]) -> Callable[[Span, Span], Span]:
    """Interval form of a function that is monotone in each operand."""

    def of(a: Span, b: Span) -> Span:
        every = np.stack([combine(x, y) for x in a for y in b])
        return Span(every.min(axis=0), every.max(axis=0))

    return of


def _divided(a: Span, b: Span) -> Span:
    if (b.low != b.high).any() or (b.low <= 0).any():
        raise _UnknownError
    return Span(a.low // b.low, a.high // b.low)


def _remainder(a: Span, b: Span) -> Span:
    quotient = _divided(a, b)
    within = quotient.low == quotient.high
    return Span(np.where(within, a.low % b.low, 0), np.where(within, a.high % b.low, b.low - 1))


_BINARY: Sequence[tuple[Any, Callable[[Span, Span], Span]]] = (
    (tirx.Add, lambda a, b: Span(a.low + b.low, a.high + b.high)),
    (tirx.Sub, lambda a, b: Span(a.low - b.high, a.high - b.low)),
    (tirx.Mul, _corners(np.multiply)),
    (tirx.Min, lambda a, b: Span(np.minimum(a.low, b.low), np.minimum(a.high, b.high))),
    (tirx.Max, lambda a, b: Span(np.maximum(a.low, b.low), np.maximum(a.high, b.high))),
    (tirx.FloorDiv, _divided),
    (tirx.FloorMod, _remainder),
)


def _span(expression: Any, env: Env) -> Span:
    if isinstance(expression, tirx.IntImm):
        value = np.array([int(expression)], np.int64)
        return Span(value, value)
    if isinstance(expression, tirx.Var) and expression in env:
        return env[expression]
    if isinstance(expression, tirx.Cast):
        return _span(expression.value, env)
    for kind, combine in _BINARY:
        if isinstance(expression, kind):
            return combine(_span(expression.a, env), _span(expression.b, env))
    raise _UnknownError
