"""The window of an operation: its size, stride, dilation and padding, and the input that its outputs read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.registers import Command, Register, Upscale
from tvm_tinyml.ethosu.stream import Operation

_PADDING = (Register.IFM_PAD_TOP, Register.IFM_PAD_LEFT, Register.IFM_PAD_BOTTOM, Register.IFM_PAD_RIGHT)
# SOFTMAX looks for the largest of all its classes in one window.
_LARGEST_WINDOW, _LARGEST_PADDING = 4096, 256


@dataclass(frozen=True)
class Kernel:
    """A window of `height` x `width` elements; padding is in pixels of the (upscaled) input."""

    height: int
    width: int
    stride_y: int
    stride_x: int
    dilation_y: int
    dilation_x: int
    top: int
    left: int
    bottom: int
    right: int
    part_kernel_first: bool
    depthwise: bool

    @property
    def is_padded(self) -> bool:
        """Whether windows reach beyond the image."""
        return any((self.top, self.left, self.bottom, self.right))

    def input_extent(self, output_height: int, output_width: int) -> tuple[int, int]:
        """Rows and columns of the (upscaled) input that outputs read, padding left out."""
        height = (output_height - 1) * self.stride_y + (self.height - 1) * self.dilation_y + 1
        width = (output_width - 1) * self.stride_x + (self.width - 1) * self.dilation_x + 1
        return height - self.top - self.bottom, width - self.left - self.right

    def padded(self, pixels: NDArray[np.int64], value: int) -> NDArray[np.int64]:
        """(height, width, depth) with a border of `value`."""
        return np.pad(
            pixels, ((self.top, self.bottom), (self.left, self.right), (0, 0)), constant_values=value
        )

    def window(
        self, padded: NDArray[np.int64], row: int, column: int, output_height: int, output_width: int
    ) -> NDArray[np.int64]:
        """What element (row, column) of the window sees for each output: (output height, output width, depth)."""
        y, x = row * self.dilation_y, column * self.dilation_x
        return padded[
            y : y + (output_height - 1) * self.stride_y + 1 : self.stride_y,
            x : x + (output_width - 1) * self.stride_x + 1 : self.stride_x,
        ]


def read_kernel(operation: Operation) -> Kernel:
    """The window that the registers of an operation describe."""
    bits = operation.get(Register.KERNEL_STRIDE)
    dilation_x, dilation_y = 1 + (bits >> 3 & 1), 1 + (bits >> 4 & 1)
    height, width = operation.get(Register.KERNEL_HEIGHT_M1), operation.get(Register.KERNEL_WIDTH_M1)
    if height % dilation_y or width % dilation_x:
        raise operation.error(f"has a window of {height + 1} x {width + 1} that its dilation does not divide")
    padding = [operation.get(register) for register in _PADDING]
    if max(height, width) >= _LARGEST_WINDOW or max(padding) >= _LARGEST_PADDING:
        raise operation.error(
            f"has a window of {height + 1} x {width + 1} with padding {padding}; the limits are "
            f"{_LARGEST_WINDOW} and {_LARGEST_PADDING}"
        )
    top, left, bottom, right = padding
    return Kernel(
        height=height // dilation_y + 1,
        width=width // dilation_x + 1,
        stride_y=1 + (bits >> 1 & 1) + 2 * (bits >> 9 & 7),
        stride_x=1 + (bits & 1) + 2 * (bits >> 6 & 7),
        dilation_y=dilation_y,
        dilation_x=dilation_x,
        top=top,
        left=left,
        bottom=bottom,
        right=right,
        part_kernel_first=bool(bits & 4) and operation.command == Command.CONV,
        depthwise=operation.command == Command.DEPTHWISE,
    )


def upscale(operation: Operation, pixels: NDArray[np.int64], zero: int) -> NDArray[np.int64]:
    """Pixels doubled along both axes, repeated or with `zero` between them, as IFM_UPSCALE says."""
    mode = operation.get(Register.IFM_UPSCALE)
    if mode == Upscale.NONE:
        return pixels
    if mode == Upscale.NEAREST:
        return pixels.repeat(2, axis=0).repeat(2, axis=1)
    if mode == Upscale.ZEROS:
        height, width, depth = pixels.shape
        spread = np.full((2 * height, 2 * width, depth), zero, np.int64)
        spread[::2, ::2] = pixels
        return spread
    raise operation.error(f"has an unknown IFM_UPSCALE, {mode}")
