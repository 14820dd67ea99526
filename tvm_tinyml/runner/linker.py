"""From a board's memory map to a linker script, and from a linker's overflow to a readable error."""

from __future__ import annotations

import re

from tvm_tinyml.errors import BuildError, RunError
from tvm_tinyml.resources import data_dir
from tvm_tinyml.target import BoardConfig, MemoryRegion

STACK_ALIGNMENT = 16

_MAX_DEFAULT_STACK_BYTES = 64 * 1024
_DEFAULT_STACK_SHARE = 8

_OVERFLOW = re.compile(r"region [`']([^'`]+)' overflowed by (\d+) bytes")


def default_stack_bytes(board: BoardConfig) -> int:
    """Return the stack a program gets by default: an eighth of its RAM, at most 64 KiB."""
    return min(_role(board.data_region, board).length // _DEFAULT_STACK_SHARE, _MAX_DEFAULT_STACK_BYTES)


def linker_script(board: BoardConfig, stack_bytes: int) -> str:
    """Return the GNU ld script for `board` with a stack of `stack_bytes`."""
    if stack_bytes <= 0 or stack_bytes % STACK_ALIGNMENT:
        raise RunError(
            f"a stack of {stack_bytes} bytes is not possible; give a positive multiple of {STACK_ALIGNMENT}"
        )
    lines = ["MEMORY {"]
    for region in board.memory:
        access = "rx" if region.kind == "rom" else "rw"
        lines.append(
            f"    {region.name} ({access}) : ORIGIN = {region.origin:#x}, LENGTH = {region.length:#x}"
        )
    lines.append("}")
    roles = {
        "CODE_ROM": board.code_region,
        "CONSTANT_ROM": board.constants_region,
        "STACK_RAM": board.data_region,
        "ARENA_RAM": board.arena_region,
    }
    lines += [f'REGION_ALIAS("{role}", {_role(region, board).name})' for role, region in roles.items()]
    template = (data_dir("runtime_c") / "boards" / "link.ld.in").read_text(encoding="utf-8")
    return template.replace("@MEMORY@", "\n".join(lines)).replace("@STACK_BYTES@", str(stack_bytes))


def _role(region: MemoryRegion | None, board: BoardConfig) -> MemoryRegion:
    if region is None:
        raise RunError(f"board {board.name} has no memory map: it cannot run bare-metal programs")
    return region


def overflow_error(complaint: str, board: BoardConfig, model: str, arena_bytes: int) -> BuildError | None:
    """Return the error for a program that does not fit, or None when `complaint` is about something else.

    It states needed and available bytes of each region that overflowed.
    """
    excess = dict(_OVERFLOW.findall(complaint))
    if not excess:
        return None
    regions = {region.name: region for region in board.memory}
    parts = []
    kinds = set()
    for name, overflow in excess.items():
        region = regions[name]
        kinds.add(region.kind)
        needed = region.length + int(overflow)
        parts.append(f"{region.kind.upper()} region {name} needs {needed} bytes and has {region.length}")
    remedies = ["choose a board with more memory"]
    if "ram" in kinds:
        parts.append(f"the arena alone takes {arena_bytes} bytes")
        remedies.append("a smaller model or input, or a smaller stack")
    else:
        remedies.append("a smaller model")
    return BuildError(
        f"model {model} does not fit on board {board.name}: {'; '.join(parts)}; {', '.join(remedies)}"
    )
