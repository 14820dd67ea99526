"""The shape of a strip: the matrix tile of convolutions, some pixels times two channels.

Each pixel of the strip reads its taps as `rows` segments of `row_bytes` bytes that lie `row_pitch` bytes apart; a
pointwise convolution has one segment, a convolution over padded rows one per kernel row. VMLADAVA takes sixteen
products into one of the even registers, so four pixels times two channels use each loaded vector two or four times.
When the strip is not a multiple of four, its last tile overlaps the one before.

Three micro-kernels compute strips: `flat_strip.py` with the reduction unrolled, `column_strip.py` for windows whose
pixels share columns, `deep_strip.py` with a loop over the reduction.
"""

from __future__ import annotations

from dataclasses import dataclass

from .assembly import BYTE_RANGE
from .epilogue import Requantization

VECTOR = 16
# Beyond this depth the unrolled reduction exceeds a kilobyte of code.
MAX_UNROLLED = 256
TILE = 4
# Bytes from one plane of outputs to the next that offsets of a scatter store hold.
MAX_PLANE = (1 << 16) - TILE
# The frame of a strip by what a layer is to be chosen for: of its own, shared, or shared and every tile by itself.
SMALL = "small"
FRAMES = {"speed": "own", "balanced": "framed", "size": SMALL}
# Bytes of the eight accumulators on the stack.
ACCUMULATOR_BYTES = 32
# `table` is int32[words of the requantisation][2 channels], then a byte for each shift, twice. `channels` is the
# distance of two output pixels, or of two planes of outputs.
PARAMETERS = (
    "const int8_t *data",
    "const int8_t *weight",
    "const int32_t *table",
    "int8_t *output",
    "int32_t pixels",
    "int32_t channels",
    "int32_t zero_point",
)


@dataclass(frozen=True)
class Strip:
    """Shape of a strip.

    rows, row_bytes, row_pitch: segments of taps of one pixel.
    pitch: bytes from one pixel to the next.
    columns: taps of a segment whose vectors neighbouring pixels share, 0 for none; then row_bytes / columns is a
        multiple of 16, and so is the pitch.
    loop: a loop over the reduction although unrolling it would not be long.
    frame: one of FRAMES; what comes before the tiles may be shared with strips of other shapes.
    plane: bytes from one output channel to the next where outputs lie in planes, 0 where channels lie side by side.
    overrun: whether up to 15 bytes after a segment may be read (scratch); otherwise row_bytes is at least 16, or 8 with
        pixels side by side.
    """

    rows: int
    row_bytes: int
    row_pitch: int
    pitch: int
    overrun: bool
    requantization: Requantization
    columns: int = 0
    loop: bool = False
    frame: str = "own"
    plane: int = 0

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        shape = f"{self.rows}x{self.row_bytes}" if self.rows > 1 else f"{self.row_bytes}"
        columns = f"_of{self.columns}" if self.columns else ""
        rows = f"_row{self.row_pitch}" if self.rows > 1 else ""
        overrun = "_over" if self.overrun and self.row_bytes % VECTOR else ""
        frame = f"_{self.frame}" if self.shares_frame else ""
        shape += f"_every{self.pitch}{rows}{columns}{overrun}{frame}{self.suffix}"
        return f"tinyml_mve_{self.form}_strip_{shape}_{self.requantization.name}"

    @property
    def suffix(self) -> str:
        """Part of the names of functions that store differently where outputs lie in planes."""
        return "_planes" if self.plane else ""

    @property
    def form(self) -> str:
        """Which micro-kernel computes it: "column", "deep" or "flat"."""
        if self.columns:
            return "column"
        # Two rows of unaligned weights must be within reach of one register.
        most = MAX_UNROLLED if self.row_bytes % 4 == 0 else 2 * BYTE_RANGE
        return "deep" if self.rows == 1 and (self.loop or self.row_bytes > most) else "flat"

    @property
    def shares_frame(self) -> bool:
        """Whether what comes before the tiles is a function that other strips share."""
        return self.frame != "own" and self.form == "flat" and not self.side_by_side

    @property
    def interleaved(self) -> int:
        """Bytes of one channel's weights before those of the other follow: all when they do not alternate."""
        return {"column": self.columns * VECTOR, "deep": VECTOR, "flat": self.depth}[self.form]

    @property
    def weight_tile(self) -> tuple[int, int]:
        """Shape of the weights of two channels: rows of their own, or one row in which they alternate."""
        return (2, self.depth) if self.form == "flat" else (1, 2 * self.depth)

    @property
    def depth(self) -> int:
        """Products of one output."""
        return self.rows * self.row_bytes

    def span(self, pixels: int) -> int:
        """Bytes from the first to the last tap of a row."""
        return (pixels - 1) * self.pitch + self.row_bytes

    @property
    def side_by_side(self) -> bool:
        """Two pixels of eight bytes fill one vector."""
        return self.rows == 1 and self.row_bytes == self.pitch == VECTOR // 2

    def chunks(self) -> list[tuple[int, int]]:
        """(data offset, weight offset) of the vectors of one output, in order."""
        found = []
        for row in range(self.rows):
            for start in range(0, self.row_bytes, VECTOR):
                if start + VECTOR > self.row_bytes and not self.overrun:
                    start = self.row_bytes - VECTOR
                found.append((row * self.row_pitch + start, row * self.row_bytes + start))
        return found

    @property
    def tail(self) -> int:
        """Bytes of a segment's last vector, 0 when all vectors are full."""
        return self.row_bytes % VECTOR

    def tail_mask(self) -> int:
        """Lanes of the last vector that carry new taps."""
        low = (1 << self.tail) - 1
        return low if self.overrun else low << (VECTOR - self.tail)
