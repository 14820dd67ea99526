"""Static memory planning: one arena, every offset known at compile time.

A `Program` lists tensors and steps; `plan` gives offsets; `verify` replays the program to check them; `explain`,
`draw_text` and `draw_svg` show the result.
"""

from __future__ import annotations

from tvm_tinyml.memory.explanation import explain
from tvm_tinyml.memory.liveness import Lifetime, lifetimes
from tvm_tinyml.memory.memory_plan import MemoryPlan
from tvm_tinyml.memory.planner import plan, plan_in_pieces
from tvm_tinyml.memory.program import InPlace, Program, Step, Tensor
from tvm_tinyml.memory.room import live_bytes, scratch_room
from tvm_tinyml.memory.svg_map import draw_svg
from tvm_tinyml.memory.text_map import draw_text
from tvm_tinyml.memory.verifier import verify

__all__ = [
    "InPlace",
    "Lifetime",
    "MemoryPlan",
    "Program",
    "Step",
    "Tensor",
    "draw_svg",
    "draw_text",
    "explain",
    "lifetimes",
    "live_bytes",
    "plan",
    "plan_in_pieces",
    "scratch_room",
    "verify",
]
