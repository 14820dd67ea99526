"""Why layers are slower per multiply-accumulate than the best of their class, as far as counts tell.

Cost models say what a layer's instructions are spent on (`schedules.Parts`): products, outputs, copies and calls. Where
the models of a layer and of the best one do, the reason is where the layer spends more per multiply-accumulate, with
what in its geometry makes it so, and which schedule the best layer has; the models predict how slow the layer is.

Elsewhere the geometry alone predicts it: what is done once per output (requantisation), once per weight (unpacking, a
row of the table) and for lanes that hold nothing weighs more where outputs have few products, channels few pixels, or
channels fill no whole register or vector; and a schedule of less code may have been preferred to a faster one.

What is not predicted to within `SLOW` is said, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, prod
from typing import TypeAlias

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
# Parts of an estimate that make up its instructions.
_SPENT = ("products", "outputs", "copies", "calls")
# The factor by which a layer is slower, and why.
_Cause: TypeAlias = tuple[float, str]


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
    if layer.parts and best.parts:
        slow, fast = _per_mac(layer), _per_mac(best)
        predicted = sum(slow.values()) / sum(fast.values())
        texts = [*_spent(slow, fast, _counts(layer, best)), *_schedules(layer, best)]
    else:
        causes = [*_geometry(layer, best, lanes), _less_code(layer), _copies(layer)]
        found = sorted((cause for cause in causes if cause[0] >= _NOTABLE), reverse=True)
        predicted = prod(factor for factor, _ in found)
        texts = [f"{text}: {factor:.1f}x" for factor, text in found]
    if slowdown / predicted > SLOW:
        texts.append(f"{slowdown / predicted:.1f}x not explained")
    return "; ".join(texts)


def _geometry(layer: LayerWork, best: LayerWork, lanes: int) -> list[_Cause]:
    return [
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


def _counts(layer: LayerWork, best: LayerWork) -> dict[str, list[str]]:
    """For each part the counts that make it weigh notably more than in the best layer.

    Products per MAC are instructions per multiplication over MACs per multiplication. MACs of padding count, also
    where nothing multiplies them.
    """
    found: dict[str, list[str]] = {name: [] for name in _SPENT}

    def compare(part: str, text: str, slow: float, fast: float, *, more_is_worse: bool) -> None:
        if (slow / fast if more_is_worse else fast / slow) >= _NOTABLE:
            found[part].append(f"{text.format(_figure(slow))} (best: {_figure(fast)})")

    both = (layer, best)
    if all(_part(one, "multiplications") for one in both):
        at_once = [one.work.macs / _part(one, "multiplications") for one in both]
        compare("products", "{} MACs per multiplication", *at_once, more_is_worse=False)
        operands = [_part(one, "products") / _part(one, "multiplications") for one in both]
        compare("products", "{} instructions per multiplication", *operands, more_is_worse=True)
    inside = [100 * one.share_inside for one in both]
    compare("products", "{} % of the MACs inside the image", *inside, more_is_worse=True)
    finishing = "outputs" if _part(layer, "outputs") else "products"
    compare(finishing, "{} MACs per output", layer.depth, best.depth, more_is_worse=False)
    compare("copies", "{} inputs per output", *(one.inputs_per_output for one in both), more_is_worse=True)
    compare("calls", "{} outputs per channel", layer.pixels, best.pixels, more_is_worse=False)
    return found


def _part(layer: LayerWork, name: str) -> int:
    return (layer.parts or {}).get(name, 0)


def _per_mac(layer: LayerWork) -> dict[str, float]:
    return {name: _part(layer, name) / layer.work.macs for name in _SPENT}


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"


def _spent(
    slow: Mapping[str, float], fast: Mapping[str, float], counts: Mapping[str, list[str]]
) -> Iterator[str]:
    """Where the slow layer spends notably more than the best one, the most first."""
    least = (_NOTABLE - 1) * sum(fast.values())
    for name in sorted(slow, key=lambda name: fast[name] - slow[name]):
        if slow[name] - fast[name] >= least:
            spent = f"{name} {slow[name]:.2f} instructions per MAC (best: {fast[name]:.2f})"
            yield ", ".join([spent, *counts[name]])


def _schedules(layer: LayerWork, best: LayerWork) -> list[str]:
    """What became of the best layer's schedule, when this one has another."""
    if layer.schedule == best.schedule:
        return []
    other = layer.others.get(best.schedule)
    return [f"{best.schedule}, which the best has: {other.reason if other else 'does not apply'}"]


def _less_code(layer: LayerWork) -> _Cause:
    """The fastest schedule that was left for one of less code or scratch, and how much faster it was estimated."""
    known = [(one.instructions, name, one) for name, one in layer.others.items() if one.instructions]
    if not layer.estimated_instructions or not known:
        return (1.0, "")
    instructions, name, other = min(known, key=lambda item: item[0])
    return (layer.estimated_instructions / instructions, f"{name} not taken ({other.reason})")


def _copies(layer: LayerWork) -> _Cause:
    """What copies add to everything else, where the schedule tells them apart."""
    total, copies = sum(_part(layer, name) for name in _SPENT), _part(layer, "copies")
    return (total / max(1, total - copies), f"{copies / max(1, total):.0%} of the instructions copy")


def _overhead(fixed: float, count: float) -> float:
    """Cost of `count` units and what comes once for all of them, per unit."""
    return 1 + fixed / max(1.0, count)


def _filled(layer: LayerWork, lanes: int) -> float:
    """Share of the lanes that hold outputs, along channels or along pixels, whichever is fuller."""
    return max(extent / (ceil(extent / lanes) * lanes) for extent in (layer.channels, layer.pixels))
