"""Targets: from "tinyml -mcpu=cortex-m55" to one frozen, validated TargetConfig.

Cores, boards and NPUs are data (cores/, boards/ and npus/ of target_configs/, one TOML file each); this package
reads and validates them, parses target strings, tags, dicts and TVM targets, and knows the compilers' command
lines. Importing it does not import TVM.
"""

from __future__ import annotations

from tvm_tinyml.target.catalogue import SEARCH_PATH_VARIABLE, Catalogue, load_catalogue
from tvm_tinyml.target.config import TargetConfig
from tvm_tinyml.target.hardware import (
    BoardConfig,
    CompilerSupport,
    CoreConfig,
    MemoryRegion,
    NpuConfig,
    QemuMachine,
)
from tvm_tinyml.target.parse import OPTIONS, parse_target
from tvm_tinyml.target.tags import register_tags

__all__ = [
    "OPTIONS",
    "SEARCH_PATH_VARIABLE",
    "BoardConfig",
    "Catalogue",
    "CompilerSupport",
    "CoreConfig",
    "MemoryRegion",
    "NpuConfig",
    "QemuMachine",
    "TargetConfig",
    "list_boards",
    "list_cores",
    "list_npus",
    "load_catalogue",
    "parse_target",
    "register_tags",
]


def list_cores() -> tuple[CoreConfig, ...]:
    """Return every known core, m4 before m33."""
    return tuple(load_catalogue().cores.values())


def list_boards() -> tuple[BoardConfig, ...]:
    """Return every known board by name; a board that takes several cores names them all in `cores`."""
    return tuple(load_catalogue().boards.values())


def list_npus() -> tuple[NpuConfig, ...]:
    """Return every known NPU, ethos-u55-32 first."""
    return tuple(load_catalogue().npus.values())
