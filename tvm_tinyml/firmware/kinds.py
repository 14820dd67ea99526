"""The kinds of projects by the name that a user gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tvm_tinyml.errors import BuildError

from .arduino import EXTRAS, arduino_project
from .cmake_project import cmake_project
from .cmsis_pack import cmsis_pack
from .generated import METADATA, Generated
from .make_project import make_project
from .zephyr_project import zephyr_project


class _Kind(NamedTuple):
    """layout: makes the files. marker: the one that tells a project from a folder of other things."""

    layout: Callable[[Generated], dict[str, str]]
    marker: str


_KINDS = {
    "make": _Kind(make_project, f"model/{METADATA}"),
    "cmake": _Kind(cmake_project, f"model/{METADATA}"),
    "arduino": _Kind(arduino_project, f"{EXTRAS}/{METADATA}"),
    "cmsis-pack": _Kind(cmsis_pack, METADATA),
    "zephyr": _Kind(zephyr_project, f"model/{METADATA}"),
}
KINDS = tuple(_KINDS)


def project_layout(kind: str, model: Generated) -> dict[str, str]:
    """Files of a project, text by path relative to its folder.

    Raises BuildError for an unknown kind, TargetError for one that does not exist for the target.
    """
    return _kind(kind).layout(model)


def project_marker(kind: str) -> str:
    """The file by which `--force` tells a project from a folder of other things; BuildError for an unknown kind."""
    return _kind(kind).marker


def _kind(kind: str) -> _Kind:
    if kind not in _KINDS:
        raise BuildError(f"there are no projects for {kind!r}; choose one of: {', '.join(KINDS)}")
    return _KINDS[kind]
