"""The shape of a depthwise tile on channel planes: some output rows of neighbouring channels.

The taps of a window are the lanes of a vector: a gather load brings the taps of neighbouring outputs at once, and each
output multiplies it with the weights shifted to its place. Windows of more than sixteen taps take several vectors of
whole kernel rows. Outputs are computed in groups of eight.

Three micro-kernels compute tiles: `depthwise_unrolled.py` with code of its own for every shape, `depthwise_steps.py`
with code that all shapes share, `depthwise_summed.py` for few outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .epilogue import Requantization

# All groups of outputs in the code, a loop over rows, the function of all sizes, or sums in memory.
FORMS = ("unrolled", "looped", "stepped", "summed")
LANES = 16
OUTPUTS = 8
# Weight vectors that stay in registers.
MAX_VECTORS = 4
# Offsets of the taps in a vector are bytes.
_MAX_REACH = 255
# Outputs in the order of the lanes that narrowing leaves.
_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
# Of a channel, the weights are int8[1 + taps]: the shift comes first.
PARAMETERS = (
    "const int8_t *planes",
    "const int8_t *weight",
    "const int32_t *table",
    "int8_t *output",
    "int32_t channels",
    "int32_t pitch",
    "int32_t zero_point",
)


@dataclass(frozen=True)
class Depthwise:
    """Geometry of a depthwise tile.

    height, width: outputs of one channel. kernel, strides, dilation: of the window. pitch, size: bytes of a row and
    of a plane. multiplier: output channels per plane. form: of the code, one of FORMS.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    pitch: int
    size: int
    multiplier: int
    requantization: Requantization
    form: str = "unrolled"

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""

        def pair(values: tuple[int, int]) -> str:
            return f"{values[0]}x{values[1]}"

        dilation = f"_d{pair(self.dilation)}" if self.dilation != (1, 1) else ""
        several = f"_m{self.multiplier}" if self.multiplier > 1 else ""
        window = f"{pair(self.kernel)}_s{pair(self.strides)}{dilation}{several}"
        shape = f"{self.height}x{self.width}_row{self.pitch}_plane{self.size}"
        return f"tinyml_mve_{self.form}_depthwise_{window}_to_{shape}_{self.requantization.name}"

    @property
    def taps(self) -> int:
        """Taps of a window."""
        return self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Lanes:
    """How windows lie in vectors.

    rows: kernel rows of one vector. columns: taps per row in the vector. outputs: neighbouring outputs that share it.
    vectors: weight vectors, one per output that shares or one per part of the window.
    """

    tile: Depthwise
    rows: int
    columns: int
    outputs: int
    vectors: int

    @property
    def parts(self) -> int:
        """Vectors of one window."""
        return self.vectors if self.outputs == 1 else 1

    @property
    def sharing_step(self) -> int:
        """Lanes from the taps of one output to those of the next that shares the vector."""
        return self.tile.strides[1] // self.tile.dilation[1]

    def first_row(self, part: int) -> int:
        """Kernel row with which a part begins; the last one ends with the last row."""
        return min(part * self.rows, self.tile.kernel[0] - self.rows) if self.parts > 1 else 0

    def weight_masks(self) -> list[int]:
        """Lanes that carry taps, of every weight vector that is loaded from memory."""
        kernel_h, kernel_w = self.tile.kernel
        if self.outputs > 1:
            row = (1 << kernel_w) - 1
            return [sum(row << index * self.columns for index in range(kernel_h))]
        if self.parts == 1:
            return [(1 << self.tile.taps) - 1]
        whole = (1 << self.rows * kernel_w) - 1
        last = kernel_h - (self.parts - 1) * self.rows
        repeated = (1 << (self.rows - last) * kernel_w) - 1
        return [whole] * (self.parts - 1) + [whole & ~repeated]

    def position(self, output: int, part: int) -> int:
        """Byte of a plane with which a part of an output's window begins."""
        tile = self.tile
        y, x = divmod(output, tile.width)
        row = y * tile.strides[0] + self.first_row(part) * tile.dilation[0]
        return row * tile.pitch + x * tile.strides[1]

    def tap_offsets(self) -> list[int]:
        """Bytes from the first tap of a vector to each of its lanes."""
        return self._per_lane(
            lambda row, column: row * self.tile.dilation[0] * self.tile.pitch + column * self.tile.dilation[1]
        )

    def tap_numbers(self) -> list[int]:
        """Weights that lie in the lanes of a shared vector, for the first output that shares it."""
        kernel_w = self.tile.kernel[1]
        return self._per_lane(lambda row, column: row * kernel_w + column if column < kernel_w else 0)

    def stored_mask(self) -> int:
        """Predicate bits of the lanes that hold outputs after narrowing, when a tile has less than eight."""
        count = self.tile.height * self.tile.width
        return sum(3 << 2 * lane for lane, output in enumerate(_ORDER) if output < count)

    def _per_lane(self, value: Callable[[int, int], int]) -> list[int]:
        values = [value(row, column) for row in range(self.rows) for column in range(self.columns)]
        return values + [0] * (LANES - len(values))


def lanes_of(tile: Depthwise) -> Lanes | None:
    """The arrangement with the fewest loads, or None when no vectors hold the window."""
    found = (arrange(tile, outputs) for outputs in range(MAX_VECTORS, 0, -1))
    return next((lanes for lanes in found if lanes is not None), None)


def arrange(tile: Depthwise, outputs: int) -> Lanes | None:
    """The arrangement of `outputs` neighbours in one vector, or None when it does not hold them."""
    kernel_h, kernel_w = tile.kernel
    stride, dilation = tile.strides[1], tile.dilation[1]
    if kernel_w > LANES:
        return None
    if tile.taps <= LANES:
        # Neighbours share taps only when the stride is a multiple of the dilation.
        if outputs > 1 and stride % dilation:
            return None
        columns = (outputs - 1) * (stride // dilation if outputs > 1 else 0) + kernel_w
        found = Lanes(tile, kernel_h, columns, outputs, outputs)
        if kernel_h * columns > LANES:
            return None
    else:
        rows = LANES // kernel_w
        vectors = -(-kernel_h // rows)
        if outputs > 1 or vectors > MAX_VECTORS:
            return None
        found = Lanes(tile, rows, kernel_w, 1, vectors)
    reach = (found.rows - 1) * tile.dilation[0] * tile.pitch + (found.columns - 1) * dilation
    return found if reach <= _MAX_REACH else None


def places_of_outputs(vector: str) -> list[str]:
    """Offsets of outputs 0, 4, 1, 5, 2, 6, 3, 7 in the lanes of a vector, from r4, the channels of a pixel."""
    return [
        "lsl r0, r4, #18",
        "add r6, r4, r4, lsl #16",
        "add r2, r0, r6",
        "add r8, r2, r6",
        "add r10, r8, r6",
        f"vmov {vector}[2], {vector}[0], r0, r8",
        f"vmov {vector}[3], {vector}[1], r2, r10",
    ]


def first_outputs(total: int, before: int) -> list[int]:
    """First outputs of the groups of `total` outputs; the last one ends with the last output.

    before: how many outputs precede, into which a single group may reach.
    """
    return [max(-before, min(start, total - OUTPUTS)) for start in range(0, total, OUTPUTS)]
