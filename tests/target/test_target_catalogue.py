"""The data files: complete, refused with file and key when defective, and extended by one file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tvm_tinyml.errors import TargetError
from tvm_tinyml.target import SEARCH_PATH_VARIABLE, list_boards, list_cores, load_catalogue, parse_target

CORES = [
    "cortex-m0",
    "cortex-m0plus",
    "cortex-m3",
    "cortex-m4",
    "cortex-m7",
    "cortex-m33",
    "cortex-m55",
    "cortex-m85",
    "host",
    "rv32imc",
    "rv32imcv",
]

DEFAULT_BOARDS = {
    "cortex-m0": "microbit",
    "cortex-m0plus": None,
    "cortex-m3": "mps2-an385",
    "cortex-m4": "mps2-an386",
    "cortex-m7": "mps2-an500",
    "cortex-m33": "mps2-an505",
    "cortex-m55": "mps3-an547",
    "cortex-m85": None,
    "host": "host",
    "rv32imc": "virt-rv32",
    "rv32imcv": "virt-rv32",
}

COMPILE_ONLY = {
    "alif-e7-hp",
    "esp32-c3-devkitm",
    "nrf52840-dk",
    "rp2040-pico",
    "rp2350-pico2",
    "stm32f746g-disco",
}

CORE_TOML = """
title = "A core made up for this test"
family = "arm"
features = ["dsp"]
alignment = 8
gcc = "arm-none-eabi-"
llvm_triple = "thumbv7em-none-eabi"
tvm_keys = ["arm_cpu", "cpu"]
default_compiler = "gcc"

[compilers.gcc]
flags = ["-mcpu=cortex-m4"]

[compilers.clang]
refused = "it is not known there"
"""

BOARD_TOML = """
title = "A board made up for this test"
cores = ["cortex-m4"]
runner = "none"

[[memory]]
name = "flash"
kind = "rom"
origin = 0x08000000
length = "64K"

