"""RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR."""

from __future__ import annotations

from functools import partial

from ..node import Conversion, Layer, Node
from ..reader import OptionsTable

# Source positions are computed for every row and column while compiling; no image is near this.
MAX_EXTENT = 1 << 15


def _resize(node: Node, operator: str) -> list[Layer]:
    data, size = node.image(), node.integers(1, "size")
    if len(size) != 2 or not all(1 <= extent <= MAX_EXTENT for extent in (*size, *data.shape[1:3])):
        node.malformed(f"{data} cannot take the size {list(size)}; heights and widths are 1 to {MAX_EXTENT}")
    align_corners, half_pixel_centers = (
        bool(node.option(name)) for name in ("align_corners", "half_pixel_centers")
    )
    if align_corners and half_pixel_centers:
        node.malformed("align_corners and half_pixel_centers exclude each other")
    attrs = {
        "size": list(size),
        "align_corners": align_corners,
        "half_pixel_centers": half_pixel_centers,
    }
    return [node.layer(operator, (data,), node.result(), **attrs)]


_OPTIONS = ("align_corners", "half_pixel_centers")

CONVERSIONS = {
    "RESIZE_NEAREST_NEIGHBOR": Conversion(
        partial(_resize, operator="resize_nearest"),
        (2, 2),
        options=OptionsTable("ResizeNearestNeighborOptions", _OPTIONS),
    ),
    "RESIZE_BILINEAR": Conversion(
        partial(_resize, operator="resize_bilinear"),
        (2, 2),
        options=OptionsTable("ResizeBilinearOptions", _OPTIONS),
    ),
}
