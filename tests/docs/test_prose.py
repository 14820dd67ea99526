"""Documents refer to things that exist and to nothing a reader does not have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, anchors, documents, links, name_of
from tvm_tinyml.cli import cli
from tvm_tinyml.target import OPTIONS, list_boards, list_cores

# Folders of somebody's machine, and material that does not ship with the project.
FOREIGN = re.compile(r"/work\b|/root\b|/home/\w|\.\./shared|\bshared/")
PATH = re.compile(r"`((?:tvm_tinyml|schedules|target_configs|runtime_c|tests|tools|docs)/[\w./-]*)`")

each_document = pytest.mark.parametrize("path", documents(), ids=name_of)


@each_document
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        place = (path.parent / target).resolve() if target else path
        assert place.exists(), f"{name_of(path)}: {link}"
        if anchor:
            assert anchor in anchors(place), f"{name_of(path)}: {link}"


@each_document
def test_paths_named_in_the_text_exist(path: Path) -> None:
    created = set(re.findall(r"file=(\S+)", path.read_text(encoding="utf-8")))
    for name in PATH.findall(path.read_text(encoding="utf-8")):
        assert name in created or (ROOT / name).exists(), f"{name_of(path)}: {name}"


@each_document
def test_nothing_outside_the_project_is_mentioned(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        assert not FOREIGN.search(line), f"{name_of(path)}:{number}: {line}"


def test_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = text.index("```")
    assert text[first:].startswith("```text\nmake demo\nmake test\n```")


def test_every_document_is_linked_from_the_readme() -> None:
    linked = {
        (ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md") if "://" not in link
    }
    for path in documents()[1:]:
        if path.parent == ROOT / "docs":
            assert path in linked, name_of(path)


def test_user_guide_covers_every_command_and_option() -> None:
    text = (ROOT / "docs" / "user-guide.md").read_text(encoding="utf-8")
    for name in cli.commands:
        assert f"tvm-tinyml {name}" in text, name
    for option in OPTIONS:
        assert f"`-{option}=" in text, option
    for name in [*(c.name for c in list_cores()), *(b.name for b in list_boards())]:
        assert name in text, name
