"""TensorIR to C: the pass order that turns scheduled functions into bare C99, and the text TVM prints for them.

One of the thin modules that touch TVM's unstable Python API. The passes follow TVM's own s_tir pipeline without
everything that serves its runtime (packed functions, host/device split, built-in lowering).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import ir
from tvm.s_tir import transform as s_tir_transform
from tvm.tirx import transform as tirx_transform

from .clamp_windows import ClampWindows
from .pointer_parameters import PointerParameters
from .tidy import tidy

_PREAMBLE_END = "__tvm_ffi__library_ctx"
# Stack a layer function may use for register tiles and row temporaries; anything larger belongs in the arena.
MAX_LOCAL_BYTES = 512
_LOCAL_ARRAY = re.compile(r"^\s+(?:u?int(\d+)_t|float) \w+\[(\d+)\];$", re.MULTILINE)


@dataclass(frozen=True)
class CFunction:
    """One printed function: its C signature (without a semicolon) and its braced body."""

    symbol: str
    signature: str
    body: str


def _passes() -> Sequence[Any]:
    return (
        s_tir_transform.CanonicalizeLoop(),
        s_tir_transform.LowerInitBlock(),
        s_tir_transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir_transform.ConvertBlocksToOpaque(),
        s_tir_transform.CompactBufferAllocation(),
        s_tir_transform.LowerMatchBuffer(),
        tirx_transform.StmtSimplify(),
        s_tir_transform.LowerOpaqueBlock(),
        tirx_transform.FlattenBuffer(),
        tirx_transform.NarrowDataType(32),
        tirx_transform.StmtSimplify(),
        # Before unrolling, so that a guard shared by a tile is solved once for all of it.
        ClampWindows,
        s_tir_transform.LoopPartition(),
        tirx_transform.VectorizeLoop(),
        tirx_transform.StorageRewrite(),
        s_tir_transform.HoistIfThenElse(),
        tirx_transform.UnrollLoop(),
        s_tir_transform.RenormalizeSplitPattern(),
        tirx_transform.StmtSimplify(),
        tirx_transform.RemoveNoOp(),
        s_tir_transform.RewriteUnsafeSelect(),
        tirx_transform.CommonSubexprElim(),
        PointerParameters,
        tirx_transform.LowerIntrin(),
    )


def print_functions(functions: Mapping[str, Any], target: Any) -> dict[str, CFunction]:
    """Lower scheduled TensorIR functions and print them as C.

    functions: C symbol to PrimFunc; the last parameter of each is its output, all others are read only.
    target: TVM target of kind "c".
    Raises ValueError when a function would put more than MAX_LOCAL_BYTES on the stack.
    """
    printed = {}
    for symbol, func in functions.items():
        named = func.with_attr("global_symbol", symbol)
        module = tirx_transform.BindTarget(target)(ir.IRModule({symbol: named}))
        module = tvm.transform.Sequential(_passes())(module)
        source = tvm.get_global_func("target.build.c")(module, target).inspect_source()
        printed[symbol] = _parse(symbol, source)
    return printed


def _parse(symbol: str, source: str) -> CFunction:
    """Cut one function out of TVM's output and qualify its pointers."""
    # A forward declaration comes first; the definition is the last mention.
    code = source[source.index(_PREAMBLE_END) :]
    start = code.rindex(f"void {symbol}(")
    opening = code.index("{", start)
    parameters = code[start:opening].strip()[len(f"void {symbol}(") : -1].split(", ")
    *inputs, output = parameters
    qualified = [*(f"const {_restrict(parameter)}" for parameter in inputs), _restrict(output)]
    body = code[opening:].rstrip()
    used = sum(int(count) * int(bits or 32) // 8 for bits, count in _LOCAL_ARRAY.findall(body))
    if used > MAX_LOCAL_BYTES:
        raise ValueError(
            f"{symbol} needs {used} bytes of stack for temporaries, the limit is {MAX_LOCAL_BYTES}"
        )
    return CFunction(symbol, f"void {symbol}({', '.join(qualified)})", tidy(body))


def _restrict(parameter: str) -> str:
    kind, name = parameter.rsplit(" ", 1)
    return f"{kind.rstrip('*')} *restrict {name}"
