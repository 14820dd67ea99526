"""Every QEMU board has the memory its data file says, and its core the instructions its flags promise.

A probe program (firmware.c) is built with the compiler flags of the core, linked over the board's memory map
and run: it reads constants at the end of each ROM region, writes the first and last word of each RAM region
and executes floating-point, packed and vector instructions where the flags allow the compiler to.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tvm_tinyml.target import BoardConfig, TargetConfig, list_boards, load_catalogue, parse_target

FIRMWARE = Path(__file__).with_name("firmware.c")

COMBINATIONS = [
    f"tinyml -mcpu={core} -board={board.name} -compiler={compiler}"
    for board in list_boards()
    if board.runner == "qemu"
    for core in board.cores
    for compiler in load_catalogue().core(core).flags
]


def region_header(board: BoardConfig) -> str:
    """Return regions.h: a constant for the end of every ROM region, the addresses of the RAM words to try."""
    roms = range(len(board.regions("rom")))
    words = [address for region in board.regions("ram") for address in (region.origin, region.end - 4)]
    probes = [
        f'__attribute__((section(".probe_{i}"))) static const volatile uint32_t probe_{i} = {0x600D0000 + i};'
        for i in roms
    ]
    rom_list = ", ".join(f"&probe_{i}" for i in roms)
    ram_list = ", ".join(f"(volatile uint32_t *){address:#x}u" for address in words)
    return "\n".join(
        [
            *probes,
            f"static const volatile uint32_t *const rom_probes[] = {{{rom_list}}};",
            f"static volatile uint32_t *const ram_words[] = {{{ram_list}}};",
            f"enum {{ ROM_PROBE_COUNT = {len(roms)}, RAM_WORD_COUNT = {len(words)} }};\n",
        ]
    )


def linker_script(board: BoardConfig, entry: str) -> str:
    """Return a script that puts code at the start of the ROM and a probe into its last words."""
    code, data = board.code_region, board.data_region
    assert code is not None
    assert data is not None
    regions = [f"{r.name} : ORIGIN = {r.origin:#x}, LENGTH = {r.length:#x}" for r in board.memory]
    probes = [
        f".probe_{i} {region.end - 4:#x} : {{ KEEP(*(.probe_{i})) }} > {region.name}"
        for i, region in enumerate(board.regions("rom"))
    ]
    # Data and stack keep clear of the first and last word, which the program overwrites.
    sections = [
        f".text : {{ KEEP(*(.vectors)) *(.text*) *(.rodata*) }} > {code.name}",
        f".ARM.exidx : {{ *(.ARM.exidx*) }} > {code.name}",
        *probes,
        f".data {data.origin + 16:#x} (NOLOAD) : {{ *(.data* .sdata* .bss* .sbss*) }} > {data.name}",
        f"stack_top = {data.end - 64:#x};",
    ]
    return "\n".join(["MEMORY {", *regions, "}", f"ENTRY({entry})", "SECTIONS {", *sections, "}\n"])


def build(config: TargetConfig, folder: Path) -> Path:
    """Compile and link the probe for `config`; returns the ELF file."""
    assert config.board is not None
    entry = "entry" if config.core.family == "riscv" else "reset"
    (folder / "regions.h").write_text(region_header(config.board))
    (folder / "board.ld").write_text(linker_script(config.board, entry))
    compile_command = [
        *config.compiler_command(),
        *config.c_library_flags(),
        *(
            "-std=gnu99",
            "-Wall",
            "-Wextra",
            "-Werror",
            f"-I{folder}",
            "-c",
            str(FIRMWARE),
            "-o",
            "firmware.o",
        ),
    ]
    link_command = [
        *config.linker_command(),
        *("-nostartfiles", "-T", "board.ld", "firmware.o", "-o", "firmware.elf"),
    ]
    for command in (compile_command, link_command):
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
        assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr}"
    return folder / "firmware.elf"


@pytest.mark.parametrize("spec", COMBINATIONS)
def test_board_has_the_memory_and_instructions_of_its_data_file(spec: str, tmp_path: Path) -> None:
    config = parse_target(spec)
    board = config.board
    assert board is not None
    assert board.qemu is not None
    for program in (config.compiler_command()[0], config.linker_command()[0], board.qemu.binary):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    elf = build(config, tmp_path)
    command = [board.qemu.binary, "-machine", board.qemu.machine, *board.qemu.args]
    if board.qemu.cpu:
        command += ["-cpu", board.qemu.cpu]
    command += ["-display", "none", "-serial", "none", "-monitor", "none"]
    command += ["-icount", f"shift={board.qemu.icount_shift}"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(elf)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, f"check {result.returncode} of firmware.c failed\n{result.stderr}"
