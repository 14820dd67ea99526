"""Target strings, tags and dicts: what is accepted, what is refused and with which words."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_tinyml.errors import TargetError
from tvm_tinyml.target import TargetConfig, list_cores, load_catalogue, parse_target


def test_core_alone_takes_its_default_board_and_compiler_and_no_budget() -> None:
    config = parse_target("tinyml -mcpu=cortex-m55")
    assert config.core.name == "cortex-m55"
    assert config.core.features == {"dsp", "fpu", "mve"}
    assert config.board is not None
    assert config.board.name == "mps3-an547"
    assert (config.compiler, config.rounding, config.io, config.planner) == ("gcc", "litert", "arena", "auto")
    assert (config.ram_bytes, config.flash_bytes) == (None, None)
    assert str(config) == "tinyml -mcpu=cortex-m55"


def test_every_option_arrives_in_the_config() -> None:
    config = parse_target(
        "tinyml -mcpu=cortex-m7 -board=stm32f746g-disco -compiler=clang -ram=64K -flash=512KiB -rounding=tflm"
        " -io=caller -planner=exact"
    )
    assert config.board is not None
    assert config.board.name == "stm32f746g-disco"
    assert (config.compiler, config.rounding, config.io, config.planner) == (
        "clang",
        "tflm",
        "caller",
        "exact",
    )
    assert (config.ram_bytes, config.flash_bytes) == (64 * 1024, 512 * 1024)


def test_tag_string_dict_and_config_mean_the_same() -> None:
    expected = parse_target("tinyml -mcpu=cortex-m4 -ram=64K")
    assert parse_target("tinyml/cortex-m4 -ram=64K") == expected
    assert parse_target({"mcpu": "cortex-m4", "ram": "64K", "board": None}) == expected
    assert parse_target({"kind": "tinyml", "tag": "tinyml/cortex-m4", "ram": 65536}) == expected
    assert parse_target(expected) is expected


def test_named_board_implies_its_core_and_its_memory_as_budgets() -> None:
    config = parse_target("tinyml -board=nrf52840-dk")
    assert config.core.name == "cortex-m4"
    assert (config.ram_bytes, config.flash_bytes) == (256 * 1024, 1024 * 1024)


def test_naming_the_default_board_sets_the_budgets_that_its_default_use_does_not() -> None:
    assert parse_target("tinyml -board=microbit").ram_bytes == 16 * 1024
    assert parse_target("tinyml -mcpu=cortex-m0").ram_bytes is None


def test_budget_may_exceed_a_board_that_was_not_named() -> None:
    assert parse_target("tinyml -mcpu=cortex-m0 -ram=64K").ram_bytes == 64 * 1024


def test_board_of_several_cores_is_fitted_with_the_chosen_one() -> None:
    scalar = parse_target("tinyml -mcpu=rv32imc").board
    vector = parse_target("tinyml -mcpu=rv32imcv").board
    assert scalar is not None
    assert scalar.qemu is not None
    assert vector is not None
    assert vector.qemu is not None
    assert scalar.name == vector.name == "virt-rv32"
    assert (scalar.core, vector.core) == ("rv32imc", "rv32imcv")
    assert "v=true" in vector.qemu.cpu
    assert "v=true" not in scalar.qemu.cpu


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m85"])
def test_core_without_emulator_has_no_board_unless_named(core: str) -> None:
    assert parse_target(f"tinyml -mcpu={core}").board is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", ["empty", "tinyml -mcpu="]),
        ("tinyml", ["-mcpu is missing", "cortex-m0plus", "rv32imcv", "host"]),
        ("tinyml -ram=64K", ["-mcpu is missing"]),
        ("cortex-m55", ["does not start with tinyml"]),
        ("c -mcpu=cortex-m55", ["does not start with tinyml"]),
        ("tinyml -mcpu=cortex-m5", ["unknown core 'cortex-m5'", "did you mean", "'cortex-m55'", "rv32imc"]),
        ("tinyml/cortex-m99", ["unknown core 'cortex-m99'"]),
        ("tinyml -mcpu=cortex-m55 -bord=x", ["option 'bord'", "did you mean 'board'", "planner"]),
        ("tinyml -mcpu=cortex-m55 -board=mps3-an574", ["did you mean 'mps3-an547'"]),
        ("tinyml -mcpu=cortex-m55 -compiler=icc", ["compiler 'icc'", "gcc, clang"]),
        ("tinyml -mcpu=cortex-m55 -rounding=up", ["rounding 'up'", "litert, tflm"]),
        ("tinyml -mcpu=cortex-m55 -io=stack", ["io 'stack'", "arena, caller"]),
        ("tinyml -mcpu=cortex-m55 -planner=best", ["planner 'best'", "auto, greedy, exact"]),
        ("tinyml -mcpu=cortex-m55 -mcpu=cortex-m55", ["-mcpu is given twice"]),
        ("tinyml/cortex-m4 -mcpu=cortex-m4", ["-mcpu is given twice"]),
        ("tinyml -mcpu=cortex-m4 -ram=1K -ram=2K", ["-ram is given twice"]),
        ("tinyml -mcpu cortex-m4", ["'-mcpu' is not of the form -option=value"]),
        ("tinyml mcpu=cortex-m4", ["'mcpu=cortex-m4' is not of the form -option=value"]),
        ("tinyml -mcpu=", ["not of the form"]),
        ("tinyml --mcpu=cortex-m4", ["did you mean 'mcpu'"]),
        (
            "tinyml -mcpu=cortex-m55 -board=microbit",
            ["board microbit has cortex-m0, not cortex-m55", "alif-e7-hp", "mps3-an547"],
        ),
        ("tinyml -mcpu=cortex-m85 -board=microbit", ["boards with cortex-m85: none"]),
        ("tinyml -board=virt-rv32", ["rv32imc or rv32imcv", "-mcpu"]),
        ("tinyml -mcpu=rv32imcv -compiler=gcc", ["intrinsics", "-compiler=clang"]),
        ("tinyml -board=microbit -ram=17K", ["-ram=17K", "board microbit has 16K"]),
        ("tinyml -board=microbit -flash=257K", ["-flash=257K", "board microbit has 256K"]),
    ],
)
def test_refusal_names_the_fault_and_what_is_valid(spec: str, words: list[str]) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(spec)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        {"mcpu": "cortex-m4", "colour": "red"},
        {"tag": "tinyml/cortex-m4", "mcpu": "cortex-m4"},
        {"mcpu": "cortex-m4", "ram": 1.5},
        {"mcpu": "cortex-m4", "ram": True},
        {"mcpu": "cortex-m4", "ram": 0},
        {"mcpu": "cortex-m4", "ram": -1},
        {"mcpu": ["cortex-m4"]},
        {"kind": "llvm", "mcpu": "cortex-m4"},
        {"kind": "c"},
        {"kind": "c", "mcpu": "cortex-m4", "march": "armv7e-m"},
        {"kind": "c", "mcpu": "cortex-m4", "tag": "tinyml/cortex-m3"},
        {1: "cortex-m4"},
        {},
        None,
        7,
        ["tinyml"],
    ],
)
def test_malformed_dicts_and_other_types_are_refused(spec: Any) -> None:
    with pytest.raises(TargetError):
        parse_target(spec)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("1", 1),
        ("16384", 16384),
        ("64K", 65536),
        ("64KiB", 65536),
        ("2M", 2 << 20),
        ("1MiB", 1 << 20),
        ("4096M", 1 << 32),
    ],
)
def test_sizes_are_binary(text: str, nbytes: int) -> None:
    assert parse_target(f"tinyml -mcpu=cortex-m4 -ram={text}").ram_bytes == nbytes


@pytest.mark.parametrize(
    "text",
    [
        "64KB",
        "64kB",
        "64k",
        "64MB",
        "1G",
        "1.5K",
        "-1",
        "+1",
        "0",
        "0K",
        "0x100",
        "K",
        "64 K",
        "4097M",
        "٦٤",
        "1e3",
        "9" * 5000,
    ],
)
def test_other_spellings_of_sizes_are_refused(text: str) -> None:
    with pytest.raises(TargetError, match=r"-ram|form"):
        parse_target(f"tinyml -mcpu=cortex-m4 -ram={text}")


@st.composite
def target_options(draw: st.DrawFn) -> dict[str, Any]:
    """Options of a valid target: any core, any of its boards or none, budgets within a named board."""
    catalogue = load_catalogue()
    core = catalogue.cores[draw(st.sampled_from(sorted(catalogue.cores)))]
    board = draw(st.sampled_from([None, *catalogue.boards_with(core.name)]))
    options: dict[str, Any] = {"mcpu": core.name}
    if board is not None:
        options["board"] = board
    for option, field in (("ram", "ram_bytes"), ("flash", "flash_bytes")):
        limit = (getattr(catalogue.boards[board], field) if board else None) or 1 << 32
        corners = [size for size in (limit, limit // 2, 1024, 1 << 20) if size <= limit]
        budget = draw(st.none() | st.sampled_from(corners) | st.integers(1, limit))
        if budget is not None:
            options[option] = budget
    choices = {
        "compiler": list(core.flags),
        "rounding": ["litert", "tflm"],
        "io": ["arena", "caller"],
        "input": ["held", "kept", "rows", "tiles"],
        "planner": ["auto", "greedy", "exact"],
        "opt": ["balanced", "size", "speed"],
        "without": ["FoldPad", "FoldPad,DropIdentity"],
    }
    for option, values in choices.items():
        value = draw(st.sampled_from([None, *values]))
        if value is not None:
            options[option] = value
    return options


@given(target_options())
def test_canonical_string_parses_back_to_an_equal_config(options: dict[str, Any]) -> None:
    config = parse_target(options)
    again = parse_target(str(config))
    assert again == config
    assert hash(again) == hash(config)
    assert str(again) == str(config)


@given(target_options())
def test_config_survives_pickling(options: dict[str, Any]) -> None:
    config = parse_target(options)
    assert pickle.loads(pickle.dumps(config)) == config


@given(target_options(), st.randoms())
def test_order_of_options_does_not_matter(options: dict[str, Any], random: Any) -> None:
    words = [f"-{name}={value}" for name, value in options.items()]
    random.shuffle(words)
    assert parse_target(" ".join(["tinyml", *words])) == parse_target(options)


@given(st.text(alphabet="tinyml/-=mcpuboardcortex0123458 rflashK", max_size=60) | st.text(max_size=30))
def test_any_text_is_parsed_or_refused_by_a_target_error(text: str) -> None:
    for spec in (text, f"tinyml {text}", f"tinyml -mcpu=cortex-m4 {text}"):
        try:
            config = parse_target(spec)
        except TargetError:
            continue
        assert parse_target(str(config)) == config


def test_config_is_frozen_and_refuses_fields_that_contradict_each_other() -> None:
    config = parse_target("tinyml -board=stm32f746g-disco")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.rounding = "tflm"  # type: ignore[misc]
    contradictions: tuple[dict[str, Any], ...] = (
        {"compiler": "icc"},
        {"rounding": "up"},
        {"io": "stack"},
        {"input": "columns"},
        {"planner": "best"},
        {"opt": "fast"},
        {"ram_bytes": 0},
        {"ram_bytes": 1 << 20},
        {"ram_bytes": None},
        {"board": parse_target("tinyml -mcpu=cortex-m4").board},
    )
    for changes in contradictions:
        with pytest.raises(TargetError):
            dataclasses.replace(config, **changes)


def test_description_is_plain_data() -> None:
    for core in list_cores():
        config = parse_target(f"tinyml -mcpu={core.name}")
        description = json.loads(json.dumps(config.describe()))
        assert description["target"] == str(config)
        assert description["features"] == sorted(core.features)


def test_importing_and_parsing_does_not_import_tvm() -> None:
    code = (
        "import sys; from tvm_tinyml.target import parse_target; parse_target('tinyml/cortex-m55');"
        "sys.exit('tvm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_configs_of_different_options_differ() -> None:
    specs = [
        "tinyml -mcpu=cortex-m4",
        "tinyml -mcpu=cortex-m4 -board=mps2-an386",
        "tinyml -mcpu=cortex-m4 -board=nrf52840-dk",
        "tinyml -mcpu=cortex-m4 -ram=64K",
        "tinyml -mcpu=cortex-m4 -flash=64K",
        "tinyml -mcpu=cortex-m4 -compiler=clang",
        "tinyml -mcpu=cortex-m4 -rounding=tflm",
        "tinyml -mcpu=cortex-m4 -io=caller",
        "tinyml -mcpu=cortex-m4 -planner=greedy",
        "tinyml -mcpu=cortex-m4 -opt=size",
    ]
    configs: set[TargetConfig] = {parse_target(spec) for spec in specs}
    assert len(configs) == len(specs)
    assert sorted(str(config) for config in configs) == sorted(specs)
