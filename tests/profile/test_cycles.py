"""Estimated cycles: prices of llvm-mca, and a program whose every instruction is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.profile.listings import ARM_COUNTS, arm_listing
from tests.runner.tiny_project import HAND_COUNTS, some_inputs, write_assembly_project
from tests.runner.tools import usable_target
from tvm_tinyml.errors import RunError
from tvm_tinyml.profile import llvm, mca
from tvm_tinyml.profile.cycles import estimate_cycles, estimate_listing
from tvm_tinyml.profile.llvm import LlvmTools, llvm_tools
from tvm_tinyml.profile.mca import Price, price
from tvm_tinyml.runner import LayerCount, RunReport, run_qemu
from tvm_tinyml.target import parse_target

M4 = parse_target("tinyml -mcpu=cortex-m4").core
M55 = parse_target("tinyml -mcpu=cortex-m55").core
NO_TOOLS = LlvmTools("llvm-mca-0", "llvm-objdump-0", "0")
# What llvm-mca 19 answers for one known piece; the second region lost its only instruction.
ANSWER = """{"CodeRegions": [{"Instructions": ["subs\\tr2, #1", "bne\\ttarget"], "Name": "0",
 "SummaryView": {"Iterations": 100, "TotalCycles": 201}}], "SimulationParameters": {}}"""


@pytest.fixture
def tools() -> LlvmTools:
    """LLVM's tools; skips where they are missing."""
    try:
        return llvm_tools()
    except RunError as error:
        pytest.skip(str(error))


def test_pieces_are_priced_once_and_what_the_model_does_not_know_costs_one_cycle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def answer(command: list[str], folder: Path, purpose: str) -> str:
        asked.append((folder / command[-1]).read_text())
        return ANSWER

    monkeypatch.setattr(mca, "run_tool", answer)
    loop, other = ("subs r2, #1", "bne target", "le lr, target"), ("frobnicate r0",)
    prices = price([loop, other, loop], M4, NO_TOOLS)
    assert prices == {loop: Price(2.01, 0), other: Price(1.0, 1)}
    assert asked[0].count("LLVM-MCA-BEGIN") == 2
    assert "le lr" not in asked[0]


def test_an_answer_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mca, "run_tool", lambda *_: '{"CodeRegions": [{}]}')
    with pytest.raises(RunError, match="not understood"):
        price([("nop",)], M4, NO_TOOLS)


def test_cycles_are_prices_times_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tvm_tinyml.profile.cycles.price",
        lambda runs, *_: {run: Price(1.5 * len(run), 0) for run in runs},
    )
    layers = [LayerCount("scale", "tiny_scale", sum(ARM_COUNTS.values()) - 2)]
    estimate = estimate_listing(arm_listing(), ARM_COUNTS, layers, M4, NO_TOOLS)
    assert estimate.total == 1.5 * sum(ARM_COUNTS.values())
    # Two instructions before the layer and one behind it are of the entry function.
    assert estimate.layers[0].cycles == 1.5 * layers[0].instructions
    # push and pop of two registers
    assert estimate.register_lists == 4
    assert estimate.unknown == 0


def test_executed_code_that_is_not_in_the_listing_costs_one_cycle_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "tvm_tinyml.profile.cycles.price",
        lambda runs, *_: {run: Price(1.0 * len(run), 0) for run in runs},
    )
    counts = ARM_COUNTS | {0x9000: 7}
    estimate = estimate_listing(arm_listing(), counts, [], M4, NO_TOOLS)
    assert estimate.total == sum(counts.values())
    assert estimate.unknown == 7


def test_model_sees_latencies_but_no_hundred_cycles_in_a_call(tools: LlvmTools) -> None:
    independent = ("ldr r1, [r0]", "add r2, r3, r4")
    dependent = ("ldr r1, [r0]", "add r2, r1, r4")
    call = ("bl target", "add r0, r0, #1")
    prices = price([independent, dependent, call], M4, tools)
    assert prices[independent].cycles < prices[dependent].cycles
    assert prices[call].cycles < 4


def test_low_overhead_loops_end_for_free_and_vectors_take_their_beats(tools: LlvmTools) -> None:
    loop = ("vldrb.u8 q0, [r0], #16", "vmladava.s8 r2, q0, q1", "le lr, target")
    prices = price([loop, ("vpst", "vaddt.i32 q1, q2, q3")], M55, tools)
    assert prices[loop].unknown == 0
    assert prices[loop].cycles > 2
    assert all(found.unknown == 0 for found in prices.values())


def test_hand_written_program_is_estimated_layer_by_layer(tmp_path: Path, tools: LlvmTools) -> None:
    config = usable_target("-mcpu=cortex-m4")
    project = write_assembly_project(tmp_path / "hand", config.core.family)
    report = run_qemu(project, config, some_inputs(1), address_counts=True, keep_elf=tmp_path / "hand.elf")
    estimate = estimate_cycles(report, config)
    assert estimate is not None
    assert estimate == estimate_cycles(report, config)
    assert estimate.method == f"llvm-mca {tools.version}, model of cortex-m4"
    assert estimate.unknown == 0
    before, (loop, copy) = HAND_COUNTS["arm"]
    # A loop of two dependent single-cycle instructions: a cycle each, one percent for filling the pipeline.
    assert loop <= estimate.layers[0].cycles <= 1.02 * loop + 5
    assert estimate.layers[1].cycles >= copy
    assert [layer.name for layer in estimate.layers] == ["layer_0", "layer_1"]
    assert estimate.total >= before + loop + copy


@pytest.mark.parametrize("core", ["host", "cortex-m0", "cortex-m3", "rv32imc"])
def test_cores_without_a_model_have_no_estimate(core: str) -> None:
    assert estimate_cycles(RunReport([], "board", 0), parse_target(f"tinyml -mcpu={core}")) is None


def test_a_run_without_counts_is_refused() -> None:
    with pytest.raises(RunError, match="address_counts"):
        estimate_cycles(RunReport([], "board", 0), parse_target("tinyml -mcpu=cortex-m4"))


def test_missing_tools_are_one_error_with_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="apt-get install llvm-19"):
        llvm.llvm_tools()


def test_too_old_tools_are_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("llvm-mca", "llvm-objdump"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'Debian LLVM version 14.0.6'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin-that-is-not-there")
    with pytest.raises(RunError, match="19 or newer"):
        llvm.llvm_tools()
