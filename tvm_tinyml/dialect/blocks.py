"""TensorIR written statement by statement, where one TE expression would branch at every element.

`concat` and `pad` fill disjoint regions of one output. As TE expressions they would test the coordinates of
every element; here each region is a loop nest with a block of its own. One block around them all makes the
operator a single stage to schedules, which may also address the inner blocks like any others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import ir, s_tir, te, tirx

from .bounds import Region


@dataclass(frozen=True)
class Part:
    """One region of the output and what it is filled with.

    name: of the block.
    region: the interval of each output axis; not empty.
    source: the operand that is copied, or None.
    origin: output coordinates of the operand's element 0, when there is an operand.
    value: what to store when there is no operand.
    """

    name: str
    region: Region
    source: int | None = None
    origin: tuple[int, ...] = ()
    value: int | float = 0


def assemble(tensors: Sequence[Any], shape: Sequence[int], parts: Sequence[Part], name: str) -> Any:
    """TE tensor of `shape` put together from disjoint `parts` that cover it; element type of the operands."""
    dtype = tensors[0].dtype
    sources = [tirx.decl_buffer(tensor.shape, tensor.dtype, tensor.op.name) for tensor in tensors]
    output = tirx.decl_buffer(list(shape), dtype, name)

    def statement(_inputs: Sequence[Any], _outputs: Sequence[Any]) -> Any:
        nests = [_nest(part, sources, output) for part in parts]
        body = nests[0] if len(nests) == 1 else tirx.SeqStmt(nests)
        reads = [tirx.BufferRegion(source, _everything(source)) for source in sources]
        writes = [tirx.BufferRegion(output, _everything(output))]
        return s_tir.SBlockRealize([], True, s_tir.SBlock([], reads, writes, name, body))

    return te.extern(
        list(shape),
        list(tensors),
        statement,
        name="root",
        dtype=dtype,
        in_buffers=sources,
        out_buffers=[output],
    )


def _everything(buffer: Any) -> list[Any]:
    return [ir.Range(0, extent) for extent in buffer.shape]


def _nest(part: Part, sources: Sequence[Any], output: Any) -> Any:
    if part.source is None:
        return _loops(part, output, None, lambda _index: tirx.const(part.value, output.dtype))
    source = sources[part.source]
    return _loops(part, output, source, lambda index: tirx.BufferLoad(source, index))


def _loops(part: Part, output: Any, source: Any, stored: Callable[[Sequence[Any]], Any]) -> Any:
    extents = [end - begin for begin, end in part.region]
    loops = [tirx.Var(f"i{axis}", "int32") for axis in range(len(extents))]
    iterators = [
        tirx.IterVar(ir.Range(0, extent), tirx.Var(f"v{axis}", "int32"), tirx.IterVar.DataPar)
        for axis, extent in enumerate(extents)
    ]
    target = [_plus(it.var, begin) for it, (begin, _) in zip(iterators, part.region, strict=True)]
    origin = [
        _plus(it.var, begin - start)
        for it, (begin, _), start in zip(
            iterators, part.region, part.origin or (0,) * len(loops), strict=True
        )
    ]
    block = s_tir.SBlock(
        iterators,
        [] if source is None else [tirx.BufferRegion(source, _point(origin))],
        [tirx.BufferRegion(output, _point(target))],
        part.name,
        tirx.BufferStore(output, stored(origin), target),
    )
    body = s_tir.SBlockRealize(loops, True, block)
    for loop, extent in reversed(list(zip(loops, extents, strict=True))):
        body = tirx.For(loop, 0, extent, tirx.ForKind.SERIAL, body)
    return body


def _plus(index: Any, offset: int) -> Any:
    return index + offset if offset else index


def _point(index: Sequence[Any]) -> list[Any]:
    return [ir.Range.from_min_extent(coordinate, 1) for coordinate in index]
