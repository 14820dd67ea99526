"""Memory as an Ethos-U sees it: regions with base addresses, and an internal buffer that DMA fills with tables.

Every access is checked: one that leaves its region is an error, as it would be a fault or worse on a device.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.registers import Register, WideRegister
from tvm_tinyml.ethosu.stream import Hardware, Operation

_LOOKUP_BYTES = 2048
_REGION, _INTERNAL = 0x7, 0x100


class Memory:
    """Regions by number, as arrays of bytes that operations read and write in place."""

    def __init__(self, regions: Mapping[int, NDArray[np.uint8]], hardware: Hardware) -> None:
        self._regions = dict(regions)
        self._buffer = np.zeros(hardware.shared_buffer_bytes, np.uint8)

    def region(self, operation: Operation, register: Register) -> NDArray[np.uint8]:
        """The region that a register names."""
        number = operation.get(register)
        if number not in self._regions:
            raise operation.error(f"uses region {number} ({register.name}), which has no memory")
        return self._regions[number]

    def span(
        self, operation: Operation, region: Register, base: WideRegister, length: int
    ) -> NDArray[np.uint8]:
        """`length` bytes from an address in a region."""
        return _span(operation, self.region(operation, region), operation.get(base), length, base.name)

    def table(self, operation: Operation, index: int, entries: int, dtype: str) -> NDArray[np.int64]:
        """Lookup table `index`: they lie at the end of the internal buffer, 256 bytes from each other."""
        start = len(self._buffer) - _LOOKUP_BYTES + 256 * index
        length = entries * np.dtype(dtype).itemsize
        span = _span(operation, self._buffer, start, length, f"lookup table {index}")
        return span.view(dtype).astype(np.int64)

    def copy(self, operation: Operation) -> None:
        """One DMA transfer between regions or into the internal buffer."""
        source, target = operation.get(Register.DMA0_SRC_REGION), operation.get(Register.DMA0_DST_REGION)
        if source & ~_REGION or target & ~(_REGION | _INTERNAL):
            raise operation.error("has a mode that the functional model does not know")
        length = operation.get(WideRegister.DMA0_LEN)
        read = self.span(operation, Register.DMA0_SRC_REGION, WideRegister.DMA0_SRC, length)
        if target & _INTERNAL:
            address = operation.get(WideRegister.DMA0_DST)
            written = _span(operation, self._buffer, address, length, "DMA0_DST")
        else:
            written = self.span(operation, Register.DMA0_DST_REGION, WideRegister.DMA0_DST, length)
        written[:] = read.copy()


def _span(
    operation: Operation, memory: NDArray[np.uint8], start: int, length: int, what: str
) -> NDArray[np.uint8]:
    if start + length > len(memory):
        raise operation.error(
            f"accesses bytes {start} to {start + length} ({what}) of a region of {len(memory)}"
        )
    return memory[start : start + length]
