"""`run`: outputs, figures and the verdict, on the host and on an emulated board."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.invocation import DIGITS, HOST, M4, invoke, refuse, succeed
from tests.runner.tools import usable_target
from tests.support.tflite_writer import Graph, write_model
from tvm_tinyml import reference
from tvm_tinyml.frontend import from_tflite
from tvm_tinyml.reference import reference_outputs
from tvm_tinyml.target.config import STACK_BYTES

KEYS = {
    "model",
    "npu",
    "quantization",
    "target",
    "board",
    "outputs",
    "bit_exact",
    "reference",
    "mismatches",
    "instructions",
    "layers",
    "arena_bytes",
    "stack_bytes",
    "memory",
    "pulled",
    "flash",
    "elf",
}


@pytest.fixture(scope="module", autouse=True)
def host_compiler() -> None:
    """Everything here runs at least on the host."""
    usable_target("-mcpu=host")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .npy file with one held-out image."""
    path = tmp_path_factory.mktemp("images") / "image.npy"
    with np.load(DIGITS.with_name("digits_golden.npz")) as golden:
        np.save(path, golden["images"][:1])
    return path


def test_board_run_reports_everything(image: Path, tmp_path: Path) -> None:
    usable_target("-mcpu=cortex-m4")
    command = ["run", DIGITS, "--target", M4, "--input", image, "--check", "--json", "-o", tmp_path / "out"]
    document = succeed(*command).document
    assert set(document) == KEYS
    assert (document["model"], document["target"], document["board"]) == ("digits", M4, "mps2-an386")
    assert document["bit_exact"] is True
    assert document["mismatches"] == [0]
    assert 0 < sum(layer["instructions"] for layer in document["layers"]) <= document["instructions"]
    first = document["layers"][0]
    assert set(first) == {
        "name",
        "function",
        "instructions",
        "schedule",
        "estimated_instructions",
        "slowdown_in_class",
        "reason",
    }
    # The estimate is of what was counted.
    assert 0.5 < first["estimated_instructions"] / first["instructions"] < 2
    assert document["arena_bytes"] > 0
    assert document["stack_bytes"] > 0
    memory = document["memory"]
    assert memory["stack_bytes"] == document["stack_bytes"] < STACK_BYTES
    assert memory["ram_bytes"] == document["arena_bytes"] + document["stack_bytes"]
    assert memory["without_scratch_bytes"] + memory["scratch_bytes"] == document["arena_bytes"]
    assert set(document["flash"]) == {"text", "rodata", "data"}
    assert Path(document["elf"]).read_bytes()[:4] == b"\x7fELF"
    with np.load(DIGITS.with_name("digits_golden.npz")) as golden:
        np.testing.assert_array_equal(np.load(document["outputs"][0]), golden["outputs"][:1])
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == document
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.json",
        "output_0.npy",
        "digits.elf",
    }


def test_board_run_as_tables(image: Path, tmp_path: Path) -> None:
    usable_target("-mcpu=cortex-m4")
    text = succeed("run", DIGITS, "--target", M4, "--input", image, "--check", "-o", tmp_path / "out").stdout
    for words in ("conv2d_0", "instructions", "stack (bytes)", "flash (bytes)  text ", "bit-exact      yes"):
        assert words in text


def test_host_run_has_no_counts_and_no_firmware(image: Path, tmp_path: Path) -> None:
    document = succeed(
        "run", DIGITS, "--target", HOST, "--input", image, "--json", "-o", tmp_path / "o"
    ).document
    assert set(document) == KEYS
    unknown = ("bit_exact", "reference", "mismatches", "instructions", "stack_bytes", "flash", "elf")
    assert [document[key] for key in unknown] == [None] * len(unknown)
    assert document["layers"] == []
    assert document["board"] == "host"


def test_outputs_outlive_the_command_without_a_folder(image: Path) -> None:
    document = succeed("run", DIGITS, "--target", HOST, "--input", image, "--json").document
    path = Path(document["outputs"][0])
    assert np.load(path).shape == (1, 10)
    shutil.rmtree(path.parent.parent)


def test_board_option_chooses_another_board(image: Path, tmp_path: Path) -> None:
    command = [
        "run",
        DIGITS,
        "--target",
        M4,
        "--board",
        "host",
        "--input",
        image,
        "--json",
        "-o",
        tmp_path / "o",
    ]
    document = succeed(*command).document
    assert (document["board"], document["target"]) == ("host", HOST)


