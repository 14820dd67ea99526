"""Which functions of the product make micro-kernels, and which of them made those of a program that ran.

A maker is a function or method of `schedules/intrinsics/` whose result says `MicroKernel`. Names of micro-kernels hold
parameters, so they do not tell which kinds exist; the sources do.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from tvm_tinyml import schedules
from tvm_tinyml.schedules import MicroKernel

INTRINSICS = Path(schedules.__file__).resolve().parent / "intrinsics"


def makers() -> dict[tuple[str, int], str]:
    """Every maker, "file:function" or "file:Class.method", by its file below `INTRINSICS` and its first line."""
    found: dict[tuple[str, int], str] = {}
    for path in sorted(INTRINSICS.rglob("*.py")):
        file = path.relative_to(INTRINSICS).as_posix()
        for name, function in _functions(ast.parse(path.read_text()), ""):
            if function.returns is not None and "MicroKernel" in ast.unparse(function.returns):
                lines = [function.lineno, *(decorator.lineno for decorator in function.decorator_list)]
                found[file, min(lines)] = f"{file}:{name}"
    return found


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")


@contextmanager
def recorded_makers() -> Iterator[Mapping[str, set[str]]]:
    """The makers of each micro-kernel by its name, as it is made; schedules forget those that they made before."""
    forget_kernels()
    known = makers()
    made: dict[str, set[str]] = defaultdict(set)
    initialize = MicroKernel.__init__

    def record(self: MicroKernel, *arguments: Any, **named: Any) -> None:
        initialize(self, *arguments, **named)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            path = Path(frame.f_code.co_filename).resolve()
            if path.is_relative_to(INTRINSICS):
                place = path.relative_to(INTRINSICS).as_posix(), frame.f_code.co_firstlineno
                made[self.name] |= {known[place]} if place in known else set()
            frame = frame.f_back

    with mock.patch.object(MicroKernel, "__init__", record):
        yield made


def forget_kernels() -> None:
    """Empty the caches of all schedules."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tvm_tinyml.schedules"):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
