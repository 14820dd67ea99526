"""From an optimized module to loops and their memory: schedules are chosen so that what they take fits.

Scratch lies in the arena between the tensors. A layer may use what the tensors of its step leave free of the RAM, and
of what the tensors of the whole network need at once plus `SCRATCH_BYTES`. What code the flash leaves room for, and the
objective, are the selection's business (`schedules/selection.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .codegen import LoweredModel
from .lower import Lowering
from .memory import MemoryPlan, plan, scratch_room
from .memory.program import Program
from .patch import PatchPlan
from .schedules import Choice, select
from .target import TargetConfig

# Bytes that the scratch of fast schedules may add to what the tensors need.
SCRATCH_BYTES = 5 * 1024
# Bytes of code that are not layers: the entry function, start-up code.
OTHER_CODE_BYTES = 2500


def lower_and_plan(
    module: Any, config: TargetConfig, patch: PatchPlan | None = None, *, keep_all: bool
) -> tuple[LoweredModel, Program, MemoryPlan]:
    """Choose a schedule for every layer of a cleaned-up module, build them and plan the arena.

    patch: the plan whose order the module has, if any.
    keep_all: as in `memory.plan`.
    """
    lowering = Lowering(module, config, patch)
    outline = lowering.outline.program(config.alignment, io_in_arena=config.io == "arena")
    free = scratch_room(outline, SCRATCH_BYTES, config.ram_bytes)
    room = [free[call] for call in lowering.outline.call_of_layer]
    choices = _choose(lowering, config, room)
    planned = _planned(lowering, choices, config, keep_all=keep_all)
    # What the tensors of a step leave free may lie in pieces: give up as much scratch as the plan is too large.
    excess = planned[2].arena_bytes - (config.ram_bytes or planned[2].arena_bytes)
    if excess > 0 and not keep_all:
        fewer = _choose(lowering, config, [one - excess for one in room])
        if any(new.taken != old.taken for new, old in zip(fewer, choices, strict=True)):
            return _planned(lowering, fewer, config, keep_all=keep_all)
    return planned


def _choose(lowering: Lowering, config: TargetConfig, room: Sequence[int]) -> list[Choice]:
    limit = None
    if config.flash_bytes is not None:
        limit = config.flash_bytes - lowering.constant_bytes - OTHER_CODE_BYTES
    return select(lowering.candidates, config.opt, scratch=room, code_limit=limit)


def _planned(
    lowering: Lowering, choices: Sequence[Choice], config: TargetConfig, *, keep_all: bool
) -> tuple[LoweredModel, Program, MemoryPlan]:
    model = lowering.build(choices)
    program = model.program(config.alignment, io_in_arena=config.io == "arena")
    return model, program, plan(program, method=config.planner, keep_all=keep_all)
