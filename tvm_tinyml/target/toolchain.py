"""Command lines of the compilers: which program, which target flags, which headers.

Objects of both compilers are linked by gcc, so that libgcc and the C library (newlib for Arm, picolibc for
RISC-V) come from one toolchain and match the float ABI of the core. clang has no C library of its own: its
headers are those that gcc finds.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from tvm_tinyml.errors import BuildError
from tvm_tinyml.target.hardware import CoreConfig

# Version 19 is the one the schedules were measured with; otherwise the newest installed, then the plain name.
_CLANG_NAMES = ("clang-19", *(f"clang-{version}" for version in range(30, 13, -1)), "clang")


def clang_program() -> str:
    """Return the name of the clang to use: clang-19, else the newest on PATH, else "clang"."""
    return next((name for name in _CLANG_NAMES if shutil.which(name)), "clang")


# Both compilers' level for small code.
_SMALL = ("-Os",)


def compiler_command(core: CoreConfig, compiler: str, *, small: bool = False) -> tuple[str, ...]:
    """Return the program and every flag that says what to generate code for, optimization level included.

    small: optimize for size instead of what the core's description asks for.
    TargetError when `compiler` cannot build for `core`. The program need not be installed.
    """
    support = core.support(compiler)
    level = _SMALL if small else support.optimization
    if compiler == "gcc":
        return (f"{core.gcc}gcc", *support.flags, *core.c_library, *level)
    triple = (f"--target={core.llvm_triple}",) if core.llvm_triple else ()
    return (clang_program(), *triple, *support.flags, *level)


def linker_command(core: CoreConfig, compiler: str) -> tuple[str, ...]:
    """Return the program and flags that link objects of `core`: its gcc, or on the host `compiler` itself."""
    if core.family == "host":
        return compiler_command(core, compiler)
    # clang marks its objects as not needing an executable stack and gcc's libraries do not: without the
    # option the linker warns about every mixture of them.
    return (f"{core.gcc}gcc", *core.link_flags, *core.c_library, "-Wl,-z,noexecstack")


def c_library_flags(core: CoreConfig, compiler: str) -> tuple[str, ...]:
    """Return the include options that let `compiler` find <string.h>, asking the core's gcc where it is.

    Empty for gcc and on the host, where the compiler finds it without help. BuildError when gcc is missing or
    has no C library.
    """
    if compiler == "gcc" or core.family == "host":
        return ()
    return ("-isystem", _header_folder(linker_command(core, compiler), os.environ.get("PATH", "")))


@functools.lru_cache(maxsize=64)
def _header_folder(gcc: tuple[str, ...], path: str) -> str:
    # -M lists the files an inclusion reads; the first whose name is string.h is the C library's.
    command = [*gcc, "-E", "-M", "-x", "c", "-"]
    try:
        result = subprocess.run(
            command, input="#include <string.h>\n", capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        raise BuildError(f"{gcc[0]} is not installed; it provides the C library and links") from None
    except subprocess.TimeoutExpired:
        raise BuildError(f"{gcc[0]} did not answer within 60 s when asked for its C library") from None
    for word in result.stdout.split():
        if word.endswith("/string.h"):
            return str(Path(word).parent)
    reason = (result.stderr.strip().splitlines() or ["no reason given"])[0]
    raise BuildError(f"{gcc[0]} has no C library for {' '.join(gcc[1:])}: {reason}")
