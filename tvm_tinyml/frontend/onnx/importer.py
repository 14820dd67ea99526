"""ONNX to Relax."""

from __future__ import annotations

from typing import Any

from ..qdq import import_network
from ..qdq.operators import CONVERTERS
from .integer_forms import FORMS
from .reader import ModelSource, read_network


def from_onnx(model: ModelSource, *, float_edges: bool = True) -> tuple[Any, dict[str, Any]]:
    """Import a quantised ONNX model: QDQ, QLinear and integer operators, opsets from 13 on.

    Args:
        model: the bytes of an .onnx file, its path, or an `onnx.ModelProto`.
        float_edges: keep float inputs and outputs; False: they are int8, in the quantisation next to them.

    Returns:
        (mod, params) as `from_tflite` does. Images are NHWC in the module, so inputs and outputs with four
        dimensions are, too; "tinyml.signature" says so by their shapes.

    Raises:
        ModelError: the file cannot be read, is damaged or contradicts itself, or the extra `onnx` is missing.
        UnsupportedError: operators that have no integer form, all of them listed.
    """
    return import_network(read_network(model), float_edges=float_edges), {}


def supported_operators() -> tuple[str, ...]:
    """Names of the ONNX operators that can be imported, in alphabetical order."""
    return tuple(sorted({*CONVERTERS, *FORMS}))
