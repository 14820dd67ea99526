"""What a depthwise plane of Arm DSP costs, by what the instructions are spent on."""

from __future__ import annotations

from ...parts import Parts
from .depthwise import Tiling, Window, segments_of, tile_instructions, tile_products, tiling
from .epilogue import Epilogue


def plane_parts(window: Window, epilogue: Epilogue) -> Parts:
    """Instructions of one call of the generated function."""
    tiles = tiling(window, epilogue)
    products = tiles.count * tile_instructions(window, tiles.width, 0)
    calls = 8 + tiles.count * (10 if tiles.count > 1 else 6)
    if tiles.rest:
        products += tile_instructions(window, tiles.rest, tiles.count * tiles.width)
        calls += 6
    row = Parts(
        products=products,
        outputs=window.columns * (epilogue.instructions + 0.5),
        calls=calls,
        multiplications=_multiplications(window, tiles),
    )
    return row * window.rows + Parts(calls=20 + 8 * len(segments_of(window)))


def _multiplications(window: Window, tiles: Tiling) -> int:
    """Of a row of outputs."""
    kinds = ((tiles.count, tiles.width, 0), (1, tiles.rest, tiles.count * tiles.width))
    return sum(
        count * len(tile_products(window, segment, width, start)[2])
        for count, width, start in kinds
        if width
        for segment in segments_of(window)
    )
