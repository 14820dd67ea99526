"""TensorIR to C: the pass order that turns scheduled functions into bare C99, and the text TVM prints for them.

One of the thin modules that touch TVM's unstable Python API. The passes follow TVM's own s_tir pipeline without
everything that serves its runtime (packed functions, host/device split, built-in lowering).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tvm
from tvm import ir
from tvm.s_tir import transform as s_tir_transform
from tvm.tirx import transform as tirx_transform

from .access_order import Touch, touches
from .clamp_windows import ClampWindows
from .overlap import Overlap, overlap_of
from .pointer_parameters import SCRATCH_ATTR, PointerParameters
from .tidy import tidy

_PREAMBLE_END = "__tvm_ffi__library_ctx"


@dataclass(frozen=True)
class Scratch:
    """Memory a function needs while it runs: the name of its parameter and the size in bytes."""

    name: str
    nbytes: int


@dataclass(frozen=True)
class LoweredFunction:
    """A function after the last pass: ready to print, its need of scratch known.

    scheduled: what it was lowered from.
    """

    symbol: str
    module: Any
    scratch: tuple[Scratch, ...]
    target: Any
    scheduled: Any

    @cached_property
    def touches(self) -> Sequence[Touch] | None:
        """In which order it reads and writes its buffers; None where that is not derived."""
        return touches(self.scheduled)

    @cached_property
    def overlaps(self) -> tuple[Overlap | None, ...]:
        """How far the output may reach into each input, in the order of the parameters."""
        *inputs, output = self.parameters
        if self.touches is None:
            return (None,) * len(inputs)
        return tuple(overlap_of(self.touches, name, output) for name in inputs)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the buffers, the output last, without scratch."""
        return tuple(str(parameter.name) for parameter in self.scheduled.params)


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


def lower_function(symbol: str, func: Any, target: Any) -> LoweredFunction:
    """Lower a scheduled TensorIR function; its last parameter is the output, all others are read only.

    target: TVM target of kind "c".
    """
    module = tirx_transform.BindTarget(target)(ir.IRModule({symbol: func.with_attr("global_symbol", symbol)}))
    module = tvm.transform.Sequential(_passes())(module)
    (lowered,) = (function for _, function in module.functions_items())
    rows = [str(row).rsplit(":", 1) for row in lowered.attrs[SCRATCH_ATTR]]
    scratch = tuple(Scratch(name, int(size)) for name, size in rows)
    return LoweredFunction(symbol, module, scratch, target, func)


def print_function(function: LoweredFunction, *, overlapping: bool = False) -> CFunction:
    """Print a lowered function as C.

    overlapping: somebody calls it with an output that lies over an input, so that neither pointer is the only one.
    """
    source = tvm.get_global_func("target.build.c")(function.module, function.target).inspect_source()
    symbol = function.symbol
    code = source[source.index(_PREAMBLE_END) :]
    # A forward declaration comes first; the definition is the last mention.
    start = code.rindex(f"void {symbol}(")
    opening = code.index("{", start)
    parameters = code[start:opening].strip()[len(f"void {symbol}(") : -1].split(", ")
    inputs = len(parameters) - 1 - len(function.scratch)
    qualified = [
        f"{'const ' if index < inputs else ''}{_pointer(parameter, restrict=index > inputs or not overlapping)}"
        for index, parameter in enumerate(parameters)
    ]
    return CFunction(symbol, f"void {symbol}({', '.join(qualified)})", tidy(code[opening:].rstrip()))


def _pointer(parameter: str, *, restrict: bool) -> str:
    kind, name = parameter.rsplit(" ", 1)
    return f"{kind.rstrip('*')} *{'restrict ' if restrict else ''}{name}"
