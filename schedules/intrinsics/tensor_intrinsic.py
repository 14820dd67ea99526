"""Binding a C function to the TensorIR that says what it computes, as a tensor intrinsic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..tensor_ir import drop_unit_loops


@dataclass(frozen=True)
class Operand:
    """Part of a buffer that a micro-kernel works on.

    pitch: elements from one row to the next; None when the caller's buffer decides.
    written: the function writes it. passed: it is an argument; sums that live in registers are not.
    """

    shape: tuple[int, ...]
    dtype: str
    pitch: int | None = None
    written: bool = False
    passed: bool = True

    def strides(self) -> list[Any] | None:
        """Strides of a buffer that matches the operand; None where it is a whole buffer of its own."""
        if not self.passed:
            return None
        return [T.int32() if self.pitch is None else self.pitch, 1][-len(self.shape) :]


def register(
    function: str,
    operands: Mapping[str, Operand],
    contents: Callable[..., None],
    arguments: Sequence[int] = (),
) -> str:
    """Register a call of a C function as a tensor intrinsic and return the intrinsic's name.

    operands: in the order of the function's parameters, before the constants `arguments`.
    contents: emits what is computed as a TensorIR block's contents, given a buffer for each operand.
    The name holds the function's name and everything else that the call depends on.
    """
    extents = ["x".join(map(str, (*operand.shape, operand.pitch or ""))) for operand in operands.values()]
    name = "_".join(["tinyml", function, *extents, *map(str, arguments)]).replace("-", "m")
    if TensorIntrin.get(name, allow_missing=True) is None:
        description = _function(operands, contents)
        TensorIntrin.register(
            name, drop_unit_loops(description), _function(operands, _call(function, operands, arguments))
        )
    return name


def _call(function: str, operands: Mapping[str, Operand], arguments: Sequence[int]) -> Callable[..., None]:
    def contents(*buffers: Any) -> None:
        pairs = list(zip(buffers, operands.values(), strict=True))
        whole = {
            writes: [
                buffer[tuple(slice(0, extent) for extent in operand.shape)]
                for buffer, operand in pairs
                if operand.written == writes
            ]
            for writes in (False, True)
        }
        T.reads(*whole[False])
        T.writes(*whole[True])
        pointers = [
            buffer.access_ptr("w" if operand.written else "r") for buffer, operand in pairs if operand.passed
        ]
        T.evaluate(T.call_extern("int32", function, *pointers, *arguments))

    return contents


def _function(operands: Mapping[str, Operand], contents: Callable[..., None]) -> Any:
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("run")
        handles = [T.arg(name, T.handle()) for name in operands]
        buffers = [
            T.match_buffer(
                handle,
                operand.shape,
                operand.dtype,
                offset_factor=1,
                strides=operand.strides(),
            )
            for handle, operand in zip(handles, operands.values(), strict=True)
        ]
        with T.sblock("root"):
            contents(*buffers)
    return builder.get()
