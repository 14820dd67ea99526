"""Compiler command lines: every core builds with its compilers and gets the features it promises."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tvm_tinyml.errors import BuildError, TargetError
from tvm_tinyml.target import TargetConfig, list_cores, parse_target, toolchain

COMBINATIONS = [
    f"tinyml -mcpu={core.name} -compiler={compiler}" for core in list_cores() for compiler in core.flags
]

# Predefined macros by which a compiler says that a feature is on.
FEATURE_MACROS = {
    "dsp": "__ARM_FEATURE_DSP",
    "fpu": "__ARM_FP",
    "mve": "__ARM_FEATURE_MVE",
    "rv32": "__riscv",
    "rvv": "__riscv_vector",
    "thumb1": "__ARM_ARCH_6M__",
}

SOURCE = """
#include <stdint.h>
#include <string.h>
int32_t scaled(int32_t value, int32_t multiplier);
int32_t scaled(int32_t value, int32_t multiplier) { return (int32_t)(((int64_t)value * multiplier) / 12345); }
void moved(int8_t *to, const int8_t *from, size_t count);
void moved(int8_t *to, const int8_t *from, size_t count) { memcpy(to, from, count); }
int main(void) { int8_t a[4] = {1, 2, 3, 4}, b[4]; moved(b, a, sizeof a); return (int)scaled(b[0], 3); }
"""


def require(config: TargetConfig) -> None:
    for program in (config.compiler_command()[0], config.linker_command()[0]):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize("spec", COMBINATIONS)
def test_a_program_compiles_without_a_warning_and_links(spec: str, tmp_path: Path) -> None:
    config = parse_target(spec)
    require(config)
    (tmp_path / "program.c").write_text(SOURCE)
    warnings = ("-std=c99", "-Wall", "-Wextra", "-Wshadow", "-Werror")
    compile_command = [*config.compiler_command(), *config.c_library_flags(), *warnings, "-c", "program.c"]
    # No start-up code here: nothing but libgcc and the C library may be missing from the program.
    bare = [] if config.core.family == "host" else ["-nostartfiles", "-Wl,-e,main"]
    link_command = [*config.linker_command(), *bare, "program.o", "-o", "program"]
    for command in (compile_command, link_command):
        result = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
        assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr}"
        assert result.stderr == ""


# A host has features of its own that no schedule asks for.
@pytest.mark.parametrize("spec", [spec for spec in COMBINATIONS if "-mcpu=host" not in spec])
def test_flags_switch_on_the_features_of_the_core_and_no_others(spec: str) -> None:
    config = parse_target(spec)
    require(config)
    command = [*config.compiler_command(), "-dM", "-E", "-x", "c", "/dev/null"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    macros = {line.split()[1] for line in result.stdout.splitlines()}
    assert {feature for feature, macro in FEATURE_MACROS.items() if macro in macros} == config.core.features


def test_clang_takes_the_headers_of_the_c_library_that_gcc_links(monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse_target("tinyml -mcpu=cortex-m4 -compiler=clang")
    require(config)
    option, folder = config.c_library_flags()
    assert option == "-isystem"
    assert (Path(folder) / "string.h").is_file()
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BuildError, match="arm-none-eabi-gcc is not installed"):
        config.c_library_flags()


def test_gcc_and_host_need_no_header_folder() -> None:
    assert parse_target("tinyml -mcpu=cortex-m4").c_library_flags() == ()
    assert parse_target("tinyml -mcpu=host -compiler=clang").c_library_flags() == ()


def test_missing_c_library_is_an_error_with_the_reason_of_gcc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcc = tmp_path / "arm-none-eabi-gcc"
    gcc.write_text("#!/bin/sh\necho 'fatal error: string.h: No such file' >&2\nexit 1\n")
    gcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(BuildError, match=r"no C library .*string\.h: No such file"):
        parse_target("tinyml -mcpu=cortex-m4 -compiler=clang").c_library_flags()


def test_measured_clang_is_preferred_then_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert toolchain.clang_program() == "clang"
    for name in ("clang", "clang-16", "clang-22", "clang-19"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert toolchain.clang_program() == "clang-19"
    (tmp_path / "clang-19").unlink()
    assert toolchain.clang_program() == "clang-22"


def test_a_refused_compiler_has_no_command() -> None:
    core = parse_target("tinyml -mcpu=rv32imcv").core
    with pytest.raises(TargetError, match="-compiler=clang"):
        toolchain.compiler_command(core, "gcc")
