"""One layer of a lowered model: which function computes it, from what, and what else could."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvm_tinyml.memory import InPlace

from ..dialect.bounds import InputBounds
from .tensorir import Scratch


@dataclass(frozen=True)
class Alternative:
    """One of the schedules that a layer could have: estimates, whether it was taken, and why or why not.

    instructions: of one inference, estimated; None when the schedule has no estimate.
    counted_instructions: the same as counted, where candidates were run.
    code_bytes: with all its micro-kernels, which other layers may share.
    parts: the estimated instructions by what they are spent on (`schedules.Parts`), where the schedule knows.
    """

    schedule: str
    instructions: int | None
    counted_instructions: int | None
    code_bytes: int
    scratch_bytes: int
    taken: bool
    reason: str
    parts: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Layer:
    """One call in execution order.

    arguments: names of activations and of constants, in the order of the C function's parameters; the output and
        `scratch` follow them.
    alternatives: the schedules that could be taken, the fastest first.
    share_inside: part of the multiply-accumulates whose operands are not padding.
    inplace: inputs that the output may take the place of, beside what the order in the function allows.
    can_fail: its function returns a status, which ends the inference unless it is 0.
    bounds: what a region of the output reads of each activation, by its name.
    scratch: buffers of the arena that only this layer uses, in the order of the function's parameters.
    """

    index: int
    name: str
    operator: str
    function: str
    schedule: str
    arguments: tuple[str, ...]
    output: str
    scratch: tuple[Scratch, ...]
    macs: int
    attributes: Mapping[str, Any]
    alternatives: tuple[Alternative, ...] = ()
    share_inside: float = 1.0
    inplace: tuple[InPlace, ...] = ()
    can_fail: bool = False
    bounds: tuple[tuple[str, InputBounds], ...] = ()
