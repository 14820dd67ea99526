"""What schedules of elementwise operators share: one flat loop, unrolled a little, and tables of all bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tvm import s_tir, te, tirx

from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.fixed_point import saturate_expr

from .kernel import Array, Problem
from .tensor_ir import largest_divisor

UNROLL = 4
BYTES = ("int8", "uint8")
# Elements from which a table of 256 bytes is worth its flash where the model brings none.
MIN_TABLE_ELEMENTS = 128


def byte_types(problem: Problem) -> tuple[str, str] | None:
    """Types of a lookup, or of a requantize between types of eight bits; None for everything else."""
    if problem.operator not in ("lookup", "requantize"):
        return None
    parameters = problem.compute().params
    source, target = str(parameters[0].ty.dtype), str(parameters[-1].ty.dtype)
    is_lookup = problem.operator == "lookup"
    if source not in BYTES or target not in BYTES or is_lookup != bool(problem.constants):
        return None
    return source, target


def byte_table(problem: Problem, source: str) -> Array:
    """Outputs of a function of one byte of type `source`, by the unsigned value of that byte."""
    inputs = np.arange(256, dtype=np.uint8).view(source)
    return operator(problem.operator).reference([inputs, *problem.constants.values()], problem.attrs)


def clamped_expr(x: Any, low: int, high: int) -> Any:
    """int32 `x` clamped to [low, high], as int8; by the instruction that saturates where the core has it."""
    if (low, high) != (-128, 127):
        return saturate_expr(x, low, high)
    return tirx.call_pure_extern("int32", "tinyml_saturate_int8", x).astype("int8")


def elementwise_function(
    tensors: Sequence[Any], element: Callable[..., Any], name: str, constants: Sequence[Any] = ()
) -> Any:
    """TensorIR of `element` applied to the elements of flat tensors of one length.

    constants: tensors that `element` reads besides; parameters after `tensors`.
    """
    (extent,) = tensors[0].shape
    output = te.compute(
        (int(extent),), lambda index: element(*(tensor[index] for tensor in tensors)), name=name
    )
    sch = s_tir.Schedule(te.create_prim_func([*tensors, *constants, output]))
    (loop,) = sch.get_loops(sch.get_sblock(name))
    _, inner = sch.split(loop, [None, largest_divisor(int(extent), UNROLL)])
    sch.unroll(inner)
    return sch.mod["main"]
