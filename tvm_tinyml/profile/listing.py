"""The code of a linked program as text: what llvm-objdump prints, in a form llvm-mca reads again.

The assembler refuses a predicated instruction outside its IT or VPT block, so an instruction that opens a block
and those it covers are one `Group`, which nothing later cuts apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tvm_tinyml.profile.llvm import LlvmTools
from tvm_tinyml.runner.tools import run_tool
from tvm_tinyml.target import CoreConfig


@dataclass(frozen=True)
class Group:
    """Instructions that stay together: a single one, or an IT or VPT block.

    texts: assembly, branch targets replaced by one undefined symbol; one entry for each of `addresses`.
    calls: functions that an instruction branches to, its own included.
    """

    addresses: tuple[int, ...]
    texts: tuple[str, ...]
    calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stretch:
    """Groups without a gap: a function, or a part of one between constants in its code."""

    function: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class _Line:
    address: int
    text: str
    calls: tuple[str, ...]


_HEADER = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+([a-z]\S*(?:\s.*)?)$")
_COMMENT = re.compile(r"\s+(?:@|//|# ).*$")
_DESTINATION = re.compile(r"(?:0x[0-9a-f]+ )?<([^<>+]+)(?:\+0x[0-9a-f]+)?>")
_BLOCK = re.compile(r"^(?:i|vps?)(t[te]{0,3})(?:\.|$)")
_TARGET_SYMBOL = "target"


def read_listing(elf: Path, core: CoreConfig, tools: LlvmTools) -> tuple[Stretch, ...]:
    """Disassemble the code of `elf`; BuildError when llvm-objdump refuses it."""
    command = [tools.objdump, "-d", "--no-show-raw-insn", f"--triple={core.llvm_triple}"]
    if core.family == "arm":
        # RISC-V programs say themselves which extensions they use.
        command.append(f"--mcpu={core.name}")
    return parse_listing(run_tool([*command, elf.name], elf.parent, f"disassembling {elf.name}"))


def parse_listing(listing: str) -> tuple[Stretch, ...]:
    """Read what `llvm-objdump -d --no-show-raw-insn` printed; data between the code ends a stretch."""
    stretches: list[Stretch] = []
    function = ""
    lines: list[_Line] = []

    def close() -> None:
        if lines:
            stretches.append(Stretch(function, tuple(_grouped(lines))))
            lines.clear()

    for text in listing.splitlines():
        header = _HEADER.match(text)
        instruction = _INSTRUCTION.match(text)
        if instruction is not None:
            lines.append(_line(int(instruction[1], 16), instruction[2]))
            continue
        close()
        if header is not None:
            function = header[1]
    close()
    return tuple(stretches)


def _line(address: int, text: str) -> _Line:
    # A comment names places in angle brackets too: those are of constants.
    text = _COMMENT.sub("", text).strip()
    calls = tuple(_DESTINATION.findall(text))
    text = _DESTINATION.sub(_TARGET_SYMBOL, text)
    return _Line(address, " ".join(text.split()), calls)


def _grouped(lines: Iterable[_Line]) -> Iterable[Group]:
    pending: list[_Line] = []
    missing = 0
    for line in lines:
        pending.append(line)
        if missing:
            missing -= 1
        else:
            block = _BLOCK.match(line.text.split()[0])
            missing = len(block[1]) if block is not None else 0
        if not missing:
            yield _group(pending)
            pending = []
    if pending:
        yield _group(pending)


def _group(lines: Iterable[_Line]) -> Group:
    kept = tuple(lines)
    return Group(
        tuple(line.address for line in kept),
        tuple(line.text for line in kept),
        tuple(call for line in kept for call in line.calls),
    )
