"""What one run of a generated project yields: outputs and measured figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LayerCount:
    """Instructions executed for one layer, its call and the way to the next one included."""

    name: str
    function: str
    instructions: int


@dataclass(frozen=True)
class FlashReport:
    """Bytes of flash the model occupies in the linked program.

    Sizes of the output sections .text, .rodata and .data of the firmware. Counted: the layer functions,
    the entry function, the constants, and everything they pull in from libgcc and the C library (memcpy,
    division helpers). Not counted: start-up code, harness and semihosting, which the linker script keeps in
    sections of their own, and memory that occupies no flash (arena, zero-initialised data, stack).
    """

    text: int
    rodata: int
    data: int

    @property
    def total(self) -> int:
        """All three together."""
        return self.text + self.rodata + self.data


@dataclass(frozen=True)
class RunReport:
    """Outputs of every inference and the figures measured on the way.

    `instructions` and `layers` are those of the first inference: all instructions from the first one of the
    entry function to its return, and the share of each layer from its function's first instruction to that of
    the next layer (the last one: to the return). The instructions the entry function spends before its first
    layer are in `instructions` only. None and empty when nothing was counted.
    """

    outputs: list[list[np.ndarray[Any, np.dtype[Any]]]]
    board: str
    arena_bytes: int
    instructions: int | None = None
    layers: tuple[LayerCount, ...] = ()
    stack_bytes: int | None = None
    """Deepest stack use of the entry function and all it calls, over all inferences; None if not measured."""
    flash: FlashReport | None = None
    elf: Path | None = None
    address_counts: Mapping[int, int] | None = None
    """Executions of each instruction address during the first inference, when asked for."""

    @property
    def prologue_instructions(self) -> int | None:
        """Instructions of the first inference before its first layer."""
        if self.instructions is None:
            return None
        return self.instructions - sum(layer.instructions for layer in self.layers)
