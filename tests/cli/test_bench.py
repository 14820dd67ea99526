"""`bench`: one line per model and target, result files, failures with their reason."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.cli.invocation import DIGITS, HOST, Outcome, invoke, refuse
from tests.runner.tools import usable_target
from tests.support.tflite_writer import Graph, write_model
from tvm_tinyml import module, reference
from tvm_tinyml.cli.bench import mark_best
from tvm_tinyml.cli.results import COLUMNS
from tvm_tinyml.pipeline import compile_module
from tvm_tinyml.reference import reference_outputs

M0 = "tinyml -mcpu=cortex-m0"


def write_large_model(path: Path) -> Path:
    """A model whose input alone exceeds the RAM of a micro:bit."""
    graph = Graph()
    source = graph.input("x", (1, 20_000), "int8", scale=0.1)
    graph.operator("RELU", [source], [graph.output("y", (1, 20_000), "int8", scale=0.1)])
    path.write_bytes(write_model(graph))
    return path


def write_small_model(path: Path) -> Path:
    """A model that is compiled at once."""
    graph = Graph()
    source = graph.input("x", (1, 64), "int8", scale=0.1)
    graph.operator("RELU", [source], [graph.output("y", (1, 64), "int8", scale=0.1)])
    path.write_bytes(write_model(graph))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the one long run."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    """Two models on two targets, one pair of which does not fit."""
    usable_target("-mcpu=host")
    usable_target("-mcpu=cortex-m0")
    large = write_large_model(folder / "large.tflite")
    targets = ["-t", HOST, "-t", M0]
    return invoke("bench", DIGITS, large, *targets, "--inputs", "2", "-o", folder / "results", "--json")


def test_every_pair_is_a_line_in_the_order_given(outcome: Outcome) -> None:
    assert outcome.code == 0
    rows = outcome.document["results"]
    assert [(row["model"], row["target"]) for row in rows] == [
        ("digits", HOST),
        ("digits", M0),
        ("large", HOST),
        ("large", M0),
    ]
    assert all(tuple(row) == COLUMNS for row in rows)


def test_fitting_pairs_are_measured_and_exact(outcome: Outcome) -> None:
    host, board, large, _ = outcome.document["results"]
    assert [row["bit_exact"] for row in (host, board, large)] == [True, True, True]
    assert host["instructions"] is None
    assert board["instructions"] > 0
    assert board["instructions_per_mac"] == round(board["instructions"] / board["macs"], 3)
    assert board["lower_bound_bytes"] <= board["arena_bytes"]
    for column in ("stack_bytes", "text_bytes", "rodata_bytes"):
        assert board[column] > 0


def test_a_model_that_does_not_fit_is_a_line_with_the_reason(outcome: Outcome) -> None:
    row = outcome.document["results"][3]
    assert row["bit_exact"] is None
    assert row["instructions"] is None
    assert "does not fit on board microbit" in row["failure"]
    assert row["arena_bytes"] >= 20_000


def test_progress_goes_to_standard_error(outcome: Outcome) -> None:
    assert outcome.stderr.splitlines()[0] == f"[1/4] digits on {HOST}"
    assert len(outcome.stderr.splitlines()) == 4


def test_csv_holds_the_same_rows(outcome: Outcome, folder: Path) -> None:
    with (folder / "results" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        {key: "" if value is None else str(value) for key, value in row.items()}
        for row in outcome.document["results"]
    ]
    assert rows == expected


def test_markdown_has_a_table_per_model_and_the_tools(outcome: Outcome, folder: Path) -> None:
    text = (folder / "results" / "results.md").read_text()
    assert "## digits\n\n| target | board | MACs | instructions |" in text
    assert "## large\n" in text
    assert f"* `{M0}`: model large does not fit" in text
    for version in outcome.document["tools"].values():
        assert f"* {version}\n" in text
    assert str(folder) not in text


def test_repeated_run_writes_the_same_bytes(outcome: Outcome, folder: Path) -> None:
    assert outcome.code == 0
    again = folder / "again"
    large = folder / "large.tflite"
    invoke("bench", DIGITS, large, "-t", HOST, "-t", M0, "--inputs", "2", "-o", again)
    for name in ("results.csv", "results.md"):
        assert (again / name).read_bytes() == (folder / "results" / name).read_bytes()


def test_table_for_people_names_failures(folder: Path, outcome: Outcome) -> None:
    assert outcome.code == 0
    printed = invoke("bench", folder / "large.tflite", "-t", M0, "--inputs", "1")
    assert printed.code == 0
    assert "w/o scratch" in printed.stdout
    assert f"large on {M0}: model large does not fit" in printed.stdout


def test_existing_results_are_noticed_first_and_replaced_only_with_force(tmp_path: Path) -> None:
    usable_target("-mcpu=host")
    (tmp_path / "README.md").write_text("how to repeat this")
    (tmp_path / "results.md").write_text("old")
    command = ["bench", DIGITS, "-t", HOST, "--inputs", "1", "-o", tmp_path]
    assert "results.md exists" in refuse(*command)
    assert not (tmp_path / "results.csv").exists()
    assert invoke(*command, "--force").code == 0
    assert (tmp_path / "results.md").read_text() != "old"
    assert (tmp_path / "README.md").read_text() == "how to repeat this"


def row(
    target: str, instructions: int | None, *, exact: bool | None = True, model: str = "m"
) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {
        "model": model,
        "target": target,
        "instructions": instructions,
        "bit_exact": exact,
    }


def test_the_compiler_with_fewer_instructions_is_marked() -> None:
    rows = [row("a", 9), row("a -compiler=clang", 7), row("b", 5), row("a", 3, model="n")]
    mark_best(rows, ["a", "a", "b", "a"])
    assert [one["best"] for one in rows] == [False, True, None, None]


def test_what_is_wrong_or_did_not_run_is_never_the_best() -> None:
    rows = [row("a", 9), row("a -compiler=clang", 7, exact=False)]
    mark_best(rows, ["a", "a"])
    assert [one["best"] for one in rows] == [None, None]
    rows = [row("a", 9), row("a -compiler=clang", None, exact=None)]
    mark_best(rows, ["a", "a"])
    assert [one["best"] for one in rows] == [None, None]


def test_both_compilers_stand_side_by_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usable_target("-mcpu=cortex-m0")
    usable_target("-mcpu=cortex-m0 -compiler=clang")
    compiled = count_compilations(monkeypatch)
    model = write_small_model(tmp_path / "small.tflite")
    command = ["bench", model, "-t", M0, "-t", f"{M0} -compiler=clang", "--compiler", "both", "--inputs", "1"]
    outcome = invoke(*command, "-o", tmp_path / "out", "--json")
    gcc, clang = outcome.document["results"]
    assert (gcc["target"], gcc["compiler"]) == (M0, "gcc")
    assert (clang["target"], clang["compiler"]) == (f"{M0} -compiler=clang", "clang")
    assert sorted([gcc["best"], clang["best"]]) == [False, True]
    assert (gcc["best"] is True) == (gcc["instructions"] <= clang["instructions"])
    assert "Best is the compiler" in (tmp_path / "out" / "results.md").read_text()
    # The schedules are the same for both, unless each counts its own.
    assert compiled == [M0]
    assert invoke(*command, "--measure").code == 0
    assert compiled == [M0, M0, f"{M0} -compiler=clang"]


def test_a_compiler_the_core_cannot_have_is_refused() -> None:
    assert "rv32imcv with gcc" in refuse("bench", DIGITS, "-t", "tinyml/rv32imcv", "--compiler", "gcc")


def count_compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Targets for which a model is compiled from now on."""
    compiled: list[str] = []

    def counted(relax_module: Any, config: Any, **options: Any) -> Any:
        compiled.append(str(config))
        return compile_module(relax_module, config, **options)

    monkeypatch.setattr(module, "compile_module", counted)
    return compiled


def test_differing_output_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    usable_target("-mcpu=host")

    def wrong(*arguments: Any) -> tuple[str, list[Any]]:
        name, outputs = reference_outputs(*arguments)
        outputs[0][0, 0] ^= 1
        return name, outputs

    monkeypatch.setattr(reference, "reference_outputs", wrong)
    outcome = invoke("bench", DIGITS, "-t", HOST, "--inputs", "1", "--json")
    assert outcome.code == 1
    assert outcome.document["results"][0]["bit_exact"] is False


def test_program_that_fails_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    usable_target("-mcpu=cortex-m0")
    monkeypatch.setattr("tvm_tinyml.runner.qemu._BASE_SECONDS", 0.0)
    monkeypatch.setattr("tvm_tinyml.runner.qemu._SECONDS_PER_MAC", 1e-9)
    outcome = invoke("bench", DIGITS, "-t", M0, "--inputs", "1", "--json")
    assert outcome.code == 1
    row = outcome.document["results"][0]
    assert row["bit_exact"] is False
    assert "did not end within" in row["failure"]
