"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR over sizes and coordinate conventions.

Left out because the reference kernels refuse or ignore it: align_corners together with half_pixel_centers,
and different quantisations of input and output (the operators do not rescale).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..tflite_writer import Options
from .case import Case, int32_constant, single_operator
from .quantization import Quantization

TABLES = {
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
}
# (input height, width) -> (output height, width): up, down, odd ratios, one axis only, from and to one pixel.
SIZES: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = (
    ((4, 5), (8, 10)),
    ((3, 4), (7, 9)),
    ((7, 9), (3, 4)),
    ((8, 8), (4, 4)),
    ((5, 5), (5, 5)),
    ((4, 6), (4, 13)),
    ((6, 4), (13, 4)),
    ((1, 1), (4, 3)),
    ((6, 5), (1, 1)),
    ((2, 3), (17, 19)),
    ((1, 7), (1, 3)),
    ((3, 3), (10, 2)),
)


def cases() -> Iterator[Case]:
    """All cases of both operators; the first of each operator is its representative."""
    for operator in TABLES:
        for source, target in SIZES:
            for align_corners, half_pixel_centers in ((False, False), (True, False), (False, True)):
                yield _resize(operator, source, target, align_corners, half_pixel_centers)
        for channels, zero_point in ((1, -128), (4, 127), (17, 0)):
            yield _resize(operator, (3, 4), (7, 6), False, True, channels, zero_point)


def _resize(
    operator: str,
    source: tuple[int, int],
    target: tuple[int, int],
    align_corners: bool,
    half_pixel_centers: bool,
    channels: int = 3,
    zero_point: int = -3,
) -> Case:
    quantization = Quantization(0.05, zero_point)
    convention = {(False, False): "legacy", (True, False): "align_corners", (False, True): "half_pixel"}
    case_id = (
        f"{operator.lower()}-{source[0]}x{source[1]}to{target[0]}x{target[1]}"
        f"-{convention[align_corners, half_pixel_centers]}-c{channels}-zp{zero_point}"
    )
    fields = {"align_corners": align_corners, "half_pixel_centers": half_pixel_centers}
    return single_operator(
        case_id,
        operator,
        [quantization.value((1, *source, channels)), int32_constant(target)],
        [quantization.value((1, *target, channels))],
        Options(TABLES[operator], fields),
    )
