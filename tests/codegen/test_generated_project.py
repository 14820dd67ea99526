"""The generated project: clean C, identical bytes for identical input, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.plugin.python_process import WITHOUT_PYTORCH
from tests.support.oracle import random_inputs, require_oracle, run_reference
from tests.support.single_ops.networks import small_networks
from tvm_tinyml import relay
from tvm_tinyml.errors import OutputExistsError
from tvm_tinyml.module import AOTModule
from tvm_tinyml.target import parse_target

DIGITS = Path(__file__).resolve().parents[1] / "models" / "digits.tflite"
NETWORKS = {"digits": DIGITS.read_bytes()} | {network.id: network.model_bytes for network in small_networks()}
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wshadow", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@cache
def build(name: str, target: str) -> AOTModule:
    # From a file the model takes the file's name, from bytes it is called "model".
    module, _ = relay.frontend.from_tflite(DIGITS if name == "digits" else NETWORKS[name])
    return relay.build(module, target=target)


def compiler(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return program


def run(command: list[str], folder: Path, data: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=folder, input=data, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:4000]
    assert not done.stderr, done.stderr.decode(errors="replace")[:4000]
    return done.stdout


@pytest.mark.parametrize("program", ["gcc", "clang-19"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_c_compiles_without_a_warning(name: str, program: str, tmp_path: Path) -> None:
    path = compiler(program)
    folder = build(name, "tinyml -mcpu=host").export_folder(tmp_path / "project")
    for source in sorted(folder.glob("*.c")):
        run([path, *STRICT, "-O2", "-Iinclude", "-c", source.name, "-o", f"{source.stem}.o"], folder)


@pytest.mark.parametrize("name", NETWORKS)
def test_sanitizers_find_nothing_and_outputs_are_exact(name: str, tmp_path: Path) -> None:
    require_oracle()
    module = build(name, "tinyml -mcpu=host -io=caller")
    folder = module.export_folder(tmp_path / "project")
    description = json.loads((folder / "metadata.json").read_text())
    sizes = [[edge["bytes"] for edge in description[kind]] for kind in ("inputs", "outputs")]
    (folder / "main.c").write_text(_caller_program(module.name, *sizes))
    sources = [path.name for path in folder.glob("*.c")]
    run([compiler("gcc"), *STRICT, *SANITIZERS, "-O1", "-Iinclude", *sources, "-o", "program"], folder)
    inputs = random_inputs(NETWORKS[name], 3)
    written = run([str(folder / "program")], folder, b"".join(array.tobytes() for array in inputs))
    expected = run_reference(NETWORKS[name], inputs).outputs
    assert written == b"".join(np.ascontiguousarray(array).tobytes() for array in expected)


def _caller_program(name: str, inputs: list[int], outputs: list[int]) -> str:
    """A program that reads all inputs from standard input and writes all outputs: every buffer on the heap."""
    lines = ["#include <stdio.h>", "#include <stdlib.h>", f'#include "{name}.h"', "int main(void)", "{"]
    lines.append(f"    void *arena = aligned_alloc(16, (({name.upper()}_ARENA_BYTES + 15) / 16 + 1) * 16);")
    buffers = [f"input_{i}" for i in range(len(inputs))] + [f"output_{i}" for i in range(len(outputs))]
    for buffer, size in zip(buffers, [*inputs, *outputs], strict=True):
        lines.append(f"    void *{buffer} = malloc({size});")
    for index, size in enumerate(inputs):
        lines.append(f"    if (fread(input_{index}, 1, {size}, stdin) != {size}) return 2;")
    lines.append(f"    if ({name}_run({', '.join(['arena', *buffers])}) != 0) return 3;")
    lines += [f"    fwrite(output_{index}, 1, {size}, stdout);" for index, size in enumerate(outputs)]
    lines += [f"    free({buffer});" for buffer in ["arena", *buffers]]
    return "\n".join(["#define _ISOC11_SOURCE", *lines, "    return 0;", "}", ""])


@pytest.mark.parametrize("standard", ["c++11", "c++20"])
def test_the_header_is_valid_cpp(standard: str, tmp_path: Path) -> None:
    folder = build("digits", "tinyml -mcpu=host").export_folder(tmp_path / "project")
    flags = [f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++"]
    run([compiler("g++"), *flags, "digits.h"], folder)


def test_makefile_and_cmake_build_the_library(tmp_path: Path) -> None:
    folder = build("digits", "tinyml -mcpu=host").export_folder(tmp_path / "project")
    run([compiler("make")], folder)
    assert (folder / "libdigits.a").exists()
    run([compiler("cmake"), "-S", ".", "-B", "build"], folder)
    run([compiler("cmake"), "--build", "build"], folder)
    assert (folder / "build" / "libdigits.a").exists()


def test_other_processes_write_the_same_bytes() -> None:
    code = (
        f"{WITHOUT_PYTORCH}import hashlib; from tvm_tinyml import relay;"
        "module, _ = relay.frontend.from_tflite(sys.argv[1]);"
        "files = relay.build(module, target='tinyml -mcpu=cortex-m55').files;"
        "print(hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest())"
    )
    digests = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, str(DIGITS)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def test_model_library_archives_are_identical_and_complete(tmp_path: Path) -> None:
    module = build("digits", "tinyml -mcpu=cortex-m4")
    digests = set()
    for name in ("a.tar", "b.tar"):
        path = module.export_model_library_format(tmp_path / name)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
    with tarfile.open(tmp_path / "a.tar") as archive:
        names = archive.getnames()
        document = json.load(archive.extractfile("metadata.json"))  # type: ignore[arg-type]
    assert {"codegen/host/src/digits.c", "codegen/host/include/digits.h"} <= set(names)
    assert document["modules"]["digits"]["executors"] == ["aot"]


def test_an_existing_folder_is_refused_and_kept(tmp_path: Path) -> None:
    module = build("digits", "tinyml -mcpu=cortex-m4")
    place = tmp_path / "project"
    place.mkdir()
    (place / "metadata.json").write_text("{}")
    with pytest.raises(OutputExistsError, match="--force"):
        module.export_folder(place)
    assert [path.name for path in place.iterdir()] == ["metadata.json"]
    module.export_folder(place, force=True)
    assert (place / "digits.c").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["project"], "nothing temporary is left"


@pytest.mark.parametrize("core", ["host", "cortex-m4", "rv32imc"])
def test_caller_buffers_give_the_same_outputs_and_a_smaller_arena(core: str) -> None:
    inside, outside = (build("digits", f"tinyml -mcpu={core} -io={io}") for io in ("arena", "caller"))
    image = np.random.default_rng(0).integers(-128, 128, (1, 16, 16, 1)).astype(np.int8)
    (expected,), _ = inside.run(image, profile=False)
    (found,), _ = outside.run(image, profile=False)
    np.testing.assert_array_equal(found, expected)
    assert outside.compiled.plan.arena_bytes <= inside.compiled.plan.arena_bytes


@pytest.mark.parametrize("other", ["cortex-m7", "cortex-m33", "cortex-m4 -compiler=clang"])
def test_targets_of_equal_code_keys_get_equal_code(other: str) -> None:
    name = small_networks()[0].id
    built, compiled_anew = build(name, "tinyml -mcpu=cortex-m4"), build(name, f"tinyml -mcpu={other}")
    assert built.config.code_key == compiled_anew.config.code_key
    retargeted = built.for_target(compiled_anew.config)
    assert retargeted.compiled is built.compiled
    assert retargeted.files == compiled_anew.files


@pytest.mark.parametrize(
    "other", ["cortex-m3", "cortex-m55", "cortex-m4 -io=caller", "cortex-m4 -rounding=tflm"]
)
def test_targets_that_change_the_code_are_compiled_for(other: str) -> None:
    built = build(small_networks()[0].id, "tinyml -mcpu=cortex-m4")
    config = parse_target(f"tinyml -mcpu={other}")
    assert built.config.code_key != config.code_key
