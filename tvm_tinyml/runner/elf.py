"""Symbols and section sizes of a linked program, read with the toolchain's nm and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tvm_tinyml.errors import BuildError
from tvm_tinyml.runner.report import FlashReport
from tvm_tinyml.runner.tools import run_tool


@dataclass(frozen=True)
class Symbol:
    """A function or label: address without the Thumb bit, size in bytes (0 for a label)."""

    name: str
    address: int
    size: int


class SymbolTable:
    """The code symbols of a program."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self._by_name = {symbol.name: symbol for symbol in symbols}
        self._symbols = tuple(symbols)

    def find(self, name: str) -> Symbol:
        """Return the symbol `name`; BuildError when the program has none."""
        symbol = self._by_name.get(name)
        if symbol is None:
            raise BuildError(f"the linked program has no function {name}; compile the model again")
        return symbol

    def variants(self, name: str) -> list[Symbol]:
        """Return `name` and the copies an optimizing compiler made of it (name.constprop.0, name.part.0)."""
        return [
            symbol for symbol in self._symbols if symbol.name == name or symbol.name.startswith(f"{name}.")
        ]

    def locate(self, address: int) -> str | None:
        """Return "function+0xoffset" for an address inside a known function, else None."""
        address &= ~1
        for symbol in self._symbols:
            if symbol.address <= address < symbol.address + symbol.size:
                return f"{symbol.name}+{address - symbol.address:#x}"
        return None


def read_symbols(prefix: str, elf: Path) -> SymbolTable:
    """Return the code symbols of `elf`; `prefix` is that of the GNU tools, for example "arm-none-eabi-"."""
    listing = run_tool(
        [f"{prefix}nm", "--format=sysv", "--defined-only", elf.name],
        elf.parent,
        f"reading the symbols of {elf.name}",
    )
    symbols = []
    for line in listing.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 7 and fields[2].upper() in ("T", "W") and fields[3] != "SECTION":
            size = int(fields[4], 16) if fields[4] else 0
            symbols.append(Symbol(fields[0], int(fields[1], 16) & ~1, size))
    return SymbolTable(symbols)


def read_flash(prefix: str, elf: Path) -> FlashReport:
    """Return the sizes of the model's sections of `elf`; see FlashReport for what they hold."""
    listing = run_tool(
        [f"{prefix}size", "-A", "-d", elf.name], elf.parent, f"reading the sections of {elf.name}"
    )
    sizes: dict[str, int] = {}
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[0].startswith("."):
            sizes[fields[0]] = int(fields[1])
    return FlashReport(sizes.get(".text", 0), sizes.get(".rodata", 0), sizes.get(".data", 0))
