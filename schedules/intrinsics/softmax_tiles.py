"""Softmax of a row in two tiles, as kernels of vector cores describe them: exponentials and their sum; scaled ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from tvm_tinyml.dialect.softmax import SUM_INTEGER_BITS

from .description import nest, register


@contextmanager
def summed(data: Any, maximum: Any, total: Any, exponentials: Any, row: Any) -> Iterator[None]:
    """Emit the maximum of a row of data, then what the body emits, then the sum of what it has left in exponentials.

    maximum and total int32[1, 1]; exponentials int32[1, depth] in Q0.31.
    """
    depth = int(exponentials.shape[1])
    with nest("start", ()):
        T.buffer_store(maximum, -128, [0, 0])
    with nest("maximum", (), (depth,)) as (k,):
        T.buffer_store(maximum, T.max(maximum[0, 0], T.Cast("int32", data[row, k])), [0, 0])
    with nest("clear", ()):
        T.buffer_store(total, 0, [0, 0])
    yield
    with nest("sum", (), (depth,)) as (k,):
        rounded = T.call_pure_extern(
            "int32", "tinyml_shift_right_rounding", exponentials[0, k], SUM_INTEGER_BITS
        )
        T.buffer_store(total, total[0, 0] + rounded, [0, 0])


def scale_block(depth: int, exponentials: Any, factor: Any, output: Any, row: Any) -> None:
    """Emit the tile as a TensorIR block that makes row `row` of output.

    exponentials int32[1, depth] in Q0.31; factor int32[1, 2]: a factor in Q0.31, and a shift to the right below 32.
    """
    T.reads(exponentials[0:1, 0:depth], factor[0:1, 0:2])
    T.writes(output[row, 0:depth])
    with nest("scale", (depth,)) as (k,):
        product = T.call_pure_extern("int32", "tinyml_multiply_high", exponentials[0, k], factor[0, 0])
        scaled = T.call_pure_extern("int32", "tinyml_shift_right_rounding", product, factor[0, 1])
        T.buffer_store(output, T.Cast("int8", T.max(T.min(scaled - 128, 127), -128)), [row, k])


def register_scale(kernel: str, depth: int) -> str:
    """Register the tile for `kernel`, called with exponentials, factor, output and depth; return its name."""
    row = (1, depth)
    return register(
        f"{kernel}_{depth}",
        {"exponentials": (row, "int32"), "factor": ((1, 2), "int32"), "output": (row, "int8")},
        lambda exponentials, factor, output: scale_block(depth, exponentials, factor, output, 0),
        lambda exponentials, factor, output: [
            exponentials.access_ptr("r"),
            factor.access_ptr("r"),
            output.access_ptr("w"),
            depth,
        ],
        kernel=kernel,
        written=1,
    )
