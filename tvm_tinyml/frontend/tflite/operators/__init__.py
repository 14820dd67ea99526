"""One converter per TFLite operator, in tables by family; adding an operator is one row."""

from __future__ import annotations

from ..node import Conversion
from . import (
    activation,
    conversion,
    convolution,
    dense,
    elementwise,
    joining,
    pooling,
    resize,
    shape,
    slicing,
)

CONVERSIONS: dict[str, Conversion] = {
    **convolution.CONVERSIONS,
    **dense.CONVERSIONS,
    **pooling.CONVERSIONS,
    **elementwise.CONVERSIONS,
    **activation.CONVERSIONS,
    **shape.CONVERSIONS,
    **joining.CONVERSIONS,
    **slicing.CONVERSIONS,
    **resize.CONVERSIONS,
    **conversion.CONVERSIONS,
}


def supported_operators() -> tuple[str, ...]:
    """Names of the TFLite operators that can be imported, in alphabetical order."""
    return tuple(sorted(CONVERSIONS))


__all__ = ["CONVERSIONS", "supported_operators"]
