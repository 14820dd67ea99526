"""Schedules of functions whose blocks are to be tensorized."""

from __future__ import annotations

from typing import Any

from tvm import ir, s_tir
from tvm.s_tir.transform import StmtSimplify


def tensorizable(function: Any) -> Any:
    """Schedule of a function brought to the form that descriptions of intrinsics are compared in.

    Tensorize simplifies descriptions (loops of one iteration, sums with constants) but not what they must match.
    """
    return s_tir.Schedule(StmtSimplify()(ir.IRModule({"main": function})))
