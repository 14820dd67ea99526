"""im2col of one output row: the windows of its pixels, one after the other, from a band of padded rows or an image.

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
    inside: no more than the segments is read of the last row.
    """

    rows: int
    row_distance: int
    columns: int
    column_distance: int
    segment: int
    step: int
    pitch: int
    inside: bool = False

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        columns = f"_{self.columns}by{self.column_distance}" if self.columns > 1 else ""
        shape = f"{self.rows}by{self.row_distance}{columns}_of{self.segment}"
        inside = "_inside" if self.tail else ""
        return f"tinyml_mve_im2col_{shape}_every{self.step}_to{self.pitch}{inside}"

    @property
    def depth(self) -> int:
        """Taps of a window."""
        return self.rows * self.columns * self.segment

    @property
    def tail(self) -> int:
        """Bytes of the last load of a segment of the last row, 0 where it may be a whole vector."""
        return self.segment % _VECTOR if self.inside else 0


def im2col_kernel(windows: Windows) -> MicroKernel:
    """Copy the windows of `pixels` pixels; up to fifteen bytes more are written."""
    mask = [f"movs r3, #{windows.tail}", "vctp.8 r3"] if windows.tail else []
    code = ["push {r4, lr}", *mask, "dls lr, r2", "1:", *_window(windows), "le lr, 1b", "pop {r4, pc}"]
    return function(windows.name, ("const int8_t *band", "int8_t *target", "int32_t pixels"), code)


def im2col_instructions(windows: Windows, pixels: int) -> float:
    """Instructions of one call, the call included."""
    return 14 + (2 if windows.tail else 0) + pixels * (len(_window(windows)) + 1)


def _window(windows: Windows) -> list[str]:
    source, target = Cursor("r0", downwards=False), Cursor("r1", downwards=False)
    code: list[str] = []
    for row, column in product(range(windows.rows), range(windows.columns)):
        start = row * windows.row_distance + column * windows.column_distance
        target_start = (row * windows.columns + column) * windows.segment
        for piece in range(0, windows.segment, _VECTOR):
            *moves, load = source.load("q0", start + piece, aligned=False)
            if windows.tail and row == windows.rows - 1 and piece + _VECTOR > windows.segment:
                load = load.replace("vldrb", "vldrbt")
                moves.append("vpst")
            code += [*moves, load]
            code += target.store("q0", target_start + piece)
    return [*code, *source.move(windows.step), *target.move(windows.pitch)]
