"""What quantisation costs, layer by layer: the signal-to-quantisation-noise ratio (SQNR) of every layer's output.

A layer is fed by quantised layers, so its ratio holds what was lost up to there; where it drops is where it is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .calibration import Array

Sample = TypeVar("Sample")


SAMPLES = 16
"""Samples over which losses are measured."""


@dataclass(frozen=True)
class LayerLoss:
    """One layer: the name of its output, its operator, and its SQNR in dB (infinite when nothing was lost)."""

    name: str
    operator: str
    sqnr_db: float


class LossMeter:
    """Adds up signal and noise of layers over many samples, in the order in which layers are first seen."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[str, float, float]] = {}

    def add(self, name: str, operator: str, real: Array, quantized: Array) -> None:
        """Take in one output of a layer, in real numbers, of the float and of the quantised model."""
        exact = np.asarray(real, np.float64)
        error = exact - np.asarray(quantized, np.float64)
        _, signal, noise = self._sums.get(name, ("", 0.0, 0.0))
        self._sums[name] = (operator, signal + float((exact**2).sum()), noise + float((error**2).sum()))

    def losses(self) -> tuple[LayerLoss, ...]:
        """The ratio of every layer."""
        return tuple(
            LayerLoss(name, operator, decibels(signal, noise))
            for name, (operator, signal, noise) in self._sums.items()
        )


def spread(samples: Sequence[Sample]) -> list[Sample]:
    """Up to `SAMPLES` samples, evenly spread."""
    count = min(SAMPLES, len(samples))
    return [samples[index * len(samples) // count] for index in range(count)]


def decibels(signal: float, noise: float) -> float:
    """A ratio of energies in dB; infinite without noise, minus infinite without signal."""
    if not noise:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal else -math.inf


def worst_layers(losses: Sequence[LayerLoss], count: int = 3) -> list[LayerLoss]:
    """The layers with the lowest ratio, the worst first."""
    return sorted(losses, key=lambda loss: loss.sqnr_db)[:count]
