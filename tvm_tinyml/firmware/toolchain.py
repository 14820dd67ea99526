"""CMake's toolchain file for a core, and how images for boards without an operating system are linked."""

from __future__ import annotations

from tvm_tinyml.target import TargetConfig

# Paths are below the project's folder.
LINK_FLAGS = ("-nostartfiles", "-T", "board/link.ld", "-Wl,--gc-sections")


def toolchain_file(config: TargetConfig) -> str:
    """Text of toolchain.cmake: compilers, flags of the core, and the level its schedules were measured with."""
    program, *flags = config.compiler_command()
    level = [flag for flag in flags if flag.startswith("-O")]
    arch = " ".join(flag for flag in flags if flag not in level)
    return (
        f"# Compilers and flags for {config}.\n"
        f"set(CMAKE_SYSTEM_NAME Generic)\nset(CMAKE_SYSTEM_PROCESSOR {config.core.name})\n"
        f"set(CMAKE_C_COMPILER {program})\nset(CMAKE_ASM_COMPILER {program})\n"
        f"set(CMAKE_AR {config.core.gcc}ar)\nset(CMAKE_RANLIB {config.core.gcc}ranlib)\n"
        "# There is no start-up code yet that a trial program could be linked with.\n"
        "set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)\n"
        f'set(CMAKE_C_FLAGS_INIT "{arch}")\nset(CMAKE_ASM_FLAGS_INIT "{arch}")\n'
        f'set(CMAKE_C_FLAGS_RELEASE "{" ".join(level)} -DNDEBUG" CACHE STRING "Flags of release builds")\n'
        f"{_c_library(config)}"
    )


def _c_library(config: TargetConfig) -> str:
    """Lets clang find the C library of the core's gcc; it has none of its own."""
    if config.compiler == "gcc":
        return ""
    return (
        f"execute_process(COMMAND {' '.join(config.linker_command())} -E -M -include string.h -x c /dev/null\n"
        "    OUTPUT_VARIABLE headers COMMAND_ERROR_IS_FATAL ANY)\n"
        'string(REGEX MATCH "[^ \\n]+/string\\\\.h" header "${headers}")\n'
        'get_filename_component(folder "${header}" DIRECTORY)\n'
        'string(APPEND CMAKE_C_FLAGS_INIT " -isystem ${folder}")\n'
    )
