"""What firmware expects of the generated C: hash and version, placement, self-test, guards, threads, standards."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.single_ops.networks import small_networks
from tvm_tinyml import relay
from tvm_tinyml.module import AOTModule
from tvm_tinyml.resources import data_dir

DIGITS = Path(__file__).resolve().parents[1] / "models" / "digits.tflite"
STRICT = ("-Wall", "-Wextra", "-Werror", "-Iinclude", "-I.")


@cache
def digits(options: str = "") -> AOTModule:
    module, _ = relay.frontend.from_tflite(DIGITS)
    return relay.build(module, target=f"tinyml -mcpu=host {options}")


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(command: list[str], folder: Path, expected: int = 0) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


def program(folder: Path, text: str, *flags: str) -> list[str]:
    """Builds a program of `text` and the sources of a project, and returns how to run it."""
    (folder / "main.c").write_text(text)
    sources = sorted(path.name for path in folder.glob("*.c"))
    run([tool("gcc"), "-std=c11", *STRICT, *flags, *sources, "-o", "program"], folder)
    return [str(folder / "program")]


def test_the_hash_is_of_the_generated_c() -> None:
    files = digits().files
    (found,) = re.findall(r'DIGITS_MODEL_HASH "([0-9a-f]{16})"', files["digits.h"])
    assert found in files["digits_version.c"]
    other, _ = relay.frontend.from_tflite(small_networks()[0].model_bytes)
    built = relay.build(other, target="tinyml -mcpu=host")
    assert found not in built.files[f"{built.name}.h"]


def test_the_version_is_in_an_image_that_asks_for_it(tmp_path: Path) -> None:
    folder = digits().export_folder(tmp_path / "project")
    text = '#include <stdio.h>\n#include "digits.h"\nint main(void) { return puts(digits_version) < 0; }\n'
    assert run(program(folder, text), folder).startswith("digits ")


def test_constants_lie_in_the_section_that_was_asked_for(tmp_path: Path) -> None:
    folder = digits().export_folder(tmp_path / "project")
    flags = ['-DDIGITS_CONSTANT_SECTION=".external_flash"', "-std=c99", *STRICT]
    run([tool("gcc"), *flags, "-c", "digits_data.c"], folder)
    sections = run([tool("objdump"), "-h", "digits_data.o"], folder)
    (size,) = re.findall(r"\.external_flash +([0-9a-f]{8})", sections)
    assert int(size, 16) >= digits().metadata["constant_bytes"]


def test_big_endian_compilers_are_refused(tmp_path: Path) -> None:
    folder = digits().export_folder(tmp_path / "project")
    swapped = ["-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"]
    said = run([tool("gcc"), *swapped, "-Iinclude", "-c", "digits_data.c"], folder, expected=1)
    assert "little-endian" in said


SELFTEST = """
#include <stdint.h>
#include "digits.h"
#include "digits_selftest.h"
static uint8_t arena[DIGITS_ARENA_BYTES] __attribute__((aligned(DIGITS_ARENA_ALIGNMENT)));
int main(void)
{
    const int constants = digits_check_constants(), result = digits_selftest(arena);
    return constants == (result == 1) ? result : 9;
}
"""


def test_the_selftest_passes_and_sees_damage(tmp_path: Path) -> None:
    folder = digits().export_folder(tmp_path / "project", selftest=True)
    run(program(folder, SELFTEST), folder)
    data = folder / "digits_data.c"
    intact = data.read_text()
    data.write_text(
        re.sub(r"= \{\n    (-?\d+),", lambda found: f"= {{\n    {int(found[1]) ^ 1},", intact, count=1)
    )
    run(program(folder, SELFTEST), folder, expected=1)
    data.write_text(intact)
    model = folder / "digits.c"
    model.write_text(
        model.read_text().replace(
            "int digits_run(void *arena)\n{", "int digits_run(void *arena)\n{ return 0;"
        )
    )
    run(program(folder, SELFTEST, "-Wno-unused-function", "-Wno-unused-variable"), folder, expected=2)


def test_guards_see_what_writes_past_the_arena(tmp_path: Path) -> None:
    folder = digits().export_folder(tmp_path / "project")
    text = """
#include <string.h>
#include "digits.h"
#include "tinyml_guard.h"
static uint8_t memory[TINYML_GUARD_BYTES + DIGITS_ARENA_BYTES + TINYML_GUARD_BYTES] __attribute__((aligned(16)));
int main(void)
{
    uint8_t *const arena = memory + TINYML_GUARD_BYTES, *const behind = arena + DIGITS_ARENA_BYTES;
    tinyml_guard_set(memory);
    tinyml_guard_set(behind);
    if (digits_run(arena) != 0 || !tinyml_guard_intact(memory) || !tinyml_guard_intact(behind))
        return 1;
    for (int i = 0; i < TINYML_GUARD_BYTES; i++) {
        behind[i] ^= 1;
        if (tinyml_guard_intact(behind) || !tinyml_guard_intact(memory))
            return 2;
        behind[i] ^= 1;
    }
    memcpy(behind, behind + 4, 4);
    return tinyml_guard_intact(behind) ? 3 : 0;
}
"""
    run(program(folder, text), folder)


def test_two_threads_run_one_model(tmp_path: Path) -> None:
    folder = digits().export_folder(tmp_path / "project", selftest=True)
    text = """
#include <pthread.h>
#include <stdint.h>
#include "digits.h"
#include "digits_selftest.h"
static uint8_t arenas[2][DIGITS_ARENA_BYTES + DIGITS_ARENA_ALIGNMENT] __attribute__((aligned(DIGITS_ARENA_ALIGNMENT)));
static void *work(void *arena)
{
    intptr_t failed = 0;
    for (int i = 0; i < 50; i++)
        failed |= digits_selftest(arena);
    return (void *)failed;
}
int main(void)
{
    pthread_t threads[2];
    void *failed[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, work, arenas[i]) != 0)
            return 9;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], &failed[i]);
    return failed[0] != NULL || failed[1] != NULL;
}
"""
    text = text.replace("+ DIGITS_ARENA_ALIGNMENT]", "+ 15 - (DIGITS_ARENA_BYTES + 15) % 16]")
    run(program(folder, text, "-O2", "-pthread", "-fsanitize=thread"), folder)


@pytest.mark.parametrize("compiler", ["gcc", "clang-19"])
@pytest.mark.parametrize("standard", ["c99", "c11", "c++11", "c++20"])
def test_headers_compile_in_every_standard(standard: str, compiler: str, tmp_path: Path) -> None:
    folder = digits().export_folder(tmp_path / "project", selftest=True)
    language = "c++" if "+" in standard else "c"
    (folder / "user.c").write_text(
        '#include "digits.h"\n#include "digits_selftest.h"\n#include "tinyml_guard.h"\n'
        "int use(void *arena) { tinyml_guard_set(arena); return digits_selftest(arena) + digits_run(arena)\n"
        "    + tinyml_guard_intact(arena); }\n"
    )
    flags = [f"-std={standard}", "-pedantic", *STRICT, "-fsyntax-only", "-x", language]
    run([tool(compiler), *flags, "user.c"], folder)


def test_the_runtime_headers_are_shipped_with_the_project() -> None:
    assert (
        digits().files["include/tinyml_guard.h"]
        == (data_dir("runtime_c") / "include" / "tinyml_guard.h").read_text()
    )
