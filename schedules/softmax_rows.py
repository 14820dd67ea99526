"""The loop over rows that vector cores share for softmax: two tiles, and between them the reciprocal of one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from tvm_tinyml.dialect.fixed_functions import count_leading_zeros_expr, reciprocal_expr
from tvm_tinyml.dialect.softmax import OUTPUT_EXPONENT

from .intrinsics.description import allocate
from .intrinsics.softmax_tiles import scale_block

# Bytes of scratch.
MAX_SCRATCH = 5 * 1024
# Called with all buffers by name, and the row.
Emit = Callable[[Mapping[str, Any], Any], None]


def softmax_function(shape: tuple[int, int], constants: Mapping[str, tuple[int, int]], total: Emit) -> Any:
    """int8 rows of `shape` to int8 rows; the exponentials of one lie in scratch, in blocks "total" and "scaled".

    constants: names and shapes of int32 constants.
    total: emits the block that makes `maximum` and `total` (int32[1, 1]) and `exponentials` of a row of `data`.
    """
    rows, depth = shape
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        buffers = {"data": T.arg("data", T.buffer(shape, "int8"))}
        buffers |= {name: T.arg(name, T.buffer(extents, "int32")) for name, extents in constants.items()}
        buffers["output"] = T.arg("output", T.buffer(shape, "int8"))
        with T.sblock("root"):
            for name, columns in (("maximum", 1), ("total", 1), ("factor", 2)):
                buffers[name] = allocate(name, (1, columns), "int32")
            buffers["exponentials"] = allocate("exponentials", (1, depth), "int32")
            with T.serial(0, rows) as r:
                with T.sblock("total"):
                    total(buffers, T.axis.spatial(rows, r))
                with T.sblock("factor"):
                    _factor(buffers["total"], buffers["factor"])
                with T.sblock("scaled"):
                    row = T.axis.spatial(rows, r)
                    scale_block(depth, buffers["exponentials"], buffers["factor"], buffers["output"], row)
    return builder.get()


def _factor(total: Any, factor: Any) -> None:
    T.reads(total[0:1, 0:1])
    T.writes(factor[0:1, 0:2])
    exponent = OUTPUT_EXPONENT - count_leading_zeros_expr(total[0, 0])
    # Shifted by 32 and more nothing is left.
    inverse = T.if_then_else(exponent < 32, reciprocal_expr(total[0, 0]), 0)
    T.buffer_store(factor, inverse, [0, 0])
    T.buffer_store(factor, T.bitwise_and(exponent, 31), [0, 1])
