"""Window geometry of convolutions and pools: what the schema's SAME and VALID give as output sizes."""

from __future__ import annotations

from dataclasses import dataclass


def window_output_size(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Output length of a sliding window along one axis, for padding "same" or "valid"."""
    if padding == "same":
        return -(-size // stride)
    return -(-(size - (kernel - 1) * dilation) // stride)


@dataclass(frozen=True)
class Window:
    """A two-dimensional sliding window; pairs are (height, width)."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: str = "same"
    dilation: tuple[int, int] = (1, 1)

    def output_size(self) -> tuple[int, int]:
        """(height, width) of the window's output."""
        height, width = (
            window_output_size(*axis[:3], self.padding, axis[3])
            for axis in zip(self.size, self.kernel, self.stride, self.dilation, strict=True)
        )
        return height, width

    def label(self) -> str:
        """Short text for case ids, e.g. "7x5_k3x3_s2x1_same"."""
        text = f"{_pair(self.size)}_k{_pair(self.kernel)}_s{_pair(self.stride)}_{self.padding}"
        return text if self.dilation == (1, 1) else f"{text}_d{_pair(self.dilation)}"


def _pair(values: tuple[int, int]) -> str:
    return f"{values[0]}x{values[1]}"
