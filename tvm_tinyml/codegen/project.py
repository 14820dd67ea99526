"""The generated project: sources, the runtime headers they use, metadata, CMakeLists.txt and a Makefile.

Identical input gives identical bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.memory import MemoryPlan
from tvm_tinyml.output import write_whole
from tvm_tinyml.resources import data_dir
from tvm_tinyml.target import TargetConfig

from . import sources
from .identity import identity_definition, model_hash
from .metadata import metadata
from .model import LoweredModel
from .selftest_source import selftest_files
from .tensorir import CFunction, print_function

METADATA = "metadata.json"
GUARD_HEADER = "tinyml_guard.h"
WARNING_FLAGS = "-std=c99 -Wall -Wextra -Wshadow"


def project_files(
    model: LoweredModel,
    plan: MemoryPlan,
    config: TargetConfig,
    history: Sequence[Mapping[str, Any]] = (),
    selftest: Sequence[Array] | None = None,
) -> dict[str, str]:
    """Contents of the project by path relative to its folder; `history` is for metadata.json.

    selftest: outputs for the inputs of `selftest_inputs`; None for a project without a self-test.
    """
    overlapping = {layer.function for layer, _, _ in model.overlapping(plan)}
    functions = [
        function
        if isinstance(function, CFunction)
        else print_function(function, overlapping=symbol in overlapping)
        for symbol, function in model.functions.items()
    ]
    name = model.name
    implementation = sources.implementation(model, plan, config, functions)
    constants = sources.data_source(model, config)
    digest = model_hash(sources.header(model, plan, config, ""), implementation, constants)
    headers = [*sources.runtime_headers(model), GUARD_HEADER]
    extra = {} if selftest is None else selftest_files(model, selftest)
    files = [*sources.source_files(model), *(file for file in extra if file.endswith(".c"))]
    return {
        f"{name}.h": sources.header(model, plan, config, digest),
        f"{name}.c": implementation,
        f"{name}_data.h": sources.data_header(model, config),
        f"{name}_data.c": constants,
        f"{name}_version.c": identity_definition(name, digest),
        **extra,
        **{
            f"include/{header}": (data_dir("runtime_c") / "include" / header).read_text()
            for header in headers
        },
        METADATA: json.dumps(metadata(model, plan, config, history), indent=1) + "\n",
        "CMakeLists.txt": _cmake(model, files),
        "Makefile": _makefile(model, config, files),
    }


def _cmake(model: LoweredModel, files: Sequence[str]) -> str:
    return (
        "cmake_minimum_required(VERSION 3.13)\n"
        f"project({model.name} C)\n\n"
        f"add_library({model.name} STATIC {' '.join(files)})\n"
        f"target_include_directories({model.name} PUBLIC . include)\n"
        f"set_target_properties({model.name} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON)\n"
    )


def _makefile(model: LoweredModel, config: TargetConfig, files: Sequence[str]) -> str:
    program, *flags = config.compiler_command()
    archiver = "gcc-ar" if config.compiler == "gcc" else "ar"
    objects = " ".join(file.removesuffix(".c") + ".o" for file in files)
    return (
        f"# Builds lib{model.name}.a for {config}.\n"
        f"CC = {program}\nAR = {config.core.gcc}{archiver}\nARCH_FLAGS = {' '.join(flags)}\n"
        f"{_c_library(config)}CFLAGS = {WARNING_FLAGS}\n\n"
        f"lib{model.name}.a: {objects}\n\t$(AR) rcs $@ $^\n\n"
        f"%.o: %.c {model.name}.h {model.name}_data.h\n"
        "\t$(CC) $(ARCH_FLAGS) $(CFLAGS) -Iinclude -c $< -o $@\n\n"
        f"clean:\n\trm -f lib{model.name}.a {objects}\n\n.PHONY: clean\n"
    )


def _c_library(config: TargetConfig) -> str:
    """Lines of a Makefile that let clang find the C library of the core's gcc; it has none of its own."""
    if config.compiler == "gcc" or config.core.family == "host":
        return ""
    asked = f"{' '.join(config.linker_command())} -E -M -include string.h -x c /dev/null"
    folder = f"$(dir $(firstword $(filter %/string.h,$(shell {asked}))))"
    return f"C_LIBRARY := {folder}\nARCH_FLAGS += -isystem $(C_LIBRARY)\n"


def write_folder(
    files: Mapping[str, str], destination: Path, *, force: bool = False, marker: str = METADATA
) -> None:
    """Write a project folder; `marker` is the file that tells one of its kind from a folder of other things.

    Raises OutputExistsError when `destination` exists and `force` is false.
    """

    def write(place: Path) -> None:
        place.mkdir()
        for path, text in files.items():
            file = place / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    write_whole(destination, write, force=force, marker=marker)


def write_model_library(
    files: Mapping[str, str], model: LoweredModel, destination: Path, *, force: bool = False
) -> None:
    """Write a Model Library Format archive (TVM's exchange format for bare-metal projects, version 7).

    Raises OutputExistsError when `destination` exists and `force` is false.
    """
    description = json.loads(files[METADATA])
    document = {
        "version": 7,
        "modules": {
            model.name: {
                "model_name": model.name,
                "executors": ["aot"],
                "style": "full-model",
                "target": [description["target"]],
                "memory": {"functions": {"main": [{"workspace_size_bytes": description["arena_bytes"]}]}},
                "tvm_tinyml": description,
            }
        },
    }
    members = {"metadata.json": json.dumps(document, indent=1) + "\n"}
    for path, text in files.items():
        pure = PurePosixPath(path)
        if pure.suffix in (".c", ".h"):
            kind = "src" if pure.suffix == ".c" or pure.stem.endswith("_data") else "include"
            members[f"codegen/host/{kind}/{pure.name}"] = text

    def write(place: Path) -> None:
        with tarfile.open(place, "w", format=tarfile.USTAR_FORMAT) as archive:
            for path in sorted(members):
                content = members[path].encode()
                # Zero time, owner and mode bits of one kind: the same model gives the same archive.
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))

    write_whole(destination, write, force=force)
