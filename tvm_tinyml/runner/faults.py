"""From the registers a fault handler recorded to an error message.

Sources: Armv7-M and Armv8-M Architecture Reference Manuals (CFSR, HFSR), "The RISC-V Instruction Set Manual,
Volume II: Privileged Architecture" (mcause).
"""

from __future__ import annotations

import re

from tvm_tinyml.errors import RunError
from tvm_tinyml.runner.elf import SymbolTable

_CFSR_BITS = {
    0: "instruction fetch from a forbidden address",
    1: "data access to a forbidden address",
    4: "memory fault while stacking registers",
    8: "instruction fetch from an unmapped address",
    9: "data access to an unmapped address",
    10: "late data access to an unmapped address",
    12: "bus fault while stacking registers",
    16: "undefined instruction",
    17: "jump to an address without the Thumb bit",
    18: "return to a bad address",
    19: "floating-point or vector unit switched off",
    20: "stack limit passed",
    24: "unaligned access",
    25: "division by zero",
}
_CFSR_STACK_BITS = (1 << 4) | (1 << 12) | (1 << 20)
_CFSR_MMFAR_VALID = 1 << 7
_CFSR_BFAR_VALID = 1 << 15

_GUARD_BYTES = 1 << 20
"""Protected memory below the stack of an Armv7-M core: guard_stack of boards/arm/startup.c."""

_LOCKUP = re.compile(r"qemu: fatal: (Lockup: .*)")
_DUMPED = re.compile(r"\b(R1[345]|XPSR)=([0-9a-f]{8})")
_DUMP_NAMES = {"R13": "SP", "R15": "PC", "R14": "LR", "XPSR": "xPSR"}

_MCAUSE = {
    0: "instruction address misaligned",
    1: "instruction fetch from an unmapped address",
    2: "undefined instruction",
    3: "breakpoint",
    4: "misaligned load",
    5: "load from an unmapped address",
    6: "misaligned store",
    7: "store to an unmapped or read-only address",
    11: "environment call",
}
_MCAUSE_STORE_FAULT = 7


def parse_registers(text: str) -> dict[str, int]:
    """Return the registers of a fault file by name; lines that are cut short are left out."""
    registers = {}
    for line in text.splitlines():
        name, _, digits = line.partition(" ")
        if len(digits) == 8:
            registers[name] = int(digits, 16)
    return registers


def fault_error(registers: dict[str, int], symbols: SymbolTable, board: str, stack_bytes: int) -> RunError:
    """Return the error for a program that faulted: cause, function, registers, remedy of a full stack."""
    pc = registers.get("PC", registers.get("mepc"))
    overflow, causes = _riscv_causes(registers) if "mcause" in registers else _arm_causes(registers)
    where = symbols.locate(pc) if pc is not None else None
    place = f" in {where}" if where else ""
    shown = ", ".join(f"{name}={value:#010x}" for name, value in registers.items() if name != "splimit")
    if overflow:
        return RunError(
            f"board {board}: stack overflow{place}: the program needs more than its {stack_bytes} bytes "
            f"of stack; give it more with stack_bytes ({shown})"
        )
    return RunError(
        f"board {board}: the program faulted{place}: {'; '.join(causes) or 'unknown cause'} ({shown})"
    )


def lockup_error(complaint: str, symbols: SymbolTable, board: str) -> RunError | None:
    """Return the error for a core that could not even enter its fault handler, or None when it did not lock up.

    `complaint` is what QEMU wrote: the reason and a dump of the core registers.
    """
    reason = _LOCKUP.search(complaint)
    if reason is None:
        return None
    registers = {name: int(value, 16) for name, value in _DUMPED.findall(complaint)}
    where = symbols.locate(registers.get("R15", 0))
    shown = [f"{name}={registers[key]:#010x}" for key, name in _DUMP_NAMES.items() if key in registers]
    return RunError(
        f"board {board}: the processor locked up{f' in {where}' if where else ''}: {reason.group(1)} "
        f"({', '.join(shown)})"
    )


def _arm_causes(registers: dict[str, int]) -> tuple[bool, list[str]]:
    if "CFSR" not in registers:
        return "PC" not in registers, ["hard fault (this core does not record the cause)"]
    cfsr = registers["CFSR"]
    causes = [text for bit, text in _CFSR_BITS.items() if cfsr >> bit & 1]
    limit = registers.get("splimit", 0)
    # Without a readable exception frame (no PC) the registers could not be pushed: the stack was full.
    overflow = bool(cfsr & _CFSR_STACK_BITS) or "PC" not in registers
    for valid, name in ((_CFSR_MMFAR_VALID, "MMFAR"), (_CFSR_BFAR_VALID, "BFAR")):
        if cfsr & valid:
            address = registers.get(name, 0)
            causes.append(f"address {address:#010x}")
            overflow = overflow or limit - _GUARD_BYTES <= address < limit
    return overflow, causes


def _riscv_causes(registers: dict[str, int]) -> tuple[bool, list[str]]:
    cause = registers["mcause"]
    address = registers.get("mtval", 0)
    causes = [_MCAUSE.get(cause, f"trap {cause:#x}")]
    if cause in (0, 1, 4, 5, 6, 7):
        causes.append(f"address {address:#010x}")
    sp, limit = registers.get("sp", 0), registers.get("splimit", 0)
    return cause == _MCAUSE_STORE_FAULT and sp <= address < limit, causes
