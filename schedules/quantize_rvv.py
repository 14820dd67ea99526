"""RVV schedule of quantize: each element counts the thresholds that it reaches.

The thresholds are found by bisection over the bit patterns of all floating-point numbers, with the arithmetic of
TFLite's QUANTIZE, so that results are the same to the last number; soft floating point needs hundreds of instructions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.description import allocate
from .intrinsics.rvv.thresholds import THRESHOLDS, QuantizeTile
from .kernel import Array, Candidate, Kernel, Problem

# Bit pattern of infinity: larger patterns are not numbers.
INFINITY = 0x7F800000


def schedule_quantize_rvv(problem: Problem) -> Candidate | None:
    """Schedule quantize to 8 bits on cores with RVV; None for other operators, types and cores."""
    attrs = problem.attrs
    if (
        problem.operator != "quantize"
        or "rvv" not in problem.features
        or attrs["dtype"] not in ("int8", "uint8")
    ):
        return None
    elements = problem.outputs
    lowest = int(np.iinfo(attrs["dtype"]).min)
    tile = QuantizeTile(elements, lowest)
    return Candidate(
        rule="RVV quantize",
        instructions=tile.assemble().executed,
        build=lambda: _build(tile, attrs),
        micro_kernels=lambda: (tile.micro_kernel(),),
    )


def _build(tile: QuantizeTile, attrs: Mapping[str, Any]) -> Kernel:
    sch = s_tir.Schedule(_function(tile, attrs["dtype"]))
    sch.tensorize(sch.get_sblock("tile"), tile.register(attrs["dtype"]))
    table = thresholds(attrs).reshape(1, THRESHOLDS)
    return Kernel(sch.mod["main"], {"table": table}, (tile.micro_kernel(),))


def thresholds(attrs: Mapping[str, Any]) -> Array:
    """Keys of the smallest numbers that reach each result but the lowest, int32[255]; INT32_MAX: out of reach.

    attrs: the attributes of a quantize to int8 or uint8.
    """
    limits = np.iinfo(attrs["dtype"])
    results = np.arange(limits.min + 1, limits.max + 1)
    low = np.full(results.shape, -INFINITY - 1, np.int64)
    high = np.full(results.shape, INFINITY + 1, np.int64)
    while (low < high).any():
        middle = (low + high) >> 1
        numbers = _bits(np.minimum(middle, INFINITY)).view(np.float32)
        reached = (_quantized(numbers, attrs) >= results) | (middle > INFINITY)
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    keys: Array = np.where(low > INFINITY, np.iinfo(np.int32).max, low).astype(np.int32)
    return keys


def _quantized(numbers: Array, attrs: Mapping[str, Any]) -> Array:
    """Results before saturation, int64: a division in single precision, ties away from zero."""
    with np.errstate(over="ignore"):
        quotient = numbers / np.float32(attrs["scale"])
    # Saturates with any zero point.
    bounded = np.clip(quotient, np.float32(-(2**17)), np.float32(2**17)).astype(np.float64)
    rounded: Array = np.copysign(np.floor(np.abs(bounded) + 0.5), bounded).astype(np.int64)
    return rounded + int(attrs["zero_point"])


def _bits(keys: Array) -> Array:
    """Bit patterns of keys, int32: those of negative numbers inverted but for the sign."""
    narrow = keys.astype(np.int32)
    patterns: Array = np.where(narrow < 0, narrow ^ np.int32(0x7FFFFFFF), narrow)
    return patterns


def _function(tile: QuantizeTile, dtype: str) -> Any:
    row = (1, tile.elements)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        data = T.arg("data", T.buffer(row, "float32"))
        table = T.arg("table", T.buffer((1, THRESHOLDS), "int32"))
        output = T.arg("output", T.buffer(row, dtype))
        with T.sblock("root"):
            counts = allocate("counts", row, "int32")
            with T.sblock("tile"):
                tile.block(data, table, counts, output)
    return builder.get()
