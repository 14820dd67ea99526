"""One converter per operator of a QDQ network, in tables by family; adding an operator is one row."""

from __future__ import annotations

from collections.abc import Mapping

from ...tflite.node import Conversion
from ...tflite.operators import CONVERSIONS as TFLITE_CONVERSIONS
from ..builder import Converter
from . import activation, convolution, dense, elementwise, joining, pooling, quantization, shape

CONVERSIONS: Mapping[str, Conversion] = {**TFLITE_CONVERSIONS, **activation.CONVERSIONS}
"""Integer operators that the converters use: those of TFLite, and tables."""

CONVERTERS: Mapping[str, Converter] = {
    **quantization.CONVERTERS,
    **convolution.CONVERTERS,
    **dense.CONVERTERS,
    **elementwise.CONVERTERS,
    **activation.CONVERTERS,
    **pooling.CONVERTERS,
    **shape.CONVERTERS,
    **joining.CONVERTERS,
}
