"""A driver payload taken apart: which NPU it is for, and its operations with the registers each of them sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

import numpy as np

from tvm_tinyml.ethosu.errors import CommandStreamError
from tvm_tinyml.ethosu.registers import OPCODE, PAYLOAD, Command, Register, WideRegister

_FOURCC = int.from_bytes(b"COP1", "little")
_ACTION_CONFIG, _ACTION_STREAM, _ACTION_NOP = 0x01, 0x02, 0x05
_Kind = TypeVar("_Kind", bound=IntEnum)
_WAITS = (Command.DMA_WAIT, Command.KERNEL_WAIT, Command.PMU_MASK, Command.IRQ)


@dataclass(frozen=True)
class Hardware:
    """The NPU that a payload was made for.

    `macs` are multiply-accumulates per cycle; `shared_buffer_bytes` is the internal memory that holds lookup tables.
    """

    product: str
    macs: int
    shared_buffer_bytes: int

    @property
    def output_channels_per_micro_block(self) -> int:
        """Channels that weights of one micro-block belong to: 4 for 32 MAC per cycle, otherwise 8."""
        return 4 if self.macs == 32 else 8


@dataclass(frozen=True)
class Operation:
    """One command and the registers as they are when it runs."""

    index: int
    command: Command
    parameter: int
    registers: dict[Register | WideRegister, int] = field(repr=False)

    def get(self, register: Register | WideRegister) -> int:
        """The value of a register; an error if the stream has never set it."""
        try:
            return self.registers[register]
        except KeyError:
            raise self.error(f"needs {register.name}, which the stream has not set") from None

    def signed(self, register: Register) -> int:
        """The value of a 16-bit register as a signed number."""
        value = self.get(register)
        return value - 0x10000 if value >= 0x8000 else value

    def error(self, what: str) -> CommandStreamError:
        """An error that names this operation."""
        return CommandStreamError(f"NPU operation {self.index} ({self.command.name}) {what}")


def parse(payload: bytes) -> tuple[Hardware, list[Operation]]:
    """The NPU and the operations of a driver payload (format COP1), DMA included, waits left out.

    Raises CommandStreamError for a payload of another format or version, for a stream that ends within a command or
    without STOP, and for unknown commands.
    """
    if len(payload) % 4 or len(payload) < 16:
        raise CommandStreamError(f"an NPU payload of {len(payload)} bytes is not a sequence of 32-bit words")
    words = [int(word) for word in np.frombuffer(payload, "<u4")]
    if words[0] != _FOURCC:
        raise CommandStreamError(f"the NPU payload starts with {words[0]:#010x}, not with COP1")
    hardware: Hardware | None = None
    position = 1
    while position < len(words):
        action, reserved, parameter = (
            words[position] & 0xFF,
            words[position] >> 8 & 0xFF,
            words[position] >> 16,
        )
        position += 1
        if action == _ACTION_CONFIG and position + 2 <= len(words):
            hardware = _hardware(words[position])
            position += 2
        elif action == _ACTION_STREAM:
            length = reserved << 16 | parameter
            if hardware is None:
                raise CommandStreamError("the NPU payload does not say which NPU it is for")
            if position + length != len(words):
                raise CommandStreamError(
                    f"the NPU payload announces {length} words of commands and has {len(words) - position}"
                )
            return hardware, list(_operations(words[position:]))
        elif action != _ACTION_NOP:
            raise CommandStreamError(f"unknown driver action {action:#04x} in the NPU payload")
    raise CommandStreamError("the NPU payload has no command stream")


def _hardware(word: int) -> Hardware:
    """Fields of the configuration word: MAC per cycle as a logarithm, stream version, buffer in KiB, product."""
    macs, version, buffer_kib, product = 1 << (word & 0xF), word >> 4 & 0xF, word >> 8 & 0xFF, word >> 28
    if version != 0 or product not in (0, 1):
        raise CommandStreamError(
            f"the NPU payload is for product {product}, stream version {version}; the functional model knows "
            "Ethos-U55 and Ethos-U65 with version 0"
        )
    if macs not in (32, 64, 128, 256):
        raise CommandStreamError(f"the functional model knows NPUs of 32 to 256 MAC per cycle, not of {macs}")
    return Hardware("ethos-u65" if product else "ethos-u55", macs, buffer_kib * 1024)


def _operations(words: list[int]) -> Iterator[Operation]:
    registers: dict[Register | WideRegister, int] = {}
    position = index = 0
    while position < len(words):
        word = words[position]
        number, parameter = word & OPCODE, word >> 16
        position += 1
        if word & 0xFC00 == PAYLOAD:
            if position == len(words):
                raise CommandStreamError("the command stream ends within a command")
            registers[_known(WideRegister, number)] = parameter << 32 | words[position]
            position += 1
        elif word & 0xFC00:
            raise CommandStreamError(f"unknown command word {word:#010x} in the command stream")
        elif number >= min(Register):
            registers[_known(Register, number)] = parameter
        else:
            command = _known(Command, number)
            if command == Command.STOP:
                if position != len(words):
                    raise CommandStreamError(
                        f"{len(words) - position} words follow STOP in the command stream"
                    )
                return
            if command not in _WAITS:
                yield Operation(index, command, parameter, dict(registers))
                index += 1
    raise CommandStreamError("the command stream ends without STOP")


def _known(kind: type[_Kind], number: int) -> _Kind:
    try:
        return kind(number)
    except ValueError:
        raise CommandStreamError(
            f"unknown {kind.__name__.lower()} {number:#05x} in the command stream"
        ) from None
