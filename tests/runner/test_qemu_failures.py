"""A program that faults, hangs, fails or does not fit ends in one clear error within its time limit."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import pytest

from tests.runner.tiny_project import some_inputs, write_assembly_project, write_project
from tests.runner.tools import QEMU_BOARDS, usable_target
from tvm_tinyml.errors import BuildError, RunError
from tvm_tinyml.runner import run_qemu
from tvm_tinyml.runner.elf import Symbol, SymbolTable
from tvm_tinyml.runner.faults import fault_error, parse_registers
from tvm_tinyml.target import TargetConfig

NO_SYMBOLS = SymbolTable([])


def unmapped_address(config: TargetConfig) -> int:
    """Return an address where the board's machine has neither memory nor a device."""
    return 0x70000000 if config.core.name == "cortex-m0" else 0x4F000000


def fault_of(config: TargetConfig, folder: Path, inserted: str) -> str:
    """Return the message of the RunError that layer 1 with the `inserted` C ends in."""
    project = write_project(folder / "project", inserted=inserted)
    with pytest.raises(RunError) as caught:
        run_qemu(project, config, some_inputs(1), timeout=30)
    return str(caught.value)


@pytest.mark.parametrize("options", QEMU_BOARDS)
def test_store_to_an_unmapped_address_names_registers_and_function(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    address = unmapped_address(config)
    message = fault_of(config, tmp_path, f"*(volatile int8_t *){address:#x} = 1;")
    assert "faulted in tiny_shift+0x" in message
    if config.core.family == "riscv":
        registers = ["mcause=0x00000007", "mepc=0x", f"mtval={address:#010x}"]
    elif config.core.name == "cortex-m0":
        registers = ["PC=0x", "LR=0x", "xPSR=0x"]
    else:
        registers = [
            "CFSR=0x00008200",
            "HFSR=0x40000000",
            "MMFAR=0x",
            f"BFAR={address:#010x}",
            "PC=0x",
            "xPSR=0x",
        ]
    for register in registers:
        assert register in message


@pytest.mark.parametrize("options", QEMU_BOARDS)
def test_undefined_instruction_names_registers_and_function(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    message = fault_of(config, tmp_path, '__asm__ volatile(".word 0xffffffff");')
    assert "faulted in tiny_shift+0x" in message
    # Armv6-M has no register that tells what the fault was.
    assert ("undefined instruction" in message) == (config.core.name != "cortex-m0")


def test_fault_without_a_usable_handler_is_a_lockup(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m3")
    no_vectors = "*(volatile uint32_t *)0xE000ED08 = 0x4F000000;"
    message = fault_of(config, tmp_path, f'{no_vectors} __asm__ volatile(".short 0xde00");')
    assert "the processor locked up in tiny_shift+0x" in message
    for register in ("SP=0x", "PC=0x", "LR=0x", "xPSR=0x"):
        assert register in message


@pytest.mark.parametrize("options", QEMU_BOARDS)
def test_large_frame_overflows_the_stack(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    message = fault_of(
        config,
        tmp_path,
        "volatile int8_t big[1 << 17]; for (int i = 0; i < 1 << 17; ++i) big[i] = input[i & 7];",
    )
    assert "stack overflow" in message
    assert "give it more with stack_bytes" in message


@pytest.mark.parametrize("options", QEMU_BOARDS)
def test_endless_recursion_overflows_the_stack(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    message = fault_of(
        config,
        tmp_path,
        'tiny_shift(input, output); __asm__ volatile("" ::: "memory"); output[0] = input[1];',
    )
    assert "stack overflow" in message


def test_a_larger_stack_cures_the_overflow(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m3")
    inserted = "volatile int8_t big[100000]; for (int i = 0; i < 100000; ++i) big[i] = input[i & 7];"
    project = write_project(tmp_path / "project", inserted=inserted)
    stack_bytes = run_qemu(project, config, some_inputs(1), stack_bytes=128 * 1024).stack_bytes
    assert stack_bytes is not None
    assert 100000 < stack_bytes < 100200
    with pytest.raises(RunError, match="its 98304 bytes of stack"):
        run_qemu(project, config, some_inputs(1), stack_bytes=96 * 1024)
    with pytest.raises(RunError, match="positive multiple of 16"):
        run_qemu(project, config, some_inputs(1), stack_bytes=100)


@pytest.mark.parametrize("options", ["-mcpu=cortex-m3", "-mcpu=rv32imc"])
def test_endless_loop_is_stopped_at_the_time_limit(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    project = write_project(tmp_path / "project", inserted='for (;;) __asm__ volatile("");')
    start = time.monotonic()
    with pytest.raises(RunError, match="did not end within 2 s and was stopped"):
        run_qemu(project, config, some_inputs(1), timeout=2)
    # Compiling and starting QEMU on a busy machine come on top of the limit.
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("options", ["-mcpu=cortex-m3", "-mcpu=rv32imc"])
def test_failure_reported_by_the_model_is_an_error(options: str, tmp_path: Path) -> None:
    config = usable_target(options)
    with pytest.raises(RunError, match="tiny_run returned -7 instead of 0"):
        run_qemu(write_project(tmp_path, result=-7), config, some_inputs(1))


def test_too_large_arena_states_needed_and_available_bytes(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m0")
    with pytest.raises(BuildError) as caught:
        run_qemu(write_project(tmp_path, arena_bytes=20000), config, some_inputs(1))
    message = str(caught.value)
    assert "model tiny does not fit on board microbit" in message
    assert "has 16384" in message
    assert "the arena alone takes 20000 bytes" in message
    assert "choose a board with more memory" in message
    needed = int(message.split("sram needs ")[1].split()[0])
    assert 22048 <= needed < 22500


def test_too_much_code_states_needed_and_available_bytes(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m0")
    inserted = 'static const int8_t table[300000] = {1}; __asm__ volatile("" :: "r"(table));'
    with pytest.raises(
        BuildError, match=r"ROM region flash needs 30\d{4} bytes and has 262144; .*a smaller model"
    ):
        run_qemu(write_project(tmp_path, inserted=inserted), config, some_inputs(1))


def test_compiler_complaint_is_passed_on(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m3")
    with pytest.raises(BuildError, match=r"(?s)compiling tiny\.c: .*not_declared"):
        run_qemu(write_project(tmp_path, inserted="not_declared = 1;"), config, [])


def test_undefined_symbol_does_not_link(tmp_path: Path) -> None:
    config = usable_target("-mcpu=cortex-m3")
    inserted = "extern void nowhere(void); nowhere();"
    with pytest.raises(BuildError, match=r"(?s)linking tiny\.elf: .*undefined reference to `nowhere'"):
        run_qemu(write_project(tmp_path, inserted=inserted), config, [])


def test_missing_tools_name_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path / "project")
    arm = usable_target("-mcpu=cortex-m3")
    riscv = usable_target("-mcpu=rv32imc")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"):
        run_qemu(project, arm, some_inputs(1))
    with pytest.raises(BuildError, match="gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"):
        run_qemu(project, riscv, some_inputs(1))


def test_missing_emulator_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = usable_target("-mcpu=rv32imc")
    project = write_project(tmp_path / "project")
    only_compiler = tmp_path / "bin"
    only_compiler.mkdir()
    for tool in ("gcc", "nm", "size"):
        name = f"riscv64-unknown-elf-{tool}"
        path = shutil.which(name)
        assert path is not None
        (only_compiler / name).symlink_to(path)
    monkeypatch.setenv("PATH", str(only_compiler))
    with pytest.raises(RunError, match=r"qemu-system-riscv32 is not installed.*qemu-system-misc"):
        run_qemu(project, config, some_inputs(1))


def test_temporary_files_are_removed_after_success_and_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = usable_target("-mcpu=cortex-m3")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    run_qemu(write_assembly_project(tmp_path / "good", "arm"), config, some_inputs(1))
    fault_of(config, tmp_path, "*(volatile int8_t *)0x4f000000 = 1;")
    assert list(temporary.iterdir()) == []


def test_counting_plugin_is_compiled_once_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = usable_target("-mcpu=cortex-m3")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache, with comma"))
    project = write_assembly_project(tmp_path / "project", "arm")
    first = run_qemu(project, config, some_inputs(1))
    files = list((tmp_path / "cache, with comma" / "tvm-tinyml").iterdir())
    assert [file.suffix for file in files] == [".so"]
    modified = files[0].stat().st_mtime_ns
    second = run_qemu(project, config, some_inputs(1))
    assert files[0].stat().st_mtime_ns == modified
    assert first.instructions == second.instructions


def test_fault_without_known_function_still_shows_registers() -> None:
    registers = parse_registers("SP 20000100\nPC 4f000000\nsplimit 20000000\nCFSR 00000001\nHFSR 400")
    error = fault_error(registers, NO_SYMBOLS, "mps2-an385", 4096)
    assert str(error) == (
        "board mps2-an385: the program faulted: instruction fetch from a forbidden address "
        "(SP=0x20000100, PC=0x4f000000, CFSR=0x00000001)"
    )


def test_fault_address_just_below_the_stack_is_an_overflow() -> None:
    registers = parse_registers("SP 20000008\nPC 00000103\nsplimit 20000000\nCFSR 00000082\nMMFAR 1ffffffc\n")
    error = fault_error(registers, SymbolTable([Symbol("conv", 0x100, 0x20)]), "mps2-an385", 4096)
    assert "stack overflow in conv+0x2: the program needs more than its 4096 bytes" in str(error)
