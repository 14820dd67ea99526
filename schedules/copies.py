"""Schedule of operators that move bytes and compute nothing: runs of bytes copied or filled by words.

concat, copy, pad, resize_nearest, slice and transpose are each a few nests of loops around runs that lie side by side
in the input and in the output. C libraries for RV32 copy byte by byte, and on Armv6-M a call of the library for each
pixel costs more than the pixel; cores with Thumb-2 are served well by their compiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol, TypeAlias

import numpy as np
from tvm import s_tir, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from tvm_tinyml.dialect import operator

from .intrinsics.long_copy import LongCopy
from .intrinsics.rvv import memory as rvv
from .intrinsics.scalar_memory import WORD, Copy, Fill
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem
from .tensor_ir import drop_unit_loops

# Runs below this length are no better than single bytes.
MIN_RUN = 2
# Runs from which a call of the RVV function is better than what clang makes of them.
MIN_VECTOR = 64
# Bytes of the longest run that is moved without a call; estimates of the others.
STRAIGHT = 32
INSTRUCTIONS_PER_RUN, INSTRUCTIONS_PER_CALL, INSTRUCTIONS_PER_WORD = 5.0, 16.0, 2.2


class Mover(Protocol):
    """A micro-kernel that copies or fills one run."""

    def micro_kernel(self) -> MicroKernel: ...

    def register(self) -> str: ...


@dataclass(frozen=True)
class Axis:
    """A loop: bytes from one iteration to the next in the output and in the input; there an index function will do."""

    extent: int
    to: int
    source: int | Callable[[Any], Any]


@dataclass(frozen=True)
class Move:
    """A nest of loops around a run of `nbytes` bytes.

    operand: which input is read; None where `value` is stored.
    first: where output and input begin.
    """

    axes: tuple[Axis, ...]
    nbytes: int
    first: tuple[int, int]
    operand: int | None
    value: int = 0

    @property
    def runs(self) -> int:
        """Runs of the nest."""
        return math.prod(axis.extent for axis in self.axes)


Moves: TypeAlias = "list[Move]"


def schedule_copies(problem: Problem) -> Candidate | None:
    """Schedule operators that move int8 on RV32 and Armv6-M; None elsewhere, and for single bytes."""
    if problem.operator not in _MOVES or not problem.features & {"rv32", "thumb1"}:
        return None
    if {str(parameter.ty.dtype) for parameter in problem.compute().params} != {"int8"}:
        return None
    moves = _MOVES[problem.operator](problem)
    if not moves:
        return None
    copied = [move.nbytes for move in moves if move.operand is not None]
    if min(copied) < MIN_RUN or ("rvv" in problem.features and not all(map(_is_for_vectors, copied))):
        return None
    movers = [_mover(move, problem) for move in moves]
    return Candidate(
        rule="RVV copies" if "rvv" in problem.features else "copies by words",
        instructions=sum(_instructions(move) for move in moves),
        build=lambda: _build(problem, moves, movers),
        micro_kernels=lambda: tuple({mover.micro_kernel(): None for mover in movers}),
    )


def _is_for_vectors(nbytes: int) -> bool:
    """Whether a run is long, or of a length for which compilers call their library."""
    return nbytes >= MIN_VECTOR or (nbytes > 2 * WORD and nbytes % WORD != 0)


def _instructions(move: Move) -> float:
    overhead = INSTRUCTIONS_PER_RUN if move.nbytes <= STRAIGHT else INSTRUCTIONS_PER_CALL
    return move.runs * (overhead + INSTRUCTIONS_PER_WORD * move.nbytes / WORD)


def _mover(move: Move, problem: Problem) -> Mover:
    if "rvv" in problem.features:
        return rvv.Copy(move.nbytes) if move.operand is not None else rvv.Fill(move.nbytes, move.value)
    # Tensors begin at words, and rows of a region that streams do where their channels are whole words.
    innermost = [shape[-1] for shape in (*problem.shapes.values(), problem.output_shape) if shape]
    places = [place for axis in move.axes for place in (axis.to, axis.source) if isinstance(place, int)]
    aligned = all(place % WORD == 0 for place in (*innermost, *places, *move.first))
    single = "thumb1" in problem.features
    if move.operand is None:
        return Fill(move.nbytes, move.value, aligned, single)
    if move.nbytes > STRAIGHT:
        return LongCopy(move.nbytes)
    return Copy(move.nbytes, aligned, single)


def _build(problem: Problem, moves: Moves, movers: Sequence[Mover]) -> Kernel:
    sch = s_tir.Schedule(drop_unit_loops(_function(problem, moves, movers)))
    for number, mover in enumerate(movers):
        sch.tensorize(sch.get_sblock(f"move_{number}"), mover.register())
    constants = {role: value.reshape(1, -1) for role, value in problem.constants.items()}
    return Kernel(sch.mod["main"], constants, tuple({mover.micro_kernel(): None for mover in movers}))


def _function(problem: Problem, moves: Moves, movers: Sequence[Mover]) -> Any:
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        inputs = [
            T.arg(role, T.buffer((1, math.prod(shape)), "int8")) for role, shape in problem.shapes.items()
        ]
        output = T.arg("output", T.buffer((1, problem.outputs), "int8"))
        with T.sblock("root"):
            for number, (move, mover) in enumerate(zip(moves, movers, strict=True)):
                with ExitStack() as stack:
                    loops = [stack.enter_context(T.serial(0, axis.extent)) for axis in move.axes]
                    stack.enter_context(T.sblock(f"move_{number}"))
                    _emit(move, mover, loops, inputs, output)
    return builder.get()


def _emit(move: Move, mover: Any, loops: Sequence[Any], inputs: Sequence[Any], output: Any) -> None:
    """Contents of the block of a move; index functions get an iterator of their own, as TVM sees no range in them."""
    to, source = move.first
    data = None if move.operand is None else inputs[move.operand]
    for axis, loop in zip(move.axes, loops, strict=True):
        index = T.axis.spatial(axis.extent, loop)
        to = to + index * axis.to
        if data is not None and callable(axis.source):
            source = source + T.axis.spatial(data.shape[1], axis.source(loop))
        else:
            source = source + index * axis.source
    if data is None:
        mover.block(output, (0, to))
    else:
        mover.block(output, (0, to), data, (0, source))


def _merged(axes: Sequence[Axis], first: tuple[int, int], operand: int | None = 0, value: int = 0) -> Move:
    """The move in which the innermost loops over adjacent bytes are its runs."""
    outer, nbytes = list(axes), 1
    while outer and (outer[-1].extent == 1 or _continues(outer[-1], nbytes, operand)):
        nbytes *= outer.pop().extent
    return Move(tuple(axis for axis in outer if axis.extent > 1), nbytes, first, operand, value)


def _continues(axis: Axis, nbytes: int, operand: int | None) -> bool:
    """Whether runs of `nbytes` bytes lie one after the other along an axis."""
    return axis.to == nbytes and (operand is None or axis.source == nbytes)


def _strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _copy(problem: Problem) -> Moves:
    return [Move((), problem.outputs, (0, 0), 0)]


def _concat(problem: Problem) -> Moves:
    axis, out = problem.attrs["axis"], _strides(problem.output_shape)
    shapes = list(problem.shapes.values())
    starts = [0, *accumulate(shape[axis] for shape in shapes[:-1])]
    return [
        _merged(
            [Axis(*one) for one in zip(shape, out, _strides(shape), strict=True)],
            (start * out[axis], 0),
            operand,
        )
        for operand, (shape, start) in enumerate(zip(shapes, starts, strict=True))
    ]


def _pad(problem: Problem) -> Moves:
    (shape,), flat = problem.shapes.values(), problem.attrs["pad_width"]
    widths, out = list(zip(flat[::2], flat[1::2], strict=True)), _strides(problem.output_shape)
    moves = []
    for axis, (before, after) in enumerate(widths):
        # The border of an axis goes along those in front of it inside, along those behind it as a whole.
        extents = (*shape[:axis], 0, *problem.output_shape[axis + 1 :])
        corner = sum(width * to for (width, _), to in zip(widths[:axis], out, strict=False))
        for width, begin in ((before, 0), (after, before + shape[axis])):
            loops = [Axis(width if i == axis else extents[i], to, 0) for i, to in enumerate(out)]
            if width:
                first = (corner + begin * out[axis], 0)
                moves.append(_merged(loops, first, None, problem.attrs["pad_value"]))
    inside = [Axis(*one) for one in zip(shape, out, _strides(shape), strict=True)]
    begins = sum(before * to for (before, _), to in zip(widths, out, strict=True))
    return [*moves, _merged(inside, (begins, 0))]


def _slice(problem: Problem) -> Moves:
    (shape,), attrs = problem.shapes.values(), problem.attrs
    read, out = _strides(shape), _strides(problem.output_shape)
    loops = [
        Axis(extent, to, source * step)
        for extent, to, source, step in zip(problem.output_shape, out, read, attrs["strides"], strict=True)
    ]
    first = sum(begin * source for begin, source in zip(attrs["begin"], read, strict=True))
    return [_merged(loops, (0, first))]


def _transpose(problem: Problem) -> Moves:
    (shape,) = problem.shapes.values()
    read = _strides(shape)
    order = [read[axis] for axis in problem.attrs["axes"]]
    loops = zip(problem.output_shape, _strides(problem.output_shape), order, strict=True)
    return [_merged([Axis(*one) for one in loops], (0, 0))]


def _resize_nearest(problem: Problem) -> Moves:
    (shape,) = problem.shapes.values()
    read, out = _strides(shape), _strides(problem.output_shape)
    positions = np.arange(shape[1] * shape[2]).reshape(1, shape[1], shape[2], 1)
    found = operator("resize_nearest").reference([positions], problem.attrs)[0, :, :, 0]
    rows, columns = _index(found[:, 0] // shape[2], read[1]), _index(found[0] % shape[2], read[2])
    if rows is None or columns is None:
        return []
    batch, height, width, channels = problem.output_shape
    loops = [
        Axis(batch, out[0], read[0]),
        Axis(height, out[1], rows),
        Axis(width, out[2], columns),
        Axis(channels, 1, 1),
    ]
    return [_merged(loops, (0, 0))]


def _index(table: Array, stride: int) -> Callable[[Any], Any] | None:
    """Where the elements of a table lie, as an expression of the index; None unless it repeats or leaves out evenly."""
    each = -(-len(table) // (int(table[-1]) + 1))
    if np.array_equal(table, np.arange(len(table)) // each):
        return lambda index: tirx.floordiv(index, each) * stride
    first, step = int(table[0]), int(table[-1] - table[0]) // max(1, len(table) - 1)
    if np.array_equal(table, np.arange(len(table)) * step + first):
        return lambda index: (index * step + first) * stride
    return None


_MOVES: dict[str, Callable[[Problem], Moves]] = {
    "concat": _concat,
    "copy": _copy,
    "pad": _pad,
    "resize_nearest": _resize_nearest,
    "slice": _slice,
    "transpose": _transpose,
}
