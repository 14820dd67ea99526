"""A project for CMake: the model's library as a subdirectory, a toolchain file, and a program that runs it once."""

from __future__ import annotations

from tvm_tinyml.runner.build import NPU_FLAGS, board_flags

from . import example
from .board import FOLDER, board_files, emulator_command, npu_files, sources
from .generated import Generated
from .host_example import main_source
from .toolchain import LINK_FLAGS, toolchain_file

MODEL = "model"


def cmake_project(model: Generated) -> dict[str, str]:
    """CMakeLists.txt, toolchain.cmake, main.c, the model, and start-up code where the board is emulated."""
    hosted = model.config.core.family == "host"
    return {
        "CMakeLists.txt": _lists(model),
        **({} if hosted else {"toolchain.cmake": toolchain_file(model.config)}),
        "main.c": main_source(model),
        **model.below(MODEL),
        **board_files(model),
        **npu_files(model),
    }


def _lists(model: Generated) -> str:
    config = model.config
    hosted = config.core.family == "host"
    runs = model.runs_here
    usage = [
        f"{model.name} for {config}: the model's library and an example that runs it once.",
        "",
        "    cmake -B build",
        "    cmake --build build",
        *(["    cmake --build build --target run    # fails when the model does"] if runs else []),
        "",
        f"In a project of your own: add_subdirectory({MODEL}), and link your program with {model.name}.",
        *([] if runs else [f"Link main.c with {example.missing(model)}."]),
    ]
    parts = ["\n".join(f"# {line}".rstrip() for line in usage), "cmake_minimum_required(VERSION 3.20)"]
    if not hosted:
        parts.append(
            "if(NOT CMAKE_TOOLCHAIN_FILE)\n"
            "  set(CMAKE_TOOLCHAIN_FILE ${CMAKE_CURRENT_LIST_DIR}/toolchain.cmake)\nendif()"
        )
    languages = "C ASM" if board_files(model) else "C"
    parts.append(f"project({model.name}_example {languages})")
    parts.append("if(NOT CMAKE_BUILD_TYPE)\n  set(CMAKE_BUILD_TYPE Release)\nendif()")
    parts.append(f"add_subdirectory({MODEL})")
    if runs:
        parts.append(_program(model))
    else:
        parts.append(f"add_library(example OBJECT main.c)\ntarget_link_libraries(example {model.name})")
    return "\n\n".join(parts) + "\n"


def _program(model: Generated) -> str:
    config = model.config
    board, npu = sources(board_files(model)), sources(npu_files(model))
    lines = [f"add_executable(example {' '.join(['main.c', *board, *npu])})"]
    command = "example"
    if npu:
        lines.append(
            f"set_source_files_properties({' '.join(npu)}\n"
            f"    PROPERTIES COMPILE_OPTIONS [[{';'.join(NPU_FLAGS)}]])"
        )
    if board:
        # Objects of clang are linked by gcc, whose C library they use; its program is what runs in both cases.
        linker = " ".join([*config.linker_command(), *LINK_FLAGS[:1]])
        script = f"-T ${{CMAKE_CURRENT_SOURCE_DIR}}/{LINK_FLAGS[2]} {LINK_FLAGS[3]}"
        lines = [
            "set(CMAKE_C_LINK_EXECUTABLE",
            f'    "{linker} {script} <OBJECTS> -o <TARGET> <LINK_LIBRARIES>")',
            *lines,
            "set_target_properties(example PROPERTIES SUFFIX .elf LINKER_LANGUAGE C)",
            f"set_source_files_properties({' '.join(one for one in board if one.endswith('.c'))}",
            f'    PROPERTIES COMPILE_OPTIONS "{";".join(board_flags(config))}")',
            f"target_include_directories(example PRIVATE {FOLDER})",
        ]
        command = emulator_command(config, "$<TARGET_FILE:example>")
    lines.append(f"target_link_libraries(example {model.name})")
    lines.append(f"add_custom_target(run COMMAND {command} DEPENDS example)")
    return "\n".join(lines)
