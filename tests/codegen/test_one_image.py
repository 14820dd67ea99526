"""Three models in one Cortex-M55 image, one after the other in one arena: exact, and no larger than their parts."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.runner.tools import usable_target
from tests.support.single_ops.networks import small_networks
from tvm_tinyml import relay
from tvm_tinyml.resources import data_dir
from tvm_tinyml.runner.linker import linker_script
from tvm_tinyml.target import TargetConfig

DIGITS = Path(__file__).resolve().parents[1] / "models" / "digits.tflite"
TARGET = "-mcpu=cortex-m55"
STACK = 8192
BOARDS = data_dir("runtime_c") / "boards"
# Alignment of sections between models, and code that a linker shares or pads.
SLACK = 0.02


@cache
def config() -> TargetConfig:
    return usable_target(TARGET)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of three models with self-tests, each named after its model."""
    root = tmp_path_factory.mktemp("models")
    files = [DIGITS]
    for network in small_networks()[:2]:
        files.append(root / f"{network.id.replace('-', '_')}.tflite")
        files[-1].write_bytes(network.model_bytes)
    folders = []
    for file in files:
        module, _ = relay.frontend.from_tflite(file)
        built = relay.build(module, target=f"tinyml {TARGET}")
        folders.append(built.export_folder(root / built.name, selftest=True))
    return folders


def image(models: list[Path], folder: Path) -> Path:
    """An image that runs the self-tests of models in one arena; its exit code is the number that failed."""
    names = [model.name for model in models]
    includes = "".join(f'#include "{name}.h"\n#include "{name}_selftest.h"\n' for name in names)
    arena = " ".join(f"uint8_t {name}[{name.upper()}_ARENA_BYTES];" for name in names)
    runs = "".join(f"    failed += {name}_selftest(&arena) != 0;\n" for name in names)
    main = (
        f'#include <stdint.h>\n#include "board.h"\n#include "semihosting.h"\n{includes}'
        f"static union {{ uint64_t aligned[2]; {arena} }} arena __attribute__((aligned(16)));\n"
        f"_Noreturn void harness_main(void)\n{{\n    uintptr_t failed = 0;\n    (void)&arena;\n{runs}"
        "    semihosting_exit(failed);\n}\n"
    )
    folder.mkdir()
    (folder / "main.c").write_text(main)
    board = config().board
    assert board is not None
    (folder / "link.ld").write_text(linker_script(board, STACK))
    sources = [folder / "main.c", BOARDS / "common" / "semihosting.c", BOARDS / "common" / "fault.c"]
    sources += [
        *(BOARDS / "arm").glob("*.[cS]"),
        *(file for model in models for file in sorted(model.glob("*.c"))),
    ]
    paths = [BOARDS, BOARDS / "common", *models, *(model / "include" for model in models)]
    flags = [
        "-std=c11",
        "-ffreestanding",
        "-ffunction-sections",
        "-fdata-sections",
        *(f"-I{path}" for path in paths),
    ]
    link = ["-nostartfiles", "-T", "link.ld", "-Wl,--gc-sections"]
    run([*config().compiler_command(), *flags, *link, *map(str, sources), "-o", "image.elf"], folder)
    return folder / "image.elf"


def size(elf: Path) -> int:
    """Bytes of code and constants."""
    lines = run([f"{config().core.gcc}size", elf.name], elf.parent).splitlines()
    text, data, _ = (int(word) for word in lines[1].split()[:3])
    return text + data


def test_all_three_are_exact(projects: list[Path], tmp_path: Path) -> None:
    elf = image(projects, tmp_path / "all")
    qemu = config().board.qemu  # type: ignore[union-attr]
    assert qemu is not None
    command = [qemu.binary, "-machine", qemu.machine, *qemu.args, *(["-cpu", qemu.cpu] if qemu.cpu else [])]
    command += ["-display", "none", "-serial", "none", "-monitor", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", elf.name]
    run(command, elf.parent)


def test_the_image_is_as_large_as_its_parts(projects: list[Path], tmp_path: Path) -> None:
    empty = size(image([], tmp_path / "empty"))
    parts = sum(size(image([project], tmp_path / project.name)) - empty for project in projects)
    together = size(image(projects, tmp_path / "all")) - empty
    assert together <= parts * (1 + SLACK)
