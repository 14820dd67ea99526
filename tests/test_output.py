"""Output appears whole or not at all, and replaces only what it may replace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_tinyml.errors import OutputExistsError
from tvm_tinyml.output import refuse_existing, write_text, write_whole

MARKER = "metadata.json"


def make_folder(place: Path) -> None:
    place.mkdir()
    (place / MARKER).write_text("new")


def test_file_and_the_folders_above_it_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "ä\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "ä\n".encode()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_existing_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    place = tmp_path / "a.txt"
    write_text(place, "old")
    with pytest.raises(OutputExistsError, match=r"a\.txt exists; .*--force"):
        write_text(place, "new")
    assert place.read_text() == "old"
    write_text(place, "new", force=True)
    assert place.read_text() == "new"


def test_existing_folder_of_the_same_kind_is_replaced_as_a_whole(tmp_path: Path) -> None:
    place = tmp_path / "project"
    make_folder(place)
    (place / "stale.c").write_text("old")
    write_whole(place, make_folder, force=True, marker=MARKER)
    assert [path.name for path in place.iterdir()] == [MARKER]
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_whole(tmp_path / "empty", make_folder, force=True, marker=MARKER)
    assert (tmp_path / "empty" / MARKER).read_text() == "new"


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    place = tmp_path / "thesis"
    place.mkdir()
    (place / "chapter.txt").write_text("years of work")
    with pytest.raises(OutputExistsError, match="holds other things"):
        write_whole(place, make_folder, force=True, marker=MARKER)
    assert (place / "chapter.txt").read_text() == "years of work"


def test_a_file_and_a_folder_never_replace_each_other(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputExistsError, match="is not a folder"):
        refuse_existing(tmp_path / "file", True, MARKER)
    with pytest.raises(OutputExistsError, match="is a folder"):
        refuse_existing(tmp_path / "folder", True)


def test_a_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputExistsError):
        write_text(tmp_path / "link", "text")


def test_replacing_a_link_leaves_what_it_points_to(tmp_path: Path) -> None:
    make_folder(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", make_folder, force=True, marker=MARKER)
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / MARKER).exists()


@pytest.mark.parametrize("exists", [False, True])
def test_failing_write_changes_nothing(tmp_path: Path, exists: bool) -> None:
    def write(place: Path) -> None:
        place.mkdir()
        (place / "half.c").write_text("int")
        raise OSError(28, "No space left on device")

    place = tmp_path / "project"
    if exists:
        make_folder(place)
    with pytest.raises(OSError, match="No space left"):
        write_whole(place, write, force=True, marker=MARKER)
    assert place.exists() == exists
    assert len(list(tmp_path.iterdir())) == int(exists)
