"""Order of the instructions of straight code, so that loads, products and arithmetic run side by side.

Helium executes a vector instruction in beats over two cycles; the next one starts a cycle later when another unit
(memory, multiplier, arithmetic) executes it, even if it reads the first one's result. The core issues in order, so the
order in the code decides: list scheduling (Gibbons and Muchnick 1986) over each basic block, longest path first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_REGISTER = re.compile(r"\b(?:r\d+|q\d+|sp|lr|p0)\b")
_BLOCK = re.compile(r"^(?:i|vps?)(t[te]{0,3})$")
_ENDS = re.compile(
    r"^(?:b|bl|bx|beq|bne|bgt|blt|bge|ble|bhi|bls|pop|push|vpop|vpush|le|letp|dls\S*|wls\S*|b\S*\.w)$"
)
_FLAGS = re.compile(r"^(?:adds|subs|ands|rsbs|lsls|lsrs|movs|cmp|tst)$")
_MULTIPLIES = ("vmla", "vmul", "vqrdmul", "vqdmul", "vrmul", "vqdml", "vrmla")
_MEMORY = ("vldr", "vstr", "ldr", "str", "ldm", "stm", "vld2", "vst2", "vld4", "vst4")
_STORES = ("vstr", "str", "stm", "vst2", "vst4")
# Cycles from the start of an instruction to that of one that reads its result: 1, or more.
_TO_CORE = 3
_SLOW = (("vqmovn", 3), *((product, 2) for product in _MULTIPLIES), ("vrshl", 2), ("vshl", 2))


@dataclass(frozen=True)
class _Instruction:
    """One instruction, or a predicated block.

    unit: "memory", "products", "vectors" or "core"; busy: cycles that it occupies the unit.
    delay: cycles until its result can be read.
    """

    lines: tuple[str, ...]
    reads: frozenset[str]
    writes: frozenset[str]
    unit: str
    busy: int
    delay: int


def ordered(code: Sequence[str], sources: Collection[str] = ()) -> list[str]:
    """The same instructions, those between labels and branches in an order that takes fewer cycles.

    sources: registers that point to what no store changes.
    """
    return list(_ordered(tuple(code), frozenset(sources)))


@lru_cache(maxsize=4096)
def _ordered(code: tuple[str, ...], sources: frozenset[str]) -> tuple[str, ...]:
    """Remembered, because sizes of code are asked for whenever a plan is estimated."""
    result: list[str] = []
    block: list[_Instruction] = []

    def close() -> None:
        result.extend(line for instruction in _schedule(block) for line in instruction.lines)
        block.clear()

    for lines in _grouped(code):
        if lines[0].endswith(":") or lines[0].startswith(".") or _ends_block(lines):
            close()
            result.extend(lines)
        else:
            block.append(_parse(lines, sources))
    close()
    return tuple(result)


def _grouped(code: Iterable[str]) -> Iterable[tuple[str, ...]]:
    """Instructions, predicated ones together with what predicates them."""
    pending: list[str] = []
    missing = 0
    for line in code:
        pending.append(line)
        covered = _BLOCK.match(line.split()[0])
        missing = missing - 1 if missing else len(covered[1]) if covered else 0
        if not missing:
            yield tuple(pending)
            pending = []


def _ends_block(lines: tuple[str, ...]) -> bool:
    return any(_ENDS.match(line.split()[0]) or re.match(r"\S+ pc,", line) for line in lines)


def _parse(lines: tuple[str, ...], sources: Collection[str]) -> _Instruction:
    reads, writes = set[str](), set[str]()
    for line in lines:
        one_reads, one_writes = _effects(line, sources)
        reads |= one_reads
        writes |= one_writes
    mnemonic = lines[-1].split()[0]
    if len(lines) > 1 or mnemonic == "vpsel":
        reads.add("flags" if lines[0].startswith("i") else "p0")
    vector = mnemonic.startswith("v")
    unit = "vectors" if vector else "core"
    if mnemonic.startswith(_MEMORY):
        unit = "memory"
    elif mnemonic.startswith(_MULTIPLIES):
        unit = "products"
    to_core = vector and any(register[0] in "rl" for register in writes) and unit != "memory"
    busy = 3 if mnemonic.startswith("vqmovn") else (2 if vector else 1) * max(1, len(lines) - 1)
    delay = next((cycles for name, cycles in _SLOW if mnemonic.startswith(name)), 1)
    return _Instruction(
        lines, frozenset(reads), frozenset(writes), unit, busy, _TO_CORE if to_core else delay
    )


def _effects(line: str, sources: Collection[str]) -> tuple[set[str], set[str]]:
    """Registers that an instruction reads and writes; "source" and "memory" stand for what addresses name."""
    mnemonic, _, rest = line.partition(" ")
    if _BLOCK.match(mnemonic):
        return set(), set()
    named = set(_REGISTER.findall(rest))
    flags = {"flags"} if _FLAGS.match(mnemonic) else set()
    if mnemonic in ("cmp", "tst"):
        return named, flags
    if not mnemonic.startswith(_MEMORY):
        pair = mnemonic.startswith("vmov") and rest.count(",") == 3
        operands = rest.split(",")
        written = set(_REGISTER.findall(",".join(operands[: 2 if pair else 1])))
        # Some instructions keep a part of what they write; taking all as such loses nothing.
        return named, written | flags
    target, bracket, address = rest.partition("[")
    if not bracket:
        # Load or store of a list: the address comes first.
        target, address = rest.partition(",")[2], rest.partition(",")[0]
    base = _REGISTER.findall(address)[0]
    place = {"source" if base in sources else "memory"}
    moved = {base} if "!" in address or "]," in address.replace(" ", "") else set()
    if mnemonic.startswith(_STORES):
        return named, place | moved
    return named | place, set(_REGISTER.findall(target)) | moved


def _schedule(block: Sequence[_Instruction]) -> list[_Instruction]:
    """List scheduling of a basic block."""
    before: list[dict[int, int]] = [{} for _ in block]
    for later, second in enumerate(block):
        for earlier in range(later):
            first = block[earlier]
            if first.writes & second.reads:
                before[later][earlier] = first.delay
            elif first.writes & second.writes or first.reads & second.writes:
                before[later][earlier] = 1
    length = [instruction.busy for instruction in block]
    for later in reversed(range(len(block))):
        for earlier, delay in before[later].items():
            length[earlier] = max(length[earlier], delay + length[later])
    after: list[list[int]] = [[] for _ in block]
    for later, needed in enumerate(before):
        for earlier in needed:
            after[earlier].append(later)
    missing = [len(needed) for needed in before]
    # Instructions whose operands are computed, or on their way; when the last of those is there.
    waiting = {index for index, count in enumerate(missing) if not count}
    there = [0] * len(block)
    free = dict.fromkeys(("memory", "products", "vectors", "core"), 0)
    order: list[_Instruction] = []
    cycle = 0
    while waiting:
        ready = [index for index in waiting if there[index] <= cycle and free[block[index].unit] <= cycle]
        if ready:
            index = max(ready, key=lambda one: (length[one], -one))
            waiting.remove(index)
            order.append(block[index])
            free[block[index].unit] = cycle + block[index].busy
            for later in after[index]:
                there[later] = max(there[later], cycle + before[later][index])
                missing[later] -= 1
                if not missing[later]:
                    waiting.add(later)
        cycle += 1
    return order
