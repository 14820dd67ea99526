"""Supplies an input that a model fetches, from a whole test input in this process's memory."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np

from tvm_tinyml.errors import RunError
from tvm_tinyml.runner.project import TensorInfo

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    *[ctypes.c_int32] * 4,
    ctypes.c_void_p,
    ctypes.c_int32,
)
_OUTSIDE = 1


class Asked(NamedTuple):
    """A rectangle that a model asked for."""

    row: int
    rows: int
    column: int
    columns: int


class Supply:
    """The callback of one input during one inference.

    callback: for the entry function. asked: everything it was called with, in order.
    """

    def __init__(self, tensor: TensorInfo, data: bytes) -> None:
        _, self._height, self._width, channels = tensor.shape
        self._name = tensor.name
        self._image = np.frombuffer(data, np.uint8).reshape(
            self._height, self._width, channels * tensor.dtype.itemsize
        )
        self.asked: list[Asked] = []
        self.callback = _CALLBACK(self._call)

    def _call(
        self, _context: int, row: int, rows: int, column: int, columns: int, destination: int, pitch: int
    ) -> int:
        self.asked.append(Asked(row, rows, column, columns))
        if not self._inside(self.asked[-1]):
            return _OUTSIDE
        for number in range(rows):
            pixels = self._image[row + number, column : column + columns].tobytes()
            ctypes.memmove(destination + number * pitch, pixels, len(pixels))
        return 0

    def _inside(self, one: Asked) -> bool:
        by_rows = 0 <= one.row < one.row + one.rows <= self._height
        return by_rows and 0 <= one.column < one.column + one.columns <= self._width

    def check(self) -> None:
        """RunError when the model asked for something that lies outside the image."""
        for one in self.asked:
            if not self._inside(one):
                raise RunError(f"the model asked for {one} of input {self._name!r}, which is outside of it")
