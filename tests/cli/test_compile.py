"""`compile`: a folder or an archive, whole or not at all, the same bytes every time."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.cli.invocation import DIGITS, HOST, M4, invoke, refuse, succeed


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder_holds_sources_header_metadata_and_build_files(tmp_path: Path) -> None:
    output = tmp_path / "new" / "digits"
    document = succeed("compile", DIGITS, "--target", M4, "--output", output, "--json").document
    files = contents(output)
    assert {"digits.c", "digits.h", "digits_data.c", "metadata.json", "CMakeLists.txt", "Makefile"} <= set(
        files
    )
    assert document == json.loads(files["metadata.json"]) | {"output": str(output), "quantization": []}
    assert document["target"] == M4
    assert [path.name for path in output.parent.iterdir()] == ["digits"]


@pytest.mark.usefixtures("compiles_anew")
def test_repeated_compilation_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        succeed("compile", DIGITS, "--target", M4, "--output", tmp_path / name)
        succeed("compile", DIGITS, "--target", M4, "--output", tmp_path / f"{name}.tar")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()


def test_archive_is_in_model_library_format(tmp_path: Path) -> None:
    output = tmp_path / "digits.tar"
    succeed("compile", DIGITS, "--target", M4, "--output", output)
    with tarfile.open(output) as archive:
        names = archive.getnames()
        metadata = archive.extractfile("metadata.json")
        assert metadata is not None
        document = json.load(metadata)
    assert document["version"] == 7
    assert "digits" in document["modules"]
    assert any(name.endswith("/digits.c") for name in names)


def test_table_shows_layers_and_sizes(tmp_path: Path) -> None:
    text = succeed("compile", DIGITS, "--target", M4, "--output", tmp_path / "digits").stdout
    for words in ("conv2d_0", "softmax", "arena (bytes)", "without scratch (bytes)", "written to"):
        assert words in text


def test_passes_are_shown_with_what_they_bring(tmp_path: Path) -> None:
    outcome = succeed("compile", DIGITS, "--target", "tinyml -mcpu=cortex-m3", "-o", tmp_path / "digits")
    document = json.loads((tmp_path / "digits" / "metadata.json").read_text())
    stages = {stage["name"]: stage for stage in document["passes"]}
    imported, folded = stages["imported"], stages["FoldPad"]
    assert imported["layers"] == folded["layers"] + 2
    assert imported["arena_bytes"] > folded["arena_bytes"]
    assert document["passes"][-1]["macs"] == document["macs"]
    assert document["passes"][-1]["layers"] == len(document["layers"])
    # Passes know nothing of schedules, whose outputs may lie over inputs.
    assert document["passes"][-1]["arena_bytes"] >= document["memory"]["without_scratch_bytes"]
    assert f"imported       {imported['layers']}" in outcome.stdout
    # What changes nothing is no line.
    assert "FoldInputZeroPoint" in stages
    assert "FoldInputZeroPoint" not in outcome.stdout


def test_explanation_shows_what_was_taken_and_what_was_not(tmp_path: Path) -> None:
    output = tmp_path / "digits"
    text = succeed("compile", DIGITS, "--target", M4, "--output", output, "--explain").stdout
    for layer in json.loads((output / "metadata.json").read_text())["layers"]:
        (taken,) = (one for one in layer["alternatives"] if one["taken"])
        assert taken["schedule"] == layer["schedule"]
        assert all(one["reason"] for one in layer["alternatives"])
    assert "taken: fewest instructions" in text
    assert "instructions more" in text


def test_opt_replaces_the_objective_of_the_target(tmp_path: Path) -> None:
    target = f"{M4} -opt=speed"
    document = succeed(
        "compile", DIGITS, "--target", target, "--opt", "size", "--output", tmp_path / "digits", "--json"
    ).document
    assert document["target"] == f"{M4} -opt=size"
    assert "-Os" in (tmp_path / "digits" / "Makefile").read_text()


@pytest.mark.parametrize("name", ["digits", "digits.tar"])
def test_existing_output_is_replaced_only_with_force(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    command = ["compile", DIGITS, "--target", M4, "--output", output]
    succeed(*command)
    before = output.stat().st_ino
    assert f"{name} exists; choose another place or pass --force" in refuse(*command)
    assert output.stat().st_ino == before
    succeed(*command, "--force")
    assert output.stat().st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_force_never_replaces_a_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    message = refuse("compile", DIGITS, "--target", M4, "--output", tmp_path, "--force")
    assert "holds other things" in message
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_existing_output_is_noticed_before_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    command = ["compile", tmp_path / "missing.tflite", "--target", M4, "--output", tmp_path / "out"]
    assert "exists" in refuse(*command)


def test_output_below_a_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refuse("compile", DIGITS, "--target", M4, "--output", tmp_path / "file" / "digits")


def test_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_arguments: object, **_options: object) -> int:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        outcome = invoke("compile", DIGITS, "--target", M4, "--output", tmp_path / "digits")
    assert outcome.code == 2
    assert "No space left on device; check the path" in outcome.stderr
    assert not list(tmp_path.iterdir())


def test_a_point_of_the_front_is_compiled_and_computes_the_same(tmp_path: Path) -> None:
    listed = succeed("plan", DIGITS, "--target", HOST, "--pareto", "--json").document["points"]
    document = succeed(
        "compile", DIGITS, "--target", HOST, "--point", len(listed) - 1, "-o", tmp_path / "out", "--json"
    ).document
    assert document["memory"]["without_scratch_bytes"] == listed[-1]["arena_bytes"]
    ran = succeed("run", DIGITS, "--target", HOST, "--point", len(listed) - 1, "--check", "--json").document
    assert ran["bit_exact"] is True


def test_a_point_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    message = refuse("compile", DIGITS, "--target", HOST, "--point", 99, "-o", tmp_path / "out")
    assert "there is no plan 99" in message
    assert not (tmp_path / "out").exists()