def test_random_inputs_follow_from_the_seed(tmp_path: Path) -> None:
    graph = Graph()
    source = graph.input("x", (1, 64), "int8", scale=0.1)
    graph.operator("RELU", [source], [graph.output("y", (1, 64), "int8", scale=0.1)])
    model = tmp_path / "relu.tflite"
    model.write_bytes(write_model(graph))
    outputs = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        command = ["run", model, "--target", HOST, "--random", seed, "--json", "-o", tmp_path / name]
        outputs.append(np.load(succeed(*command).document["outputs"][0]))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert (outputs[0] != outputs[2]).any()


def test_check_follows_the_declared_rounding(tmp_path: Path) -> None:
    target = f"{HOST} -rounding=tflm"
    document = succeed("run", DIGITS, "--target", target, "--check", "--json", "-o", tmp_path / "o").document
    assert (document["bit_exact"], document["reference"]) == (True, "numpy")


def test_differing_output_is_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any) -> tuple[str, list[Any]]:
        name, outputs = reference_outputs(*arguments)
        outputs[0][0, 3] ^= 1
        return name, outputs

    monkeypatch.setattr(reference, "reference_outputs", wrong)
    outcome = invoke("run", DIGITS, "--target", HOST, "--check", "--json", "-o", tmp_path / "json")
    assert outcome.code == 1
    assert (outcome.document["bit_exact"], outcome.document["mismatches"]) == (False, [1])
    outcome = invoke("run", DIGITS, "--target", HOST, "--check", "-o", tmp_path / "table")
    assert outcome.code == 1
    assert "output 0: 1 of 10 elements differ" in outcome.stdout


def test_existing_folder_is_replaced_only_with_force(tmp_path: Path) -> None:
    command = ["run", DIGITS, "--target", HOST, "-o", tmp_path / "out"]
    succeed(*command)
    assert "exists; choose another place or pass --force" in refuse(*command)
    succeed(*command, "--force")


@pytest.fixture
def expected_shape() -> tuple[int, ...]:
    """Shape of the model's input."""
    module, _ = from_tflite(DIGITS)
    return tuple(int(extent) for extent in module["main"].params[0].ty.shape)


def test_input_of_another_type_or_shape(tmp_path: Path, expected_shape: tuple[int, ...]) -> None:
    path = tmp_path / "x.npy"
    for value in (np.zeros(expected_shape, np.float32), np.zeros(expected_shape[1:], np.int8)):
        np.save(path, value)
        message = refuse("run", DIGITS, "--target", HOST, "--input", path)
        assert f"x.npy: holds {value.dtype} {list(value.shape)}, input " in message
        assert f"takes int8 {list(expected_shape)}; convert or reshape it first" in message


def test_wrong_number_of_inputs(image: Path) -> None:
    message = refuse("run", DIGITS, "--target", HOST, "--input", image, "--input", image)
    assert "--input is given 2 times, the model takes 1 inputs" in message


def test_input_and_random_exclude_each_other(image: Path) -> None:
    message = refuse("run", DIGITS, "--target", HOST, "--input", image, "--random", "1")
    assert "--input and --random exclude each other" in message


def test_missing_input_file(tmp_path: Path) -> None:
    assert "nothing.npy: no such file" in refuse(
        "run", DIGITS, "--target", HOST, "--input", tmp_path / "nothing.npy"
    )


def write_pickle(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def write_archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(1), b=np.zeros(1))


def write_truncated(path: Path) -> None:
    np.save(path, np.zeros((1, 16, 16, 1), np.int8))
    path.write_bytes(path.read_bytes()[:200])


def write_boundless(path: Path) -> None:
    """A header that announces an exabyte."""
    np.save(path, np.zeros((1, 16, 16, 1), np.int8))
    header = path.read_bytes()
    path.write_bytes(header.replace(b"(1, 16, 16, 1)", b"(1152921504606,)")[: len(header)])


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"P6 16 16 255 "),
        lambda path: path.mkdir(),
        write_pickle,
        write_archive,
        write_truncated,
        write_boundless,
    ],
    ids=["empty", "image", "folder", "pickle", "archive", "truncated", "boundless"],
)
def test_input_file_that_is_no_array(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "x.npy"
    write(path)
    assert "x.npy: " in refuse("run", DIGITS, "--target", HOST, "--input", path, "-o", tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npy"]


def test_failing_run_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    assert "No space left on device" in refuse("run", DIGITS, "--target", HOST, "-o", tmp_path / "out")
    assert not list(tmp_path.iterdir())
