"""`bench` and `run` with estimated cycles, peers and plots."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.invocation import DIGITS, HOST, M4, Outcome, invoke, refuse
from tests.runner.tools import usable_target
from tvm_tinyml.errors import RunError
from tvm_tinyml.profile import plots
from tvm_tinyml.profile.llvm import llvm_tools

# Every test compiles and emulates our model; the first of them on three targets.
pytestmark = pytest.mark.slow

M0 = "tinyml -mcpu=cortex-m0"
PEERS = """peer,core,flags,model,instructions,arena_bytes,flash_without_weights_bytes,exact
fast,mps2-an386 cortex-m4f,-O3,digits,1000000000,6000,,y
slow,mps2-an386 cortex-m4f,-O0,digits,2000000000,7000,,y
wrong,cortex-m4,-O3,digits,1000,1,1,n
"""


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    """Skips everything where a tool is missing."""
    usable_target("-mcpu=cortex-m4")
    try:
        llvm_tools()
    except RunError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the one long run."""
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    """Our model on three targets, with everything that can be asked for."""
    peers = folder / "peers.csv"
    peers.write_text(PEERS)
    drawn = ["--plots"] if find_spec("matplotlib") is not None else []
    options = ["--cycles", *drawn, "--peers", peers, "--inputs", "1", "-o", folder / "out", "--json"]
    return invoke("bench", DIGITS, "-t", M4, "-t", M0, "-t", HOST, *options)


def test_cycles_stand_beside_the_instructions_of_cores_with_a_model(outcome: Outcome) -> None:
    assert outcome.code == 0
    m4, m0, host = outcome.document["results"]
    assert m4["estimated_cycles"] > m4["instructions"]
    assert m4["register_list_cycles"] > 0
    assert [row["estimated_cycles"] for row in (m0, host)] == [None, None]


def test_flash_is_code_and_constants(outcome: Outcome) -> None:
    m4, _, host = outcome.document["results"]
    flash = m4["text_bytes"] + m4["rodata_bytes"] + m4["data_bytes"]
    assert m4["code_bytes"] + m4["constant_bytes"] == flash
    assert m4["text_bytes"] <= m4["code_bytes"] < flash
    assert 0.9 < m4["constants_of_file"] < 1.5
    assert host["code_bytes"] is None


def test_layers_and_classes_add_up_to_the_model(outcome: Outcome, folder: Path) -> None:
    document = outcome.document
    for target, instructions in ((row["target"], row["instructions"]) for row in document["results"][:2]):
        layers = [row for row in document["layers"] if row["target"] == target]
        classes = [row for row in document["classes"] if row["target"] == target]
        assert sum(row["instructions"] for row in layers) == sum(row["instructions"] for row in classes)
        # What the entry function spends before the first layer is in none.
        assert instructions - 100 < sum(row["instructions"] for row in layers) <= instructions
        assert {row["class"] for row in layers} == {row["class"] for row in classes}
    with (folder / "out" / "layers.csv").open(newline="") as file:
        assert [row["layer"] for row in csv.DictReader(file)] == [row["layer"] for row in document["layers"]]
    text = (folder / "out" / "classes.md").read_text()
    assert "Cycles are an estimate" in text
    assert f"* digits on `{M0}`: none: there is no model of this core" in text


def test_figures_are_compared_with_the_best_peer(outcome: Outcome, folder: Path) -> None:
    rows = outcome.document["comparison"]
    assert [row["figure"] for row in rows] == [
        "instructions",
        "est. cycles",
        "arena",
        "flash without weights",
    ]
    instructions, cycles, arena, flash = rows
    assert (cycles["ours"], cycles["peer"]) == (outcome.document["results"][0]["estimated_cycles"], None)
    assert (instructions["peer"], instructions["peer_value"]) == ("fast", 1_000_000_000)
    assert instructions["ratio"] == round(instructions["ours"] / 1_000_000_000, 3)
    assert arena["ratio"] == round(arena["ours"] / 6000, 3)
    assert (flash["peer"], flash["inexact_peer"]) == (None, "wrong")
    assert (
        "| digits | tinyml -mcpu=cortex-m4 | instructions |" in (folder / "out" / "comparison.md").read_text()
    )
    assert (folder / "out" / "comparison.csv").read_text().count("\n") == 5


def test_plots_are_drawn(outcome: Outcome, folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert outcome.code == 0
    for name in ("instructions_per_mac.svg", "peak_share.svg", "peer_ratio.svg"):
        assert "<svg" in (folder / "out" / name).read_text()


def test_existing_reports_are_noticed_before_any_work(outcome: Outcome, tmp_path: Path) -> None:
    assert outcome.code == 0
    (tmp_path / "classes.md").write_text("old")
    assert "classes.md exists" in refuse("bench", DIGITS, "-t", M4, "--cycles", "-o", tmp_path)


def test_people_get_tables_with_the_meaning_below(folder: Path, outcome: Outcome) -> None:
    assert outcome.code == 0
    options = ["--cycles", "--peers", folder / "peers.csv", "--inputs", "1"]
    printed = invoke("bench", DIGITS, "-t", M4, *options)
    assert printed.code == 0
    for text in ("By class of layer", "Cycles are an estimate", "Peers", "below 1 is better"):
        assert text in printed.stdout


def test_mistakes_are_noticed_before_any_work(
    folder: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome.code == 0
    command = ["bench", DIGITS, "-t", M4, "--inputs", "1"]
    assert "--plots needs a folder" in refuse(*command, "--plots")
    assert "no such file" in refuse(*command, "--peers", folder / "nothing.csv")
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    assert "pip install" in refuse(*command, "--plots", "-o", folder / "more")


def test_run_estimates_every_layer(tmp_path: Path) -> None:
    document = invoke("run", DIGITS, "-t", M4, "--cycles", "--json", "-o", tmp_path / "run").document
    estimate = document["estimated_cycles"]
    assert estimate["total"] > document["instructions"]
    assert [row["name"] for row in estimate["layers"]] == [row["name"] for row in document["layers"]]
    assert sum(row["cycles"] for row in estimate["layers"]) == pytest.approx(estimate["total"], rel=1e-3)


def test_run_says_when_there_is_no_model() -> None:
    printed = invoke("run", DIGITS, "-t", M0, "--cycles")
    assert "estimated cycles  none: there is no model of this core" in printed.stdout
