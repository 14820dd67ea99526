"""A project compiled for the host runs in this process, with tensors in the arena or in caller buffers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.runner.tiny_project import expected_output, some_inputs, write_many_inputs_project, write_project
from tests.runner.tools import usable_target
from tvm_tinyml.errors import BuildError, RunError
from tvm_tinyml.runner import HostModel


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("io", ["arena", "caller"])
def test_outputs_are_right_on_every_run(io: str, compiler: str, tmp_path: Path) -> None:
    model = HostModel(write_project(tmp_path, io), usable_target(f"-mcpu=host -compiler={compiler}"))
    for inputs in some_inputs(3):
        (output,) = model.run(inputs)
        np.testing.assert_array_equal(output, expected_output(inputs[0]))


def test_two_models_with_equal_symbols_do_not_mix(tmp_path: Path) -> None:
    config = usable_target("-mcpu=host")
    plain = HostModel(write_project(tmp_path / "plain"), config)
    failing = HostModel(write_project(tmp_path / "failing", result=3), config)
    inputs = some_inputs(1)[0]
    with pytest.raises(RunError, match="tiny_run returned 3 instead of 0"):
        failing.run(inputs)
    np.testing.assert_array_equal(plain.run(inputs)[0], expected_output(inputs[0]))


def test_more_arguments_than_registers_arrive_in_order(tmp_path: Path) -> None:
    model = HostModel(write_many_inputs_project(tmp_path), usable_target("-mcpu=host"))
    (output,) = model.run([np.full((1, 8), 10 * index, np.int8) for index in range(10)])
    np.testing.assert_array_equal(output, [10 * index for index in range(10)])


def test_arena_copy_shows_intermediate_tensors(tmp_path: Path) -> None:
    model = HostModel(write_project(tmp_path), usable_target("-mcpu=host"))
    inputs = some_inputs(1)[0]
    (output,), arena = model.run_raw(inputs)
    assert arena.dtype == np.uint8
    assert arena.shape == (64,)
    np.testing.assert_array_equal(arena[16:24].view(np.int8), 2 * inputs[0][0])
    np.testing.assert_array_equal(arena[48:56].view(np.int8), output[0])
    before = arena.copy()
    model.run([inputs[0] + 1])
    np.testing.assert_array_equal(arena, before)


def test_arena_and_buffers_are_aligned(tmp_path: Path) -> None:
    inserted = "if ((uintptr_t)(input - 16) % 16 != 0) { output[0] = 77; return; }"
    model = HostModel(write_project(tmp_path, inserted=inserted), usable_target("-mcpu=host"))
    inputs = some_inputs(1)[0]
    np.testing.assert_array_equal(model.run(inputs)[0], expected_output(inputs[0]))


def test_non_contiguous_inputs_are_taken(tmp_path: Path) -> None:
    model = HostModel(write_project(tmp_path), usable_target("-mcpu=host"))
    value = np.arange(16, dtype=np.int8).reshape(1, 16)[:, ::2]
    np.testing.assert_array_equal(model.run([value])[0], expected_output(value))


def test_wrong_inputs_are_refused_by_name(tmp_path: Path) -> None:
    model = HostModel(write_project(tmp_path), usable_target("-mcpu=host"))
    with pytest.raises(RunError, match=r"input 'image' takes int8 \[1, 8\], got int8 \[8\]"):
        model.run([np.zeros(8, np.int8)])
    with pytest.raises(RunError, match=r"takes 1 inputs \('image'\), got 0"):
        model.run([])


def test_other_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not for the host"):
        HostModel(write_project(tmp_path), usable_target("-mcpu=cortex-m3"))


def test_missing_compiler_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = usable_target("-mcpu=host")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="gcc is not installed; on Debian or Ubuntu: apt-get install gcc"):
        HostModel(write_project(tmp_path / "project"), config)


def test_damaged_metadata_is_refused(tmp_path: Path) -> None:
    config = usable_target("-mcpu=host")
    project = write_project(tmp_path)
    metadata = project / "metadata.json"
    good = metadata.read_text()
    for text, complaint in (
        (good[:-5], "cannot be read"),
        (good.replace('"format": 1', '"format": 9'), "is not of format 1"),
        (good.replace('"entry"', '"start"'), "lacks the key 'entry'"),
        (good.replace('"tiny_run"', '"tiny run()"'), "is not a C identifier"),
        (good.replace('"bytes": 8', '"bytes": 9'), r"tensor 'image' of 9 bytes is not int8 \[1, 8\]"),
        (good.replace("tiny.c", "gone.c"), r"gone\.c is missing"),
    ):
        metadata.write_text(text)
        with pytest.raises(BuildError, match=complaint):
            HostModel(project, config)


def test_temporary_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    model = HostModel(write_project(tmp_path / "project"), usable_target("-mcpu=host"))
    assert list(temporary.iterdir()) == []
    model.run(some_inputs(1)[0])
