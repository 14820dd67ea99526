"""What the exact counts of a run mean: estimated cycles, work per class of layer, comparison with others."""

from __future__ import annotations
