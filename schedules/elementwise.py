"""What the scalar schedules of elementwise operators share: one flat loop, unrolled a little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import s_tir, te

from .tensor_ir import largest_divisor

UNROLL = 4


def elementwise_function(tensors: Sequence[Any], element: Callable[..., Any], name: str) -> Any:
    """TensorIR of `element` applied to the elements of flat tensors of one length."""
    (extent,) = tensors[0].shape
    output = te.compute(
        (int(extent),), lambda index: element(*(tensor[index] for tensor in tensors)), name=name
    )
    sch = s_tir.Schedule(te.create_prim_func([*tensors, output]))
    (loop,) = sch.get_loops(sch.get_sblock(name))
    _, inner = sch.split(loop, [None, largest_divisor(int(extent), UNROLL)])
    sch.unroll(inner)
    return sch.mod["main"]