[[memory]]
name = "sram"
kind = "ram"
origin = 0x20000000
length = "20K"
"""


def folder_with(tmp_path: Path, **files: str) -> Path:
    """Write core_<name> and board_<name> texts as data files below `tmp_path` and return it."""
    for name, text in files.items():
        kind, _, stem = name.partition("_")
        path = tmp_path / f"{kind}s" / f"{stem.replace('_', '-')}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_all_cores_are_there_in_natural_order_with_their_boards() -> None:
    assert [core.name for core in list_cores()] == CORES
    assert {core.name: core.default_board for core in list_cores()} == DEFAULT_BOARDS


def test_boards_run_on_qemu_on_the_host_or_are_compile_only() -> None:
    boards = {board.name: board.runner for board in list_boards()}
    emulated = {name for name in DEFAULT_BOARDS.values() if name not in (None, "host")}
    assert {name for name, runner in boards.items() if runner == "qemu"} == emulated
    assert {name for name, runner in boards.items() if runner == "none"} == COMPILE_ONLY
    assert boards["host"] == "host"


def test_large_models_fit_the_boards_meant_for_them() -> None:
    # MobileNetV2 at full width needs 4 MB of weights besides its code and a 1.7 MB arena.
    for name in ("mps2-an500", "mps3-an547"):
        board = load_catalogue().board(name)
        assert board.constants_region is not None
        assert board.arena_region is not None
        assert board.constants_region.length > 5 << 20
        assert board.arena_region.length > 2 << 20


@pytest.mark.parametrize("through", ["variable", "parameter"])
def test_adding_a_core_takes_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str) -> None:
    folder = folder_with(tmp_path, core_made_up=CORE_TOML)
    if through == "variable":
        monkeypatch.setenv(SEARCH_PATH_VARIABLE, str(folder))
        config = parse_target("tinyml -mcpu=made-up -ram=8K")
        assert "made-up" in [core.name for core in list_cores()]
        with pytest.raises(TargetError, match="not known there; use -compiler=gcc"):
            parse_target("tinyml -mcpu=made-up -compiler=clang")
    else:
        config = parse_target("tinyml -mcpu=made-up -ram=8K", search_path=[folder])
        with pytest.raises(TargetError, match="unknown core 'made-up'"):
            parse_target("tinyml -mcpu=made-up -ram=8K")
    assert (config.core.title, config.alignment) == ("A core made up for this test", 8)
    assert config.compiler_command() == ("arm-none-eabi-gcc", "-mcpu=cortex-m4")


def test_adding_a_core_to_an_existing_board_takes_one_file(tmp_path: Path) -> None:
    text = 'default_board = "virt-rv32"\nqemu_cpu = "rv32,c=false"\n' + CORE_TOML
    config = parse_target("tinyml -mcpu=made-up", search_path=[folder_with(tmp_path, core_made_up=text)])
    assert config.board is not None
    assert config.board.qemu is not None
    assert (config.board.name, config.board.qemu.cpu) == ("virt-rv32", "rv32,c=false")


def test_adding_a_board_takes_one_file(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, board_made_up=BOARD_TOML)
    config = parse_target("tinyml -board=made-up", search_path=[folder])
    assert (config.core.name, config.ram_bytes, config.flash_bytes) == ("cortex-m4", 20 << 10, 64 << 10)
    assert parse_target(str(config), search_path=[folder]) == config


def test_several_folders_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    folder_with(first, core_made_up=CORE_TOML)
    folder_with(second, board_made_up=BOARD_TOML.replace("cortex-m4", "made-up"))
    monkeypatch.setenv(SEARCH_PATH_VARIABLE, os.pathsep.join([str(first), str(second)]))
    assert parse_target("tinyml -board=made-up").core.name == "made-up"


def without(text: str, key: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith(key))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", ["not valid TOML"]),
        ("title = 'a'\ntitle = 'b'", ["not valid TOML"]),
        ("colour = 1\n" + CORE_TOML, ["unknown key 'colour'", "valid: title"]),
        ("algnment = 4\n" + without(CORE_TOML, "alignment"), ["'algnment'", "did you mean 'alignment'"]),
        (without(CORE_TOML, "gcc = "), ["missing key 'gcc'"]),
        (CORE_TOML.replace('"arm"', '"mips"'), ["family", "'mips'", "arm, riscv, host"]),
        (CORE_TOML.replace('["dsp"]', '["dps"]'), ["features", "did you mean 'dsp'"]),
        (CORE_TOML.replace('["dsp"]', "[1]"), ["features", "array of strings"]),
        (CORE_TOML.replace('["dsp"]', '"dsp"'), ["features", "array of strings"]),
        (CORE_TOML.replace("alignment = 8", "alignment = true"), ["alignment", "an integer"]),
        (CORE_TOML.replace("alignment = 8", "alignment = 12"), ["alignment", "power of two"]),
        (CORE_TOML.replace("alignment = 8", "alignment = 0"), ["alignment", "1 .. 64"]),
        (CORE_TOML.replace('title = "A core', 'title = 3 # "'), ["title", "a string"]),
        (CORE_TOML.replace('compiler = "gcc"', 'compiler = "clang"'), ["default_compiler", "clang"]),
        (CORE_TOML.replace("[compilers.gcc]", "[compilers.icc]"), ["compilers", "unknown key 'icc'"]),
        (CORE_TOML + "flags = ['-O3']\n", ["compilers: clang", "not both"]),
        (CORE_TOML.replace("flags = [", "flag = ["), ["compilers: gcc", "did you mean 'flags'"]),
        ("default_board = 'mps2-an38'\n" + CORE_TOML, ["default_board", "'mps2-an385'"]),
        ("default_board = 'virt-rv32'\n" + CORE_TOML, ["default_board", "qemu_cpu"]),
    ],
)
def test_defective_core_file_is_refused_by_file_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    folder = folder_with(tmp_path, core_made_up=text)
    with pytest.raises(TargetError) as caught:
        load_catalogue([folder])
    assert "made-up.toml" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


REGION = '\n[[memory]]\nname = "more"\nkind = "ram"\norigin = {origin}\nlength = "{length}"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOARD_TOML.replace('"cortex-m4"', '"cortex-m44"'), ["cores", "did you mean 'cortex-m4'"]),
        (BOARD_TOML.replace('"cortex-m4"', ""), ["cores", "at least one"]),
        (BOARD_TOML.replace('runner = "none"', 'runner = "jlink"'), ["runner", "qemu, host, none"]),
        (BOARD_TOML.replace('runner = "none"', 'runner = "qemu"'), ["qemu"]),
        (BOARD_TOML + '\n[qemu]\nbinary="q"\nmachine="m"\nicount_shift=6\n', ["qemu"]),
        (BOARD_TOML.replace('kind = "ram"', 'kind = "rom"'), ["memory", "ram"]),
        (BOARD_TOML.replace('kind = "ram"', 'kind = "RAM"'), ["memory[1]: kind", "rom, ram"]),
        (BOARD_TOML.replace('"20K"', '"20KB"'), ["memory[1]: length", "20KB"]),
        (BOARD_TOML.replace('"20K"', "20"), ["memory[1]: length", "size string"]),
        (BOARD_TOML.replace('"20K"', '"0K"'), ["memory[1]: length"]),
        (BOARD_TOML.replace("0x20000000", "-1"), ["memory[1]: origin"]),
        (BOARD_TOML.replace("0x20000000", "0xffffff00"), ["sram", "32-bit"]),
        (BOARD_TOML.replace("0x20000000", "0x0800ff00"), ["flash and sram overlap"]),
        (BOARD_TOML.replace('"sram"', '"flash"'), ["memory", "names must differ"]),
        (BOARD_TOML + REGION.format(origin="0x20004000", length="8K"), ["sram and more overlap"]),
        ("memory = [3]\n" + BOARD_TOML.split("[[")[0], ["memory[0]", "a table"]),
        (BOARD_TOML.split("[[")[0], ["memory"]),
    ],
)
def test_defective_board_file_is_refused_by_file_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    folder = folder_with(tmp_path, board_made_up=text)
    with pytest.raises(TargetError) as caught:
        load_catalogue([folder])
    assert "made-up.toml" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_name_is_given_once_over_all_folders(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, core_host=CORE_TOML)
    with pytest.raises(TargetError, match=r"host is already defined by .*host\.toml"):
        load_catalogue([folder])


def test_bad_file_names_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no such folder"):
        load_catalogue([tmp_path / "nowhere"])
    folder_with(tmp_path, **{"core_Made Up": CORE_TOML})
    with pytest.raises(TargetError, match="the file name is the name"):
        load_catalogue([tmp_path])


def test_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    folder_with(tmp_path, core_made_up="")
    (tmp_path / "cores" / "made-up.toml").write_bytes(b"\xff\xfe\x00title")
    with pytest.raises(TargetError, match=r"made-up\.toml: not valid TOML"):
        load_catalogue([tmp_path])
