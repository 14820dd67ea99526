"""From every spelling of a target to a TargetConfig.

Spellings: "tinyml -mcpu=cortex-m55 -ram=64K", the tag "tinyml/cortex-m55" (options may follow it), a dict of
the same options, a tvm.target.Target of kind "c", or a TargetConfig. An option given twice, an unknown one
and a combination that cannot exist are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tvm_tinyml.errors import TargetError
from tvm_tinyml.target.catalogue import Catalogue, load_catalogue
from tvm_tinyml.target.choices import require_choice
from tvm_tinyml.target.config import (
    INPUT_MODES,
    INPUT_OUTPUT,
    OBJECTIVES,
    PLANNER_METHODS,
    ROUNDINGS,
    InputMode,
    InputOutput,
    Objective,
    PlannerMethod,
    Rounding,
    TargetConfig,
    default_rounding,
)
from tvm_tinyml.target.hardware import COMPILERS, BoardConfig, Compiler, CoreConfig
from tvm_tinyml.target.sizes import check_size, format_size, parse_size

if TYPE_CHECKING:
    from tvm.target import Target

OPTIONS = (
    "mcpu",
    "board",
    "compiler",
    "ram",
    "flash",
    "rounding",
    "io",
    "input",
    "planner",
    "opt",
    "without",
    "npu",
    "npu-memory",
    "npu-ignore",
)
"""Options of a target string; a dict has the same names as keys."""

_TAG_PREFIX = "tinyml/"
_FORM = 'write "tinyml -mcpu=<core> [-option=value ...]" or "tinyml/<core>"'


def parse_target(
    spec: str | Mapping[str, Any] | Target | TargetConfig, *, search_path: Iterable[str | Path] | None = None
) -> TargetConfig:
    """Return the validated TargetConfig of `spec`.

    `search_path`: folders with further cores/ and boards/ files; by default those of TVM_TINYML_TARGET_PATH.
    TargetError says what is wrong and lists what is valid.
    """
    if isinstance(spec, TargetConfig):
        return spec
    if isinstance(spec, str):
        options: dict[str, Any] = _read_string(spec)
    elif isinstance(spec, Mapping):
        options = _read_mapping(spec)
    elif _is_tvm_target(spec):
        options = _read_tvm(spec.kind.name, str(spec.tag), dict(spec.attrs))
    else:
        raise TargetError(f"a target cannot be of type {type(spec).__name__}; {_FORM}")
    return _build(options, load_catalogue(search_path))


def _is_tvm_target(spec: object) -> bool:
    # Without an imported TVM there are no Target objects, and importing it only to ask would take a second.
    tvm = sys.modules.get("tvm")
    return tvm is not None and isinstance(spec, tvm.target.Target)


def _read_string(spec: str) -> dict[str, Any]:
    words = spec.split()
    if not words:
        raise TargetError(f"the target is empty; {_FORM}")
    if words[0] == "tinyml":
        words = words[1:]
    elif words[0].startswith(_TAG_PREFIX):
        words[0] = f"-mcpu={words[0].removeprefix(_TAG_PREFIX)}"
    else:
        raise TargetError(f"target {spec!r} does not start with tinyml; {_FORM}")
    options: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.removeprefix("-").partition("=")
        if not word.startswith("-") or not equals or not value:
            raise TargetError(f"target {spec!r}: {word!r} is not of the form -option=value; {_FORM}")
        _check_option(name)
        if name in options:
            raise TargetError(f"target {spec!r}: -{name} is given twice")
        options[name] = value
    return options


def _check_option(name: str) -> None:
    require_choice("target option", name, OPTIONS)


def _read_mapping(spec: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(spec)
    kind = fields.pop("kind", "tinyml")
    if kind != "tinyml":
        return _read_tvm(kind, str(fields.pop("tag", "")), fields)
    options = _read_string(str(fields.pop("tag"))) if "tag" in fields else {}
    for name, value in fields.items():
        _check_option(str(name))
        if name in options:
            raise TargetError(f"target: {name!r} is given twice, in the tag and beside it")
        if value is not None:
            options[name] = value
    return options


def _read_tvm(kind: Any, tag: str, fields: dict[str, Any]) -> dict[str, Any]:
    if kind != "c":
        raise TargetError(f'target kind {kind!r} is not supported: use kind "c" with an mcpu')
    mcpu = fields.pop("mcpu", None)
    unused = [name for name in fields if name != "keys" and not str(name).startswith("feature.")]
    if unused:
        raise TargetError(f'target: {unused[0]!r} is not used here; a target of kind "c" takes mcpu and tag')
    options = _read_string(tag) if tag else {}
    if mcpu is not None and options.setdefault("mcpu", str(mcpu)) != str(mcpu):
        raise TargetError(f"target: mcpu {mcpu} contradicts the tag {tag!r}")
    return options


def _build(options: dict[str, Any], catalogue: Catalogue) -> TargetConfig:
    for name, value in options.items():
        if not isinstance(value, str) and not (name in ("ram", "flash") and type(value) is int):
            raise TargetError(f"target option {name!r}: {value!r} is not a string")
    named_board = catalogue.board(options["board"]) if "board" in options else None
    core = _core(options.get("mcpu"), named_board, catalogue)
    board = named_board or (catalogue.boards[core.default_board] if core.default_board else None)
    if named_board is not None and core.name not in named_board.cores:
        raise TargetError(
            f"board {named_board.name} has {' or '.join(named_board.cores)}, not {core.name}; "
            f"boards with {core.name}: {', '.join(catalogue.boards_with(core.name)) or 'none'}"
        )
    compiler = require_choice("compiler", options.get("compiler", core.default_compiler), COMPILERS)
    npu = catalogue.npu(options["npu"]) if "npu" in options else None
    return TargetConfig(
        core=core,
        board=board.for_core(core) if board else None,
        compiler=cast(Compiler, compiler),
        ram_bytes=_budget("ram", options, named_board, named_board.ram_bytes if named_board else None),
        flash_bytes=_budget("flash", options, named_board, named_board.flash_bytes if named_board else None),
        rounding=cast(
            Rounding, _choice("rounding", {"rounding": default_rounding(npu)} | options, ROUNDINGS)
        ),
        io=cast(InputOutput, _choice("io", options, INPUT_OUTPUT)),
        input=cast(InputMode, _choice("input", options, INPUT_MODES)),
        planner=cast(
            PlannerMethod, require_choice("planner", options.get("planner", "auto"), PLANNER_METHODS)
        ),
        opt=cast(Objective, _choice("opt", options, OBJECTIVES)),
        without=_names(options, "without"),
        npu=npu,
        npu_memory=options.get("npu-memory", npu.memory_modes[0] if npu else ""),
        npu_ignore=tuple(name.upper() for name in _names(options, "npu-ignore")),
    )


def _names(options: dict[str, Any], option: str) -> tuple[str, ...]:
    """Names separated by commas, sorted."""
    return tuple(sorted(set(filter(None, options.get(option, "").split(",")))))


def _choice(option: str, options: dict[str, Any], valid: tuple[str, ...]) -> str:
    return require_choice(option, options.get(option, valid[0]), valid)


def _core(mcpu: str | None, board: BoardConfig | None, catalogue: Catalogue) -> CoreConfig:
    if mcpu is not None:
        return catalogue.core(mcpu)
    if board is None:
        raise TargetError(f"-mcpu is missing; cores: {', '.join(catalogue.cores)}")
    if len(board.cores) > 1:
        raise TargetError(f"board {board.name} can have {' or '.join(board.cores)}; say which with -mcpu")
    return catalogue.cores[board.core]


def _budget(option: str, options: dict[str, Any], board: BoardConfig | None, limit: int | None) -> int | None:
    value = options.get(option)
    if value is None:
        return limit
    budget = check_size(value, f"-{option}") if isinstance(value, int) else parse_size(value, f"-{option}")
    if board is not None and limit is not None and budget > limit:
        raise TargetError(f"-{option}={format_size(budget)}, but board {board.name} has {format_size(limit)}")
    return budget
