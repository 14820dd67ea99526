"""The rooms of docs/architecture.md: every import goes to a room below, and libraries stay where they belong."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tvm_tinyml"

# Room -> rooms it may import, lowest floor first. A room that is missing here makes the tests fail.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "resources": set(),
    "output": {"errors"},
    "dialect": set(),
    "schedules": {"dialect"},
    "target": {"errors", "resources"},
    "memory": {"errors"},
    "patch": {"dialect", "errors", "memory"},
    "codegen": {"dialect", "errors", "memory", "output", "patch", "resources", "target"},
    "runner": {"errors", "resources", "target"},
    "firmware": {"errors", "resources", "runner", "target"},
    "profile": {"errors", "runner", "target"},
    "frontend": {"dialect", "errors"},
    "quantization": {"errors", "frontend"},
    "ethosu": {"errors"},
    "transform": {"dialect", "errors", "memory", "patch"},
    "offload": {"dialect", "errors", "ethosu", "frontend", "target"},
    "lower": {"codegen", "dialect", "patch", "schedules", "target"},
    "choose": {"codegen", "dialect", "lower", "memory", "patch", "schedules", "target"},
    "costless": {"choose", "errors", "patch"},
    "pipeline": {
        "choose",
        "codegen",
        "costless",
        "errors",
        "lower",
        "memory",
        "offload",
        "patch",
        "target",
        "transform",
    },
    "module": {
        "choose",
        "codegen",
        "dialect",
        "errors",
        "firmware",
        "memory",
        "patch",
        "pipeline",
        "runner",
        "target",
        "transform",
    },
    "reference": {"dialect", "errors", "transform"},
    "relay": {"errors", "frontend", "module", "patch", "target"},
    "torch": {
        "errors",
        "frontend",
        "module",
        "patch",
        "pipeline",
        "quantization",
        "relay",
        "runner",
        "target",
        "transform",
    },
    "plugin": {"dialect", "frontend", "relay", "target"},
    "cli": {
        "dialect",
        "errors",
        "firmware",
        "frontend",
        "lower",
        "memory",
        "module",
        "output",
        "patch",
        "pipeline",
        "profile",
        "quantization",
        "reference",
        "relay",
        "runner",
        "target",
        "torch",
    },
    "__main__": {"cli"},
}

# Modules that may touch TVM's graph API, which moves between releases.
RELAX_MODULES = {
    "dialect/evaluate.py",
    "dialect/relax_api.py",
    "frontend/tflite/emitter.py",
    "lower.py",
    "relay.py",
    "transform/dataflow.py",
}

# Library -> rooms that may import it; the others may be imported everywhere.
LIBRARY_ROOMS = {
    "flatbuffers": {"frontend"},
    "tflite": {"frontend"},
    "onnx": {"frontend", "quantization"},
    "onnxruntime": {"quantization"},
    "torch": {"frontend", "torch"},
    "torchao": {"frontend", "torch"},
    "ethosu": {"ethosu"},
    "click": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"profile"},
    "scipy": {"torch"},
    "ai_edge_litert": {"reference"},
}
EVERYWHERE = {"numpy", "tvm", "tvm_ffi"}
STANDARD = sys.stdlib_module_names


def sources() -> list[Path]:
    """Every module of the package; schedules/ is linked into it and lies at the root."""
    return sorted([*PACKAGE.rglob("*.py"), *(ROOT / "schedules").rglob("*.py")])


def name_of(path: Path) -> str:
    """Path of a module below the package: "dialect/conv2d.py"."""
    base = PACKAGE if path.is_relative_to(PACKAGE) else ROOT
    return path.relative_to(base).as_posix()


def room_of(path: Path) -> str:
    """Room of a module; the package's own __init__ belongs to none."""
    return name_of(path).split("/")[0].removesuffix(".py")


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Full dotted names of everything a module imports, type-checking and deferred imports included."""
    package = ["tvm_tinyml", *name_of(path).split("/")[:-1]]
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found += [f"{module}.{alias.name}" for alias in node.names]
    return tuple(found)


def rooms_imported(path: Path) -> Iterator[str]:
    """Other rooms that a module imports."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "tvm_tinyml" and parts[1] not in (room_of(path), "__version__"):
            yield parts[1]


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert not list(rooms_imported(path))
        return
    assert room in ALLOWED, f"say in docs/architecture.md and here where {room} belongs"
    assert set(rooms_imported(path)) <= ALLOWED[room]


def test_schedules_know_the_meaning_of_operators_and_nothing_of_the_graph() -> None:
    # A fit is proven against an operator's NumPy semantics, and vectors compute with the dialect's arithmetic and its
    # formats; costs know how much of a window is padding. That is all of the dialect they may ask.
    arithmetic = ("fixed_point.", "fixed_functions.", "softmax.", "operator", "windows.share_inside")
    meaning = (*(f"tvm_tinyml.dialect.{part}" for part in arithmetic), "tvm_tinyml.schedules.")
    for path in sources():
        if room_of(path) == "schedules":
            for name in imports(path):
                assert name.startswith(meaning) or not name.startswith("tvm_tinyml."), (
                    f"{name_of(path)}: {name}"
                )


def test_no_arrow_runs_back_up() -> None:
    floors = list(ALLOWED)
    for room, allowed in ALLOWED.items():
        assert all(floors.index(other) < floors.index(room) for other in allowed), room


def test_every_permission_is_used() -> None:
    used: dict[str, set[str]] = {room: set() for room in ALLOWED}
    for path in sources():
        if room_of(path) in used:
            used[room_of(path)].update(rooms_imported(path))
    # The plugin names the modules behind the facade and the operators as text, to import them on first use.
    used["plugin"] |= {"dialect", "frontend", "relay"}
    assert used == ALLOWED


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    for name in imports(path):
        library = name.split(".")[0]
        if library in STANDARD or library in EVERYWHERE or library == "tvm_tinyml":
            continue
        assert room_of(path) in LIBRARY_ROOMS.get(library, set()), f"{name_of(path)} imports {library}"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_only_thin_modules_touch_relax(path: Path) -> None:
    uses_relax = any(name == "tvm.relax" or name.startswith("tvm.relax.") for name in imports(path))
    assert not uses_relax or name_of(path) in RELAX_MODULES


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_module_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    assert ast.get_docstring(ast.parse(text)), f"{name_of(path)} has no docstring"
