"""Where LLVM's disassembler and machine code analyser are.

llvm-mca says what its scheduling model of a core makes of a straight piece of code; its options for
instructions that a model does not know came with version 19.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tvm_tinyml.errors import RunError
from tvm_tinyml.runner.tools import run_tool

_OLDEST = 19
# Version 19 is the one the figures of the documents come from; otherwise the newest installed.
_SUFFIXES = ("-19", *(f"-{version}" for version in range(40, _OLDEST, -1)), "")


@dataclass(frozen=True)
class LlvmTools:
    """Program names of one LLVM installation and its version, for example "19.1.7"."""

    mca: str
    objdump: str
    version: str


def llvm_tools() -> LlvmTools:
    """Find llvm-mca and llvm-objdump of one version; RunError naming the package when there are none."""
    return _find(os.environ.get("PATH", ""))


@functools.lru_cache(maxsize=8)
def _find(path: str) -> LlvmTools:
    for suffix in _SUFFIXES:
        mca, objdump = f"llvm-mca{suffix}", f"llvm-objdump{suffix}"
        if shutil.which(mca, path=path) and shutil.which(objdump, path=path):
            listing = run_tool([mca, "--version"], Path.cwd(), f"asking {mca} for its version")
            version = re.search(r"version (\d+)(\.[\d.]*\d)?", listing)
            if version is not None and int(version[1]) >= _OLDEST:
                return LlvmTools(mca, objdump, version[1] + (version[2] or ""))
    raise RunError(
        f"estimated cycles need llvm-mca and llvm-objdump {_OLDEST} or newer, which are not installed; "
        "on Debian or Ubuntu: apt-get install llvm-19"
    )
