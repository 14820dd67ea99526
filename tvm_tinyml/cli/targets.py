"""`tvm-tinyml targets`: the cores, boards and options a target string may name."""

from __future__ import annotations

import click

from tvm_tinyml.target import OPTIONS, list_boards, list_cores, list_npus
from tvm_tinyml.target.config import INPUT_MODES, INPUT_OUTPUT, OBJECTIVES, PLANNER_METHODS, ROUNDINGS
from tvm_tinyml.target.hardware import COMPILERS, NPU_MEMORY_MODES, describe_region

from .common import json_option, print_facts, print_json, print_table

# What each option means, and the values of those that are a choice.
MEANINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mcpu": ("core, see above", ()),
    "board": ("board, see above; sets the memory budgets", ()),
    "compiler": ("C compiler; the default depends on the core", COMPILERS),
    "ram": ("bytes that arena and stack may take, for example 64K", ()),
    "flash": ("bytes code and constants may take, for example 512K", ()),
    "rounding": (
        f"rounding as LiteRT's reference kernels or as TFLite Micro; default {ROUNDINGS[0]}, with an NPU tflm",
        ROUNDINGS,
    ),
    "io": (
        f"whether inputs and outputs lie in the arena or in the caller's buffers; default {INPUT_OUTPUT[0]}",
        INPUT_OUTPUT,
    ),
    "input": (
        "whether inputs lie in memory until they are read, or to the end, or are fetched on demand, in whole rows or "
        "in the rectangles that strips need; "
        f"default {INPUT_MODES[0]}",
        INPUT_MODES,
    ),
    "planner": (f"how the arena is planned; default {PLANNER_METHODS[0]}", PLANNER_METHODS),
    "opt": (f"what schedules are chosen for; default {OBJECTIVES[0]}", OBJECTIVES),
    "without": ("graph passes to leave out, separated by commas: to see what one brings", ()),
    "npu": ("NPU, see above; computes what Vela accepts", ()),
    "npu-memory": (
        "where the NPU finds weights and tensors; the default depends on the NPU",
        NPU_MEMORY_MODES,
    ),
    "npu-ignore": ("TFLite operators that stay on the CPU all the same, separated by commas", ()),
}


@click.command("targets")
@json_option
def targets_command(as_json: bool) -> None:
    """List cores, boards, NPUs and target options."""
    cores, boards, npus = list_cores(), list_boards(), list_npus()
    if as_json:
        print_json(
            {
                "cores": {
                    core.name: {
                        "title": core.title,
                        "family": core.family,
                        "features": sorted(core.features),
                        "default_board": core.default_board,
                        "compilers": list(core.flags),
                        "default_compiler": core.default_compiler,
                    }
                    for core in cores
                },
                "boards": {
                    board.name: {
                        "title": board.title,
                        "cores": list(board.cores),
                        "runner": board.runner,
                        "ram_bytes": board.ram_bytes,
                        "flash_bytes": board.flash_bytes,
                        "memory": [describe_region(region) for region in board.memory],
                    }
                    for board in boards
                },
                "npus": {
                    npu.name: {
                        "title": npu.title,
                        "macs": npu.macs,
                        "memory_modes": list(npu.memory_modes),
                        "functional_model": npu.functional_model,
                    }
                    for npu in npus
                },
                "options": {
                    name: {"meaning": MEANINGS[name][0], "values": list(MEANINGS[name][1])}
                    for name in OPTIONS
                },
            }
        )
        return
    print_table(
        "Cores (-mcpu=)",
        ("core", "features", "compilers", "default board"),
        [(c.name, " ".join(sorted(c.features)), " ".join(c.flags), c.default_board) for c in cores],
    )
    print_table(
        "Boards (-board=)",
        ("board", "what", "core", "runs here", "RAM (bytes)", "flash (bytes)"),
        [
            (b.name, b.title, " ".join(b.cores), b.runner != "none", b.ram_bytes, b.flash_bytes)
            for b in boards
        ],
    )
    print_table(
        "NPUs (-npu=)",
        ("NPU", "what", "memory modes", "runs here"),
        [(npu.name, npu.title, " ".join(npu.memory_modes), npu.functional_model) for npu in npus],
    )
    click.echo('Options of a target string, "tinyml -mcpu=cortex-m55 -ram=64K ...":')
    print_facts({f"  -{name}=": _meaning(name) for name in OPTIONS})


def _meaning(option: str) -> str:
    meaning, values = MEANINGS[option]
    return f"{'|'.join(values)}: {meaning}" if values else meaning
