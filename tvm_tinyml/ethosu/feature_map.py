"""Feature maps in memory: up to four tiles, rows of pixels (NHWC) or of bricks of 16 channels (NHCWB16).

The registers give one address per tile: the first tile has `width0` columns and `height0` rows, the second lies to its
right, the third below the first and the fourth below the second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.memory import Memory
from tvm_tinyml.ethosu.registers import Register, WideRegister
from tvm_tinyml.ethosu.stream import Operation

_BRICK = 16
_BRICKS = 1 << 6


@dataclass(frozen=True)
class FeatureMap:
    """Where the elements of one operand lie; `prefix` is IFM, IFM2 or OFM."""

    operation: Operation
    prefix: str
    height: int
    width: int
    depth: int

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.depth) < 1:
            raise self.operation.error(
                f"has an empty {self.prefix} of {self.height} x {self.width} x {self.depth}"
            )

    @property
    def precision(self) -> int:
        """The precision register."""
        return self._register("PRECISION")

    @property
    def dtype(self) -> np.dtype[np.signedinteger]:
        """Type of the elements."""
        size = self.precision >> (1 if self.prefix == "OFM" else 2) & 3
        if size == 3:
            raise self.operation.error(f"has an unknown {self.prefix}_PRECISION of {self.precision:#x}")
        return np.dtype(f"<{'i' if self.precision & 1 else 'u'}{1 << size}")

    @property
    def zero_point(self) -> int:
        """The zero point, a signed number for signed elements."""
        register = Register[f"{self.prefix}_ZERO_POINT"]
        return self.operation.signed(register) if self.precision & 1 else self.operation.get(register)

    def read(self, memory: Memory) -> NDArray[np.int64]:
        """The elements as (height, width, depth)."""
        region, addresses = self._addresses(memory)
        items = region[addresses[..., None] + np.arange(self.dtype.itemsize)]
        return np.ascontiguousarray(items).view(self.dtype)[..., 0].astype(np.int64)

    def write(self, memory: Memory, values: NDArray[np.int64]) -> None:
        """Stores elements of shape (height, width, depth)."""
        region, addresses = self._addresses(memory)
        items = np.ascontiguousarray(values.astype(self.dtype)[..., None]).view(np.uint8)
        region[addresses[..., None] + np.arange(self.dtype.itemsize)] = items

    def _addresses(self, memory: Memory) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The region and the first byte of every element in it."""
        size = self.dtype.itemsize
        region = memory.region(self.operation, Register[f"{self.prefix}_REGION"])
        # Elements do not share bytes, which bounds the work that a corrupted stream can ask for.
        if self.height * self.width * self.depth * size > len(region):
            raise self.operation.error(
                f"has an {self.prefix} of {self.height} x {self.width} x {self.depth} elements of {size} bytes in a "
                f"region of {len(region)}"
            )
        rows, columns, channels = np.ogrid[: self.height, : self.width, : self.depth]
        width0 = self._register("WIDTH0_M1") + 1
        right = columns >= width0
        height = np.where(right, self._register("HEIGHT1_M1") + 1, self._register("HEIGHT0_M1") + 1)
        below = rows >= height
        base = np.array([self._wide(f"BASE{tile}") for tile in range(4)], np.int64)[right + 2 * below]
        row, column = rows - np.where(below, height, 0), columns - np.where(right, width0, 0)
        if self.precision & _BRICKS:
            inside = (
                channels // _BRICK * self._stride("C") + column * _BRICK * size + channels % _BRICK * size
            )
        else:
            inside = column * self._stride("X") + channels * size
        addresses = base + row * self._stride("Y") + inside
        if addresses.min() < 0 or addresses.max() + size > len(region):
            raise self.operation.error(
                f"accesses bytes {addresses.min()} to {addresses.max() + size} ({self.prefix}) of a region of "
                f"{len(region)}"
            )
        return region, addresses

    def _register(self, name: str) -> int:
        return self.operation.get(Register[f"{self.prefix}_{name}"])

    def _wide(self, name: str) -> int:
        return self.operation.get(WideRegister[f"{self.prefix}_{name}"])

    def _stride(self, axis: str) -> int:
        """A stride in bytes; strides of 40 bits may be negative."""
        value = self._wide(f"STRIDE_{axis}")
        return value - (1 << 48) if value >> 47 else value


def output_map(operation: Operation) -> FeatureMap:
    """The OFM of an operation."""
    height, width, depth = (
        operation.get(Register[f"OFM_{axis}_M1"]) + 1 for axis in ("HEIGHT", "WIDTH", "DEPTH")
    )
    return FeatureMap(operation, "OFM", height, width, depth)
