"""Why layers are slower per multiply-accumulate than the best of their class, as far as their geometry says so.

A layer's instructions are those of its products and of what is done once per output (requantisation), once per weight
(unpacking, a row of the table) and for lanes that hold nothing. The first is what classes are compared by; the others
weigh more where outputs have few products, channels few pixels, or channels fill no whole register or vector. Each of
them predicts a factor between a layer and the best one. What the factors together do not predict is said, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from tvm_tinyml.profile.work import LayerWork, slowdown_in_class

SLOW = 1.5
"""Layers that are slower than this many times the best of their class need a reason."""

# Products that take as long as the requantisation of one output, and outputs that take as long as what is done once
# per channel for each of its products; both measured on Cortex-M4 and M55.
_PRODUCTS_PER_OUTPUT, _PIXELS_PER_CHANNEL = 13.0, 8.0
# Outputs that a register tile or a vector holds.
_LANES = {"cortex-m4": 2, "cortex-m7": 2, "cortex-m33": 2, "cortex-m55": 8, "cortex-m85": 8, "rv32imcv": 16}
_OTHER_LANES = 4
# Factors closer to 1 say nothing.
_NOTABLE = 1.1


def reasons(layers: Sequence[LayerWork], core: str) -> list[str | None]:
    """For each layer why it is slow in its class; None for layers that are not."""
    slowdowns = slowdown_in_class(layers)
    best = {
        layer.layer_class: layer for layer, slowdown in zip(layers, slowdowns, strict=True) if slowdown == 1.0
    }
    return [
        _reason(layer, best[layer.layer_class], slowdown, _LANES.get(core, _OTHER_LANES))
        if slowdown is not None and slowdown > SLOW
        else None
        for layer, slowdown in zip(layers, slowdowns, strict=True)
    ]


def _reason(layer: LayerWork, best: LayerWork, slowdown: float, lanes: int) -> str:
    causes = [
        (
            _overhead(_PRODUCTS_PER_OUTPUT, layer.depth) / _overhead(_PRODUCTS_PER_OUTPUT, best.depth),
            f"{layer.depth:,.0f} products per output (best: {best.depth:,.0f})",
        ),
        (
            _overhead(_PIXELS_PER_CHANNEL, layer.pixels) / _overhead(_PIXELS_PER_CHANNEL, best.pixels),
            f"{layer.pixels:,} outputs per channel (best: {best.pixels:,})",
        ),
        (
            _filled(best, lanes) / _filled(layer, lanes),
            f"{_filled(layer, lanes):.0%} of {lanes} lanes used (best: {_filled(best, lanes):.0%})",
        ),
    ]
    found = sorted((cause for cause in causes if cause[0] >= _NOTABLE), reverse=True)
    predicted = 1.0
    for factor, _ in found:
        predicted *= factor
    texts = [f"{text}: {factor:.1f}x" for factor, text in found]
    if slowdown / predicted > SLOW:
        texts.append(f"{slowdown / predicted:.1f}x not explained by its geometry")
    return "; ".join(texts)


def _overhead(fixed: float, count: float) -> float:
    """Cost of `count` units and what comes once for all of them, per unit."""
    return 1 + fixed / max(1.0, count)


def _filled(layer: LayerWork, lanes: int) -> float:
    """Share of the lanes that hold outputs, along channels or along pixels, whichever is fuller."""
    return max(extent / (ceil(extent / lanes) * lanes) for extent in (layer.channels, layer.pixels))
