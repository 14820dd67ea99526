"""im2col of one output row: the windows of its pixels, one after the other, from a band of padded rows.

Segments are copied sixteen bytes at a time and in order, so that what one copies too much the next one overwrites.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from ...kernel import MicroKernel
from .assembly import Cursor, function

_VECTOR = 16


@dataclass(frozen=True)
class Windows:
    """Geometry of windows.

    rows, columns: segments of a window; row_distance, column_distance: bytes between them in the band; segment: bytes
    of each. step: bytes between the windows of neighbouring pixels. pitch: bytes of a copied window, its end unused.
    """

    rows: int
    row_distance: int
    columns: int
    column_distance: int
    segment: int
    step: int
    pitch: int

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        columns = f"_{self.columns}by{self.column_distance}" if self.columns > 1 else ""
        shape = f"{self.rows}by{self.row_distance}{columns}_of{self.segment}"
        return f"tinyml_mve_im2col_{shape}_every{self.step}_to{self.pitch}"

    @property
    def depth(self) -> int:
        """Taps of a window."""
        return self.rows * self.columns * self.segment


def im2col_kernel(windows: Windows) -> MicroKernel:
    """Copy the windows of `pixels` pixels; up to fifteen bytes more are written."""
    one = _window(windows)
    code = ["push {r4, lr}", "dls lr, r2", "1:", *one, "le lr, 1b", "pop {r4, pc}"]
    return function(windows.name, ("const int8_t *band", "int8_t *target", "int32_t pixels"), code)


def im2col_instructions(windows: Windows, pixels: int) -> float:
    """Instructions of one call, the call included."""
    return 14 + pixels * (len(_window(windows)) + 1)


def _window(windows: Windows) -> list[str]:
    source, target = Cursor("r0", downwards=False), Cursor("r1", downwards=False)
    code: list[str] = []
    for row, column in product(range(windows.rows), range(windows.columns)):
        start = row * windows.row_distance + column * windows.column_distance
        target_start = (row * windows.columns + column) * windows.segment
        for piece in range(0, windows.segment, _VECTOR):
            code += source.load("q0", start + piece, aligned=False)
            code += target.store("q0", target_start + piece)
    return [*code, *source.move(windows.step), *target.move(windows.pitch)]
