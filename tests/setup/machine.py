"""A pretended machine: a PATH of stub programs, an apt-get that installs more of them, and a log of its calls.

The set-up scripts run unchanged on it, without network and without touching the real system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What the scripts themselves use, taken from the real system.
BASICS = ("bash", "cat", "dirname", "env", "ln", "mkdir", "sed", "sha256sum", "touch", "tr")

# Debian package -> the programs, and the files next to a compiler, that it brings.
PROVIDES = {
    "qemu-system-arm": ["qemu-system-arm"],
    "qemu-system-misc": ["qemu-system-riscv32"],
    "gcc-arm-none-eabi": ["arm-none-eabi-gcc"],
    "libnewlib-arm-none-eabi": ["files/arm-none-eabi-gcc/libc.a"],
    "gcc-riscv64-unknown-elf": ["riscv64-unknown-elf-gcc"],
    "picolibc-riscv64-unknown-elf": ["files/riscv64-unknown-elf-gcc/picolibc.specs"],
    "clang-19": ["clang-19"],
    "lld-19": ["ld.lld-19"],
    "llvm-19": ["llvm-mca-19"],
    "gcc": ["gcc"],
    "libc6-dev": ["files/gcc/libc.so"],
    "make": ["make"],
    "cmake": ["cmake"],
    "python3-venv": ["python3"],
}

# Any installed program: a compiler asked for a file prints its path when it has it, and its bare name otherwise.
TOOL = """#!/usr/bin/env bash
if [[ ${1:-} == -print-file-name=* ]]; then
    file="${0%/*}/files/${0##*/}/${1#*=}"
    if [[ -e $file ]]; then echo "$file"; else echo "${1#*=}"; fi
fi
"""

APT_GET = """#!/usr/bin/env bash
cd "${0%/*}"
echo "apt-get $*" >>../calls
if [[ $1 == update ]]; then touch ../lists; fi
if [[ $1 == install && ! -e ../broken ]]; then
    for package in "$@"; do
        while read -r name provided; do
            if [[ $name == "$package" ]]; then mkdir -p "${provided%/*}"; ln -sf "$PWD/.tool" "$provided"; fi
        done <../provides
    done
fi
"""

APT_CACHE = """#!/usr/bin/env bash
cd "${0%/*}"
[[ -e ../lists ]] || exit 0
while read -r name version; do
    if [[ $name == "$2" ]]; then printf '%s:\\n  Installed: (none)\\n  Candidate: %s\\n' "$name" "$version"; fi
done <../offers
"""


class Machine:
    """A bare machine under `folder`; add programs and packages, then run a set-up script on it."""

    def __init__(self, folder: Path, *, system: str = "ID=debian", user: int = 0) -> None:
        self.bin = folder / "bin"
        self.checkout = folder / "checkout"
        self.calls_file = folder / "calls"
        self.folder = folder
        self.bin.mkdir()
        shutil.copytree(ROOT / "tools", self.checkout / "tools", ignore=shutil.ignore_patterns("*.py"))
        shutil.copy(ROOT / "pyproject.toml", self.checkout)
        for name in BASICS:
            program = shutil.which(name)
            assert program is not None
            (self.bin / name).symlink_to(program)
        self.program(".tool", TOOL)
        self.program("apt-get", APT_GET)
        self.program("apt-cache", APT_CACHE)
        self.program("id", f"#!/usr/bin/env bash\necho {user}\n")
        (folder / "os-release").write_text(system + "\n")
        self.offer(
            {package: "1:1.0-1" for package in PROVIDES} | {"python3": "3.11.2-1", "python3-venv": "3.11.2-1"}
        )
        self.provide(PROVIDES)

    def program(self, name: str, text: str = TOOL) -> None:
        """Put a script of this text on PATH."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def offer(self, versions: dict[str, str]) -> None:
        """Let apt-cache know exactly these packages with these candidate versions, after an apt-get update."""
        (self.folder / "offers").write_text(
            "".join(f"{name} {version}\n" for name, version in versions.items())
        )

    def provide(self, packages: dict[str, list[str]]) -> None:
        """Say what apt-get install puts where for each package."""
        rows = [f"{package} ./{item}\n" for package, items in packages.items() for item in items]
        (self.folder / "provides").write_text("".join(rows))

    def install_everything(self) -> None:
        """The state after a successful set-up by hand."""
        for item in (item for items in PROVIDES.values() for item in items):
            path = self.bin / item
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(self.bin / ".tool")

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run tools/`script` with only this machine's programs on PATH; standard input is no terminal."""
        return subprocess.run(
            [self.bin / "bash", self.checkout / "tools" / script],
            env={
                "PATH": str(self.bin),
                "TINYML_OS_RELEASE": str(self.folder / "os-release"),
                "HOME": os.devnull,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        """What the stubs that keep a log were called with."""
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
