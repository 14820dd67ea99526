"""Runs a driver payload for Ethos-U55 or U65 on memory regions, as the hardware would.

What it shows is that a command stream, read by the public register definitions, computes what TFLite does. It is no
model of silicon: neither time nor the order of overlapping commands is modelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.convolution import convolve
from tvm_tinyml.ethosu.elementwise import elementwise
from tvm_tinyml.ethosu.memory import Memory
from tvm_tinyml.ethosu.pooling import pool
from tvm_tinyml.ethosu.registers import Command
from tvm_tinyml.ethosu.stream import Hardware, Operation, parse

_RUN: dict[Command, Callable[[Operation, Memory, Hardware], None]] = {
    Command.CONV: convolve,
    Command.DEPTHWISE: convolve,
    Command.POOL: pool,
    Command.ELEMENTWISE: elementwise,
    Command.DMA_START: lambda operation, memory, hardware: memory.copy(operation),
}


def run(payload: bytes, regions: Mapping[int, NDArray[np.uint8]]) -> None:
    """Runs all operations of a payload; `regions` are changed in place.

    Raises CommandStreamError for a malformed stream, for accesses outside a region, and for what the model does not
    know.
    """
    hardware, operations = parse(payload)
    memory = Memory(regions, hardware)
    for operation in operations:
        _RUN[operation.command](operation, memory, hardware)
