"""Building blocks of tile descriptions: TensorIR that says what a micro-kernel computes.

The same code emits a tile into the layer's function and into the description of its `TensorIntrin`, so the two match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812


@contextmanager
def nest(name: str, spatial: Sequence[int], reduction: Sequence[int] = ()) -> Iterator[list[Any]]:
    """A block in loops over all axes; yields the axes' variables.

    Axes of one iteration are 0 instead of a variable: `tensorize` removes their loops from descriptions.
    """
    extents = [*spatial, *reduction]
    with ExitStack() as stack:
        loops = [stack.enter_context(T.serial(0, extent)) if extent > 1 else 0 for extent in extents]
        stack.enter_context(T.sblock(name))
        variables: list[Any] = []
        for index, (loop, extent) in enumerate(zip(loops, extents, strict=True)):
            if extent == 1:
                variables.append(0)
            elif index < len(spatial):
                variables.append(T.axis.spatial(extent, loop))
            else:
                variables.append(T.axis.reduce(extent, loop))
        yield variables


def allocate(name: str, shape: tuple[int, int], dtype: str = "int8") -> Any:
    """A buffer of the function under construction; it becomes scratch of that name unless it disappears."""
    return IRBuilder.name(name, T.sblock_alloc_buffer(shape, dtype))


def register(
    name: str,
    operands: Mapping[str, tuple[tuple[int, int], str]],
    describe: Callable[..., None],
    arguments: Callable[..., Sequence[Any]],
    kernel: str,
    written: int,
) -> str:
    """Register a `TensorIntrin` and return its name.

    operands: shape and dtype of every buffer, all two-dimensional.
    describe: emits the body of the block in its plain meaning; called with the buffers.
    arguments: arguments of the micro-kernel `kernel`; called with the buffers.
    written: how many operands, from the end, are written.
    """

    def function(*, call: bool) -> Any:
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("tile")
            handles = [T.arg(operand, T.handle()) for operand in operands]
            buffers = [
                T.match_buffer(handle, shape, dtype, offset_factor=1, strides=[T.int32(), 1])
                for handle, (shape, dtype) in zip(handles, operands.values(), strict=True)
            ]
            with T.sblock("root"):
                if call:
                    T.reads(*(buffer[:, :] for buffer in buffers[:-written]))
                    T.writes(*(buffer[:, :] for buffer in buffers[-written:]))
                    T.evaluate(T.call_extern("int32", kernel, *arguments(*buffers)))
                else:
                    describe(*buffers)
        return builder.get()

    TensorIntrin.register(name, function(call=False), function(call=True), override=True)
    return name
